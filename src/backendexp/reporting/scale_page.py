"""The files of experiment=scale: a page that loads nothing from anywhere, its tables and its figures."""

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
    """How the backends grow with one size. counts: what it is a number of, "samples".

    curves: measures with a point a backend and size.
    """

    counts: str
    table: Table
    curves: Sequence[tuple[Measure, Sequence[ScalePoint]]]


@dataclass(frozen=True)
class ScaleFindings:
    """said: sentences. growths: one for each size that was varied. notes: for before believing it."""

    title: str
    said: Sequence[str]
    growths: Sequence[Growth]
    notes: Sequence[str]

    def markdown(self) -> str:
        parts = [_bullets(self.said), *(g.table.markdown() for g in self.growths), _bullets(self.notes)]
        return "\n\n".join(part for part in parts if part) + "\n"


def write(found: ScaleFindings, folder: Path) -> Written:
    """scale.md, a .csv a table, scale.html and figures/*.svg below `folder`.

    A figure that cannot be drawn because of a defect is in neither place, and the rest is there.
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
    """SVG text by the name of its file."""
    from backendexp.reporting import figures

    drawn = {}
    for measure, points in growth.curves:
        name = f"{measure.short_key}-by-{_file_name(growth.counts)}.svg"
        with defects.kept(f"figures/{name}"):
            drawn[name] = figures.scaling(points, measure, growth.counts)
    return drawn


def html(found: ScaleFindings, drawings: Sequence[Sequence[str]]) -> str:
    """drawings: the SVG of each curve of each growth."""
    return pages.render("scale.html.j2", found=found, parts=list(zip(found.growths, drawings, strict=True)))


def _file_name(counts: str) -> str:
    return "-".join(counts.split())


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)
