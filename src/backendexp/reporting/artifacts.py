"""The files that a comparison writes, and the metrics and the note of its summary run in MLflow."""

import re
from pathlib import Path

from backendexp.analysis.findings import Comparison, Group
from backendexp.reporting import text
from backendexp.reporting.defects import Defects, Written
from backendexp.reporting.note import note_of
from backendexp.reporting.svg import Figure
from backendexp.runs.measures import Measure

REPORT = "report.html"


def write(comparison: Comparison, folder: Path) -> Written:
    """Write report.html, comparison.md, .csv and .json, and figures/*.svg into `folder`.

    If a figure cannot be drawn because of a defect, the folder and the report have all but that figure.
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

    The names begin with the backend, so that the UI shows them in sections of their own, and not among the
    charts of the runs.
    """
    found: dict[str, float | None] = {}
    # The UI draws a chart of one bar for each metric, so only few measures become metrics.
    shown = comparison.shown_by_run
    for group in comparison.groups:
        for measure in shown:
            spread = group.spreads.get(measure.key)
            found[f"{_name(comparison, group, measure)}_median"] = spread.median if spread else None
    for pair in comparison.contrasts:
        if pair.baseline in comparison.baselines and pair.measure in shown:
            name = _name(comparison, comparison.group(pair.candidate), pair.measure)
            ends = {"ratio": pair.ratio, "ratio_low": pair.low, "ratio_high": pair.high}
            found |= {f"{name}_{end}": value for end, value in ends.items()}
    for quality in comparison.qualities:
        if quality.baseline in comparison.baselines:
            name = _name(comparison, comparison.group(quality.candidate), quality.measure)
            found[f"{name}_difference"] = quality.difference
    found["parity/greatest_difference"] = comparison.parity.greatest
    return {name: value for name, value in found.items() if value is not None}


def _name(comparison: Comparison, group: Group, measure: Measure) -> str:
    """The name of a group's metric, which begins with its backend, or with the value of the setting whose
    values are compared; MLflow accepts few characters in it. A slash in the measure's own key would make a
    section within that section, so the measure's short key is used.
    """
    side = group.backend if comparison.by is None else re.sub(r"[^\w.-]+", "-", group.label)
    return f"{side}/{measure.short_key}"


def note(comparison: Comparison, written: Written) -> str:
    """The description of the summary run, in Markdown. It has what the terminal shows, which is everything
    but the single runs, as far as it fits.
    """
    pages = ([written.report.name] if written.report else []) + ["comparison.md"]
    more = f"The runs and the figures are among the artifacts: {', '.join(pages)}."
    return note_of([*written.defects, *text.paragraphs(comparison)], more)
