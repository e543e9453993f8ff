"""A comparison in words and tables: for a terminal, and as Markdown, CSV and JSON."""

import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from csv import DictWriter
from dataclasses import fields, is_dataclass
from json import dumps
from typing import Any

from backendexp.analysis import numbers
from backendexp.analysis.findings import (
    INCONCLUSIVE,
    Comparison,
    Contrast,
    Group,
    QualityContrast,
    TrackedRun,
)
from backendexp.analysis.guards import count_of
from backendexp.analysis.verdicts import INTERVALS_ARE_NOT_ADJUSTED
from backendexp.reporting.tables import Table
from backendexp.runs.measures import Measure
from backendexp.runs.results import FINISHED

# The version of the JSON. It is raised when a field is removed or changes its meaning, not when one is added.
SCHEMA = 2

# The columns of the CSV. Their names do not change, and new columns are added at the end.
CSV_COLUMNS = (
    "group",
    "backend",
    "runtime",
    "sweep",
    "engine",
    "runs",
    "finished",
    "measure",
    "unit",
    "measured",
    "median",
    "quartile_low",
    "quartile_high",
    "outliers",
    "baseline",
    "blocks",
    "ratio",
    "ratio_low_95",
    "ratio_high_95",
    "bootstrap_low",
    "bootstrap_high",
    "faster_share",
    "difference",
    "difference_low_90",
    "difference_high_90",
    "margin",
    "p",
    "p_holm",
    "p_equivalent",
    "verdict",
    "withheld",
    "more_blocks",
)


def paragraphs(comparison: Comparison) -> list[str | Table]:
    """The comparison for a terminal: the verdicts first, and last the notes on what could mislead."""
    return [
        *comparison.headlines(),
        *tables(comparison),
        *_on_intervals([*comparison.contrasts, *comparison.qualities]),
        *_withheld([c for c in comparison.contrasts if c.baseline in comparison.baselines]),
        *(group.chance.sentence for group in comparison.groups if group.chance),
        *comparison.parity.sentences,
        *(f"Note: {note}" for note in comparison.notes if note not in comparison.parity.sentences),
    ]


def tables(comparison: Comparison) -> list[Table]:
    """The medians of every group, the ratios of each pair with a baseline, and the differences of all these
    pairs. If two backends are compared, the tables fit a terminal of 80 columns.
    """
    ratios: dict[str, list[Contrast]] = {}
    for c in comparison.contrasts:
        if c.baseline in comparison.baselines:
            ratios.setdefault(_pair(c), []).append(c)
    differences = [q for q in comparison.qualities if q.baseline in comparison.baselines]
    wide = {"pair", "blocks", "p (Holm)"}
    of_pairs = [_without(_ratios(own), wide, {"measure": pair}) for pair, own in ratios.items()]
    of_all = _without(_differences(differences), {"margin", "blocks", "p (Holm)"}, {})
    return [table for table in (_medians(comparison), *of_pairs, of_all) if table.rows]


def _without(table: Table, left_out: set[str], renamed: dict[str, str]) -> Table:
    """The table without some of its columns, and with some titles changed.

    left_out: titles of columns. renamed: from the present title to the new one.
    """
    kept = [at for at, title in enumerate(table.titles) if title not in left_out]
    titles = [renamed.get(table.titles[at], table.titles[at]) for at in kept]
    return Table(titles, [[row[at] for at in kept] for row in table.rows])


# -- Markdown ----------------------------------------------------------------------------------------


def markdown(comparison: Comparison) -> str:
    """The comparison in Markdown: the verdicts, then all that they rest on, down to the single runs."""
    parts = [f"# {' '.join(comparison.title.split())}", _bullets(comparison.headlines())]
    for title, own in _sections(comparison):
        content = [part for part in own if part]
        if content:
            parts += [f"## {title}", *content]
    # Names that users chose may look like HTML, and a browser would take them for it.
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", "\n\n".join(filter(None, parts))) + "\n"


def _sections(comparison: Comparison) -> Iterator[tuple[str, list[str]]]:
    yield "Medians", [_medians(comparison).markdown()]
    yield (
        "Times and memory",
        [
            _table(_ratios(comparison.contrasts)),
            *_on_intervals(comparison.contrasts),
            _bullets(_withheld(comparison.contrasts)),
        ],
    )
    yield (
        comparison.qualities_title,
        [_table(_differences(comparison.qualities)), *_on_intervals(comparison.qualities)],
    )
    guessed = [group for group in comparison.groups if group.chance]
    yield "Chance", [_table(_chances(guessed)), _bullets(g.chance.sentence for g in guessed if g.chance)]
    yield "Parity", [_bullets(comparison.parity.sentences)]
    yield "Notes", [_bullets(note for note in comparison.notes if note not in comparison.parity.sentences)]
    held = {**comparison.versions, **comparison.common}
    yield "Held equal", [_table(Table(["what", "value"], [[key, value] for key, value in held.items()]))]
    yield "Runs", [_table(_runs(comparison))]


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {' '.join(line.split())}" for line in lines)


def _table(table: Table) -> str:
    return table.markdown() if table.rows else ""


def _on_intervals(pairs: Sequence[Contrast | QualityContrast]) -> list[str]:
    """How to read the intervals beside the verdicts; nothing where there are no intervals."""
    return [INTERVALS_ARE_NOT_ADJUSTED] if any(pair.low is not None for pair in pairs) else []


def _withheld(contrasts: Sequence[Contrast]) -> Iterator[str]:
    """A sentence for each reason why verdicts are withheld, with the pair and the measures that it is for."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for c in contrasts:
        if c.withheld:
            reasons.setdefault((_pair(c), c.withheld), []).append(c.measure.title)
    for (pair, reason), titles in reasons.items():
        yield f"No verdict on {pair} in {', '.join(titles)}: {reason}."


# -- tables ------------------------------------------------------------------------------------------


def _medians(comparison: Comparison) -> Table:
    """The medians and quartiles. Each group has a column, because there are more measures than groups."""
    groups = comparison.groups
    rows = [["engine", *(group.engine or numbers.MISSING for group in groups)]]
    rows.append(["finished", *(f"{len(group.finished)} of {len(group.runs)}" for group in groups)])
    for measure in comparison.measures:
        if any(measure.key in group.spreads for group in groups):
            rows.append([measure.heading, *(_spread(group, measure) for group in groups)])
    titles = ["median (quartiles)", *(group.label for group in groups)]
    return Table([*map(_words, titles)], [[*map(_words, row)] for row in rows])


def _spread(group: Group, measure: Measure) -> str:
    found = group.spreads.get(measure.key)
    if found is None:
        return numbers.MISSING
    quartiles = numbers.interval(numbers.of(measure, found.low), numbers.of(measure, found.high))
    return f"{numbers.of(measure, found.median)} ({quartiles})"


def _ratios(contrasts: Sequence[Contrast]) -> Table:
    titles = ["measure", "pair", "ratio", "95% interval", "better in", "blocks", "p (Holm)", "verdict"]
    rows = [
        [
            c.measure.title,
            _pair(c),
            numbers.significant(c.ratio),
            numbers.interval(numbers.significant(c.low), numbers.significant(c.high)),
            numbers.share(c.faster_share),
            str(c.blocks),
            numbers.probability(c.p_holm),
            _verdict(c),
        ]
        for c in contrasts
    ]
    return Table(titles, rows)


def _verdict(c: Contrast) -> str:
    if c.verdict != INCONCLUSIVE or c.more_blocks is None:
        return c.verdict
    return f"{c.verdict}, about {count_of(c.more_blocks, 'more block')}"


def _differences(qualities: Sequence[QualityContrast]) -> Table:
    titles = ["measure", "pair", "difference", "90% interval", "margin", "blocks", "p (Holm)", "verdict"]
    rows = []
    for q in qualities:
        low, high = numbers.signed(q.measure, q.low), numbers.signed(q.measure, q.high)
        rows.append(
            [
                q.measure.title,
                _pair(q),
                numbers.signed(q.measure, q.difference),
                numbers.interval(low, high),
                numbers.margin(q.margin),
                str(q.blocks),
                numbers.probability(q.p_different),
                q.verdict,
            ]
        )
    return Table(titles, rows)


def _chances(groups: Sequence[Group]) -> Table:
    rows = [
        [
            _words(group.label),
            f"{found.correct:,} of {found.guesses:,}",
            f"{found.accuracy:.3f}",
            numbers.interval(f"{found.low:.3f}", f"{found.high:.3f}"),
            numbers.probability(found.p),
        ]
        for group in groups
        if (found := group.chance)
    ]
    return Table(["group", "right", "share", "95% interval", "p of chance"], rows)


def _runs(comparison: Comparison) -> Table:
    titles = ["run", "id", "group", "seed", "block", "position", "load", "status"]
    rows = [
        [
            _words(run.name),
            run.run_id[:8],
            _words(group.label),
            str(run.seed),
            *(numbers.MISSING if n is None else f"{n:g}" for n in (run.block, run.position, run.load)),
            _status(run),
            *(_value(group, run, measure) for measure in comparison.measures),
        ]
        for group in comparison.groups
        for run in group.runs
    ]
    return Table([*titles, *(measure.heading for measure in comparison.measures)], rows)


def _status(run: TrackedRun) -> str:
    return run.status if run.status == FINISHED or not run.reason else f"{run.status} ({_words(run.reason)})"


def _value(group: Group, run: TrackedRun, measure: Measure) -> str:
    shown = numbers.of(measure, run.values.get(measure.key))
    return f"{shown} (outlier)" if run.run_id in group.outliers.get(measure.key, ()) else shown


def _pair(contrast: Contrast | QualityContrast) -> str:
    return _words(f"{contrast.candidate} to {contrast.baseline}")


def _words(text: str) -> str:
    """The text on one line, as a table's cell needs it."""
    return " ".join(text.split())


# -- for programs ------------------------------------------------------------------------------------


def csv(comparison: Comparison) -> str:
    """The comparison as CSV, in full precision. There is a row for each group and measure, in which the group
    is compared with its baseline (`Comparison.baseline_of`).
    """
    ratios = {(c.candidate, c.baseline, c.measure.key): c for c in comparison.contrasts}
    differences = {(q.candidate, q.baseline, q.measure.key): q for q in comparison.qualities}
    text = io.StringIO()
    writer = DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for group in comparison.groups:
        baseline = comparison.baseline_of(group.label) or ""
        for measure in comparison.measures:
            at = (group.label, baseline, measure.key)
            cells = {
                **_group_cells(group, measure),
                "baseline": baseline,
                **_contrast_cells(ratios.get(at), differences.get(at), comparison.margin),
            }
            writer.writerow({name: _cell(value) for name, value in cells.items()})
    return text.getvalue()


def _group_cells(group: Group, measure: Measure) -> dict[str, Any]:
    spread = group.spreads.get(measure.key)
    return {
        "group": group.label,
        "backend": group.backend,
        "runtime": group.runtime,
        "sweep": group.sweep,
        "engine": group.engine,
        "runs": len(group.runs),
        "finished": len(group.finished),
        "measure": measure.key,
        "unit": measure.unit,
        "measured": spread.runs if spread else 0,
        "median": spread and spread.median,
        "quartile_low": spread and spread.low,
        "quartile_high": spread and spread.high,
        "outliers": len(group.outliers.get(measure.key, ())),
    }


def _contrast_cells(
    ratio: Contrast | None, difference: QualityContrast | None, margin: float
) -> dict[str, Any]:
    if ratio is not None:
        return {
            "blocks": ratio.blocks,
            "ratio": ratio.ratio,
            "ratio_low_95": ratio.low,
            "ratio_high_95": ratio.high,
            "bootstrap_low": ratio.bootstrap_low,
            "bootstrap_high": ratio.bootstrap_high,
            "faster_share": ratio.faster_share,
            "margin": margin,
            "p": ratio.p,
            "p_holm": ratio.p_holm,
            "verdict": ratio.verdict,
            "withheld": ratio.withheld,
            "more_blocks": ratio.more_blocks,
        }
    if difference is not None:
        return {
            "blocks": difference.blocks,
            "difference": difference.difference,
            "difference_low_90": difference.low,
            "difference_high_90": difference.high,
            "margin": difference.margin,
            "p_holm": difference.p_different,
            "p_equivalent": difference.p_equivalent,
            "verdict": difference.verdict,
        }
    return {}


def _cell(value: Any) -> Any:
    return "" if value is None or (isinstance(value, float) and not math.isfinite(value)) else value


def to_json(comparison: Comparison) -> str:
    """The dataclasses of `findings` as JSON. Numbers that are not finite become null."""
    return dumps({"schema": SCHEMA, **_plain(comparison)}, indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Measure):
        return {"key": value.key, "title": value.title, "unit": value.unit}
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
