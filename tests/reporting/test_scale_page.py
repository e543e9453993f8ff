"""The page of experiment=scale is complete, is harmless, and loads nothing."""

import csv
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from backendexp.analysis.findings import (
    ScalePoint,
)
from backendexp.reporting import scale_page
from backendexp.reporting.scale_page import Growth, ScaleFindings
from backendexp.reporting.tables import Table
from support.tracked import TIMES

TRAINING = next(measure for measure in TIMES if measure.key == "training_time_s")
STEADY = next(measure for measure in TIMES if measure.key == "time/steady_epoch_s")
POINTS = [
    ScalePoint(backend, size, time * size**power, time * size**power * 0.9, time * size**power * 1.1)
    for backend, time, power in (("tensorflow", 1.0, 0.0), ("theano", 0.001, 1.0))
    for size in (100, 10_000)
]


@pytest.fixture
def found() -> ScaleFindings:
    return ScaleFindings(
        title="tensorflow, theano on keras3, a/b",
        said=["They cross."],
        growths=[
            Growth(
                "samples",
                Table(["samples", "backend", "time"], [["100", "theano", "1"], ["100", "<b>", "2"]]),
                [(TRAINING, POINTS)],
            )
        ],
        notes=["Medians of 3 & more."],
    )


def page_of(found: ScaleFindings, folder: Path) -> str:
    written = scale_page.write(found, folder / "scale")
    assert (written.report, written.defects) == (folder / "scale" / "scale.html", ())
    return written.report.read_text()


def test_page_holds_sentences_table_figure_and_notes(found: ScaleFindings, tmp_path: Path) -> None:
    page = page_of(found, tmp_path)
    assert "<li>They cross.</li>" in page
    assert "Medians of 3 &amp; more." in page
    assert page.count("<svg") == 1
    assert page.count('<th scope="row">100</th>') == 2
    assert page.count("<h1>") == 1


def test_page_loads_nothing(found: ScaleFindings, tmp_path: Path) -> None:
    page = page_of(found, tmp_path)
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:,)""", page)
    assert not re.findall(r"url\((?!#)", page)
    assert "@import" not in page


def test_names_from_outside_are_escaped(found: ScaleFindings, tmp_path: Path) -> None:
    page = page_of(found, tmp_path)
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


def test_figures_are_files_of_their_own(found: ScaleFindings, tmp_path: Path) -> None:
    folder = scale_page.write(found, tmp_path / "scale").folder
    (figure,) = (folder / "figures").iterdir()
    assert figure.name == "training_time_s-by-samples.svg"
    assert ElementTree.fromstring(figure.read_text()).tag.endswith("svg")


def test_tables_are_csv_files_too(found: ScaleFindings, tmp_path: Path) -> None:
    folder = scale_page.write(found, tmp_path / "scale").folder
    table = found.growths[0].table
    with (folder / "samples.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [table.titles, *table.rows]


def test_writing_again_replaces_what_was_there(found: ScaleFindings, tmp_path: Path) -> None:
    scale_page.write(found, tmp_path / "scale")
    folder = scale_page.write(found, tmp_path / "scale").folder
    assert (folder / "scale.md").read_text().count("They cross.") == 1


def test_curve_that_cannot_be_drawn_is_reported_and_the_rest_is_written(
    found: ScaleFindings, tmp_path: Path
) -> None:
    (growth,) = found.growths
    # No time is that long, and no axis can show it.
    endless = [replace(point, low=1e300, high=1.7e308) for point in POINTS]
    both = replace(growth, curves=[(STEADY, endless), *growth.curves])
    written = scale_page.write(replace(found, growths=[both]), tmp_path / "scale")
    (defect,) = written.defects
    assert defect.startswith("figures/steady_epoch_s-by-samples.svg is missing: ValueError, ")
    assert "This is a defect of backendexp" in defect
    assert written.report is not None
    assert written.report.read_text().count("<svg") == 1
    assert [path.name for path in (written.folder / "figures").iterdir()] == [
        "training_time_s-by-samples.svg"
    ]
    assert (written.folder / "samples.csv").exists()
