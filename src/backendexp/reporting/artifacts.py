"""What a comparison leaves behind: files, and what its summary run says in MLflow."""

from pathlib import Path

from backendexp.analysis.findings import Comparison
from backendexp.reporting import text
from backendexp.reporting.defects import Defects, Written
from backendexp.reporting.note import note_of
from backendexp.reporting.svg import Figure
from backendexp.runs import measures
from backendexp.runs.measures import Measure

REPORT = "report.html"


def write(comparison: Comparison, folder: Path) -> Written:
    """report.html, comparison.md, .csv and .json, and figures/*.svg below `folder`.

    A figure that cannot be drawn because of a defect is in neither place, and the rest is there.
    """
    from backendexp.reporting import figures, report

    folder.mkdir(exist_ok=True)
    (folder / "comparison.md").write_text(text.markdown(comparison), encoding="utf-8")
    (folder / "comparison.csv").write_text(text.csv(comparison), encoding="utf-8")
    (folder / "comparison.json").write_text(text.to_json(comparison), encoding="utf-8")
    defects = Defects(folder)
    drawn: list[Figure] = []
    for name, draw in figures.kinds().items():
        with defects.kept(f"figures/{name}.svg"):
            drawn += filter(None, [draw(comparison)])
    (folder / "figures").mkdir(exist_ok=True)
    for figure in drawn:
        (folder / "figures" / f"{figure.name}.svg").write_text(figure.text, encoding="utf-8")
    return defects.concluded(REPORT, lambda: report.html(comparison, drawn))


def metrics(comparison: Comparison) -> dict[str, float]:
    """The aggregates under names such as theano/training_time_s_median and theano/training_time_s_ratio_low.

    They are named after a backend first, so that the UI puts them in sections of their own, and not among
    the charts of the runs.
    """
    found: dict[str, float | None] = {}
    # Each metric is a chart of one bar in the UI, so they are few.
    told = measures.shown_by_run()
    for group in comparison.groups:
        for measure in told:
            spread = group.spreads.get(measure.key)
            found[f"{_name(group.backend, measure)}_median"] = spread.median if spread else None
    for pair in comparison.contrasts:
        if pair.baseline in comparison.baselines and pair.measure in told:
            name = _name(comparison.group(pair.candidate).backend, pair.measure)
            ends = {"ratio": pair.ratio, "ratio_low": pair.low, "ratio_high": pair.high}
            found |= {f"{name}_{end}": value for end, value in ends.items()}
    for quality in comparison.qualities:
        if quality.baseline in comparison.baselines:
            name = _name(comparison.group(quality.candidate).backend, quality.measure)
            found[f"{name}_difference"] = quality.difference
    found["parity/greatest_difference"] = comparison.parity.greatest
    return {name: value for name, value in found.items() if value is not None}


def _name(backend: str, measure: Measure) -> str:
    """A slash of the measure's own would make a section within the section."""
    return f"{backend}/{measure.short_key}"


def note(comparison: Comparison, written: Written) -> str:
    """Markdown for the description of the summary run: as much as fits of what the terminal shows, which is
    everything but the single runs.
    """
    pages = ([written.report.name] if written.report else []) + ["comparison.md"]
    more = f"The runs and the figures are among the artifacts: {', '.join(pages)}."
    return note_of([*written.defects, *text.paragraphs(comparison)], more)
