"""A comparison writes its files to disk and to its summary run."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from backendexp.analysis import pipeline
from backendexp.analysis.findings import Comparison
from backendexp.reporting import artifacts, pages
from backendexp.reporting.defects import Written
from support.tracked import sweep_runs

# Such a loss does not fit into a float32, and no axis can show it.
UNDRAWABLE = (1.0, 1e300)
WRITTEN = Written(Path("comparison"), Path("comparison/report.html"), ())


@pytest.fixture(scope="module")
def found() -> Comparison:
    runs = sweep_runs({"tensorflow": 1.0, "theano": 2.0, "jax": 0.5})
    return pipeline.analyse(runs, title="three backends", baseline="tensorflow")


def test_every_file_is_written_and_can_be_read(found: Comparison, tmp_path: Path) -> None:
    written = artifacts.write(found, tmp_path / "comparison")
    folder = written.folder
    assert (written.report, written.defects) == (folder / "report.html", ())
    assert (folder / "comparison.md").read_text().startswith("# three backends")
    assert json.loads((folder / "comparison.json").read_text())
    with (folder / "comparison.csv").open(newline="") as file:
        assert {row["group"] for row in csv.DictReader(file)} == {"tensorflow", "theano", "jax"}
    assert "<html" in (folder / "report.html").read_text()
    drawings = list((folder / "figures").iterdir())
    assert {path.suffix for path in drawings} == {".svg"}
    assert all(ElementTree.fromstring(path.read_text()).tag.endswith("svg") for path in drawings)
    assert not (folder / "defects.txt").exists()


def test_figure_that_cannot_be_drawn_is_reported_and_the_rest_is_written(
    found: Comparison, tmp_path: Path
) -> None:
    groups = tuple(
        replace(group, runs=tuple(replace(run, loss_by_epoch=UNDRAWABLE) for run in group.runs))
        for group in found.groups
    )
    written = artifacts.write(replace(found, groups=groups), tmp_path / "comparison")
    (defect,) = written.defects
    assert defect.startswith("figures/learning-curves.svg is missing: ValueError, ")
    assert "This is a defect of backendexp" in defect
    assert defect.endswith(f"Please report it, with {written.folder / 'defects.txt'}.")
    assert "Traceback" in (written.folder / "defects.txt").read_text()
    drawn = {path.stem for path in (written.folder / "figures").iterdir()}
    assert drawn == {"ratios", "time-by-phase", "steady-epoch", "quality"}
    assert written.report is not None
    page = written.report.read_text()
    assert all(f"{name}-title" in page for name in drawn)
    assert "learning-curves" not in page


def test_figures_and_tables_are_written_even_if_the_report_fails(
    found: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **more: object) -> str:
        raise KeyError("a field that the template wants")

    monkeypatch.setattr(pages, "render", broken)
    written = artifacts.write(found, tmp_path / "comparison")
    (defect,) = written.defects
    assert defect.startswith("report.html is missing: KeyError, ")
    assert written.report is None
    assert not (written.folder / "report.html").exists()
    assert (written.folder / "comparison.md").exists()
    assert list((written.folder / "figures").glob("*.svg"))
    note = artifacts.note(found, written)
    assert note.startswith(f"- {defect}\n")
    assert note.endswith("artifacts: comparison.md.\n")


def test_metrics_are_the_aggregates_under_the_backends_names(found: Comparison) -> None:
    metrics = artifacts.metrics(found)
    assert metrics["theano/training_time_s_median"] == found.group("theano").spreads["training_time_s"].median
    contrast = next(
        c for c in found.contrasts if c.candidate == "theano" and c.measure.key == "training_time_s"
    )
    assert metrics["theano/training_time_s_ratio"] == contrast.ratio == pytest.approx(2, rel=0.05)
    assert metrics["theano/training_time_s_ratio_low"] == contrast.low
    assert metrics["theano/training_time_s_ratio_high"] == contrast.high
    quality = next(q for q in found.qualities if q.candidate == "jax" and q.measure.key == "accuracy")
    assert metrics["jax/accuracy_difference"] == quality.difference
    assert {"tensorflow/accuracy_median", "jax/peak_mib_ratio", "jax/steady_epoch_s_ratio"} <= set(metrics)


def test_metrics_differ_in_name_from_those_of_a_run_and_have_a_section_for_each_backend(
    found: Comparison,
) -> None:
    """The UI draws metrics of one name in one chart, and makes a section of the part before the slash."""
    metrics = artifacts.metrics(found)
    assert {name.partition("/")[0] for name in metrics} == {"tensorflow", "theano", "jax"}
    assert all(name.count("/") == 1 for name in metrics)


def test_ratio_to_another_side_than_the_baseline_is_not_a_metric(found: Comparison) -> None:
    ratios = {name for name in artifacts.metrics(found) if name.endswith("_ratio")}
    assert {name.partition("/")[0] for name in ratios} == {"theano", "jax"}


def test_missing_measure_is_not_a_metric(found: Comparison) -> None:
    bare = replace(
        found,
        groups=tuple(replace(group, spreads={}) for group in found.groups),
        contrasts=tuple(replace(c, ratio=None, low=None, high=None) for c in found.contrasts),
        qualities=tuple(replace(q, difference=None) for q in found.qualities),
    )
    assert artifacts.metrics(bare) == {}


def test_parity_is_a_metric_under_its_usual_name(found: Comparison) -> None:
    judged = replace(found, parity=replace(found.parity, agree=True, greatest=1e-7))
    assert artifacts.metrics(judged)["parity/greatest_difference"] == 1e-7


def test_note_begins_with_the_verdicts_and_contains_the_tables(found: Comparison) -> None:
    note = artifacts.note(found, WRITTEN)
    assert note.startswith("- ")
    for sentence in found.headlines():
        assert f"- {sentence}\n" in note
    assert "| tensorflow | jax | theano |" in note
    assert "report.html" in note


def test_note_of_any_length_fits_into_a_tag_with_whole_tables(found: Comparison) -> None:
    """MLflow cuts tags at 8,000 characters."""
    for count in (0, 20, 200):
        long = replace(found, notes=tuple(f"Note {n} of many, and no short one." for n in range(count)))
        note = artifacts.note(long, WRITTEN)
        assert len(note) <= 8000
        assert note.endswith("report.html, comparison.md.\n")
        assert f"- {found.headlines()[0]}\n" in note
        rows = [line for line in note.splitlines() if line.startswith("|")]
        assert all(line.endswith("|") for line in rows)
    assert "Note 0 of many" in note
    assert "Note 199 of many" not in note


def test_table_that_does_not_fit_is_left_out_whole(found: Comparison) -> None:
    wide = replace(
        found, groups=(replace(found.groups[0], label="tensorflow" * 800, engine="x"), *found.groups[1:])
    )
    note = artifacts.note(wide, WRITTEN)
    assert len(note) <= 8000
    assert "| engine |" not in note
    assert "| measure | pair |" in note
