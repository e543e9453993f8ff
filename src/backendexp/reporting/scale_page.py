"""The files of experiment=scale: a page that makes no requests, the tables and the figures."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backendexp.analysis.findings import ScalePoint
from backendexp.reporting import pages
from backendexp.reporting.defects import Defects, Written
from backendexp.reporting.tables import Table
from backendexp.runs.measures import Measure

PAGE = "scale.html"


@dataclass(frozen=True)
class Growth:
    """How the measures of the backends grow with one size.

    counts: what the size counts, such as "samples".
    curves: measures, each with its points, one for each backend and size.
    """

    counts: str
    table: Table
    curves: Sequence[tuple[Measure, Sequence[ScalePoint]]]


@dataclass(frozen=True)
class ScaleFindings:
    """The findings of experiment=scale.

    said: the conclusions, as sentences.
    growths: one for each size that was varied.
    notes: what a reader must know before believing the conclusions.
    """

    title: str
    said: Sequence[str]
    growths: Sequence[Growth]
    notes: Sequence[str]

    def markdown(self) -> str:
        parts = [_bullets(self.said), *(g.table.markdown() for g in self.growths), _bullets(self.notes)]
        return "\n\n".join(part for part in parts if part) + "\n"


def write(found: ScaleFindings, folder: Path) -> Written:
    """Write scale.md, a .csv file for each table, scale.html and figures/*.svg into `folder`.

    If a figure cannot be drawn because of a defect, the folder and the page have all but that figure.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    (folder / "scale.md").write_text(f"# {found.title}\n\n{found.markdown()}", encoding="utf-8")
    for growth in found.growths:
        path = folder / f"{_file_name(growth.counts)}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([growth.table.titles, *growth.table.rows])
    defects = Defects(folder)
    drawings = [_draw(growth, defects) for growth in found.growths]
    for drawn in drawings:
        for name, text in drawn.items():
            (folder / "figures" / name).write_text(text, encoding="utf-8")
    return defects.concluded(PAGE, lambda: html(found, [list(drawn.values()) for drawn in drawings]))


def _draw(growth: Growth, defects: Defects) -> dict[str, str]:
    """The SVG text of each figure, by the name of its file."""
    from backendexp.reporting import figures

    drawn = {}
    for measure, points in growth.curves:
        name = f"{measure.short_key}-by-{_file_name(growth.counts)}.svg"
        with defects.kept(f"figures/{name}"):
            drawn[name] = figures.scaling(points, measure, growth.counts)
    return drawn


def html(found: ScaleFindings, drawings: Sequence[Sequence[str]]) -> str:
    """The page.

    drawings: for each growth, the SVG text of its curves.
    """
    return pages.render("scale.html.j2", found=found, parts=list(zip(found.growths, drawings, strict=True)))


def _file_name(counts: str) -> str:
    return "-".join(counts.split())


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)
