"""A comparison as one HTML page that makes no requests: the verdicts first, then what they rest on.

This module decides what the page shows; report.html.j2 lays it out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from backendexp.analysis import findings, numbers
from backendexp.analysis.findings import (
    Chance,
    Comparison,
    Contrast,
    Group,
    QualityContrast,
    Spread,
    TrackedRun,
)
from backendexp.analysis.verdicts import INTERVALS_ARE_NOT_ADJUSTED
from backendexp.reporting import figures, pages
from backendexp.reporting.svg import Figure
from backendexp.runs import measures
from backendexp.runs.measures import Measure
from backendexp.runs.results import FINISHED

# A phone can scroll a page with so many runs. The CSV and the store have all runs.
MOST_RUNS = 500
# If the page shows more runs than this, their table is folded at first.
_FOLD_FROM = 30

# A character for each verdict, so that colour is not needed to see it. An arrow down means less.
_MARKS = {
    findings.FASTER: "\N{DOWNWARDS ARROW}",
    findings.LESS: "\N{DOWNWARDS ARROW}",
    findings.SLOWER: "\N{UPWARDS ARROW}",
    findings.MORE: "\N{UPWARDS ARROW}",
    findings.EQUIVALENT: "\N{ALMOST EQUAL TO}",
    findings.DIFFERENT: "\N{NOT EQUAL TO}",
    findings.INCONCLUSIVE: "?",
    findings.WITHHELD: "\N{MULTIPLICATION SIGN}",
}


@dataclass(frozen=True)
class Verdict:
    """A verdict as the page shows it.

    word: "faster", "equivalent" and so on.
    mark: the same as one character.
    sentence: the verdict in words, with its numbers.
    """

    word: str
    mark: str
    sentence: str


@dataclass(frozen=True)
class PairVerdicts:
    candidate: str
    baseline: str
    verdicts: tuple[Verdict, ...]


def html(comparison: Comparison, drawn: Sequence[Figure] | None = None) -> str:
    """The page.

    drawn: its figures, as `figures.of` draws them; None draws them now.
    """
    from markupsafe import Markup

    drawn = figures.of(comparison) if drawn is None else drawn
    return pages.render(
        "report.html.j2",
        question=_question(comparison),
        title=comparison.title,
        facts=_facts(comparison),
        pairs=list(_verdicts(comparison)),
        throughout=list(_throughout(comparison)),
        ratios=next((figure for figure in drawn if figure.name == "ratios"), None),
        figures=[figure for figure in drawn if figure.name != "ratios"],
        groups=comparison.groups,
        medians=_medians(comparison),
        contrasts=_tables(comparison, comparison.contrasts, _contrast_cells),
        qualities=_tables(comparison, comparison.qualities, _quality_cells),
        chances=[group for group in comparison.groups if group.chance is not None],
        parity=comparison.parity,
        notes=[note for note in comparison.notes if note not in comparison.parity.sentences],
        held=[("Versions and machine", comparison.versions), ("Parameters", comparison.common)],
        runs=_runs(comparison),
        measures=[measure.heading for measure in comparison.shown_by_run],
        qualities_title=comparison.qualities_title,
        on_intervals=INTERVALS_ARE_NOT_ADJUSTED,
        marks=_MARKS,
        number=numbers,
        drawing=lambda figure: Markup(figure.text),
    )


def _question(comparison: Comparison) -> str:
    if len({group.sweep for group in comparison.groups}) > 1:
        return "What changed between the sweeps?"
    if comparison.by is not None:
        return f"What does {comparison.by} change on {comparison.groups[0].backend}?"
    if len({group.backend for group in comparison.groups}) == 2:
        return f"Which backend is faster, and is one {_better(comparison)}?"
    return f"Which backends are faster, and are some {_better(comparison)}?"


def _better(comparison: Comparison) -> str:
    known = comparison.quality
    return "more accurate" if known is not None and known.key == measures.ACCURACY else "better"


def _facts(comparison: Comparison) -> list[str]:
    runs = [run for group in comparison.groups for run in group.runs]
    finished = sum(len(group.finished) for group in comparison.groups)
    days = sorted({_day(run.began_ms) for run in (min(runs, key=_began), max(runs, key=_began))})
    facts = [f"{finished} of {len(runs)} runs finished"]
    blocks = {(run.sweep, run.block) for run in runs if run.block is not None}
    if blocks:
        facts.append(f"{len(blocks)} randomised blocks")
    return [*facts, " to ".join(f"{day.day} {day:%B %Y}" for day in days)]


def _began(run: TrackedRun) -> int:
    return run.began_ms


def _day(since_1970_ms: int) -> Any:
    return datetime.fromtimestamp(since_1970_ms / 1000, UTC).date()


# -- verdicts ----------------------------------------------------------------------------------------


def _verdicts(comparison: Comparison) -> Iterator[PairVerdicts]:
    """The verdicts of `Comparison.headlines`, by pair. Pairs without any verdict come last, and give the
    reason once.
    """
    pairs: dict[tuple[str, str], list[Contrast | QualityContrast]] = {}
    every: list[Contrast | QualityContrast] = [*comparison.contrasts, *comparison.qualities]
    for c in every:
        if c.measure.headline and c.baseline in comparison.baselines:
            pairs.setdefault((c.candidate, c.baseline), []).append(c)
    withheld = []
    for (candidate, baseline), pair in pairs.items():
        reasons = {c.withheld for c in pair if isinstance(c, Contrast)}
        if {c.verdict for c in pair} == {findings.WITHHELD} and len(reasons) == 1:
            titles = " or ".join(
                ["times", *(c.measure.title for c in pair if isinstance(c, QualityContrast))]
            )
            sentence = f"No verdict on {titles}: {reasons.pop()}."
            none = Verdict(findings.WITHHELD, _MARKS[findings.WITHHELD], sentence)
            withheld.append(PairVerdicts(candidate, baseline, (none,)))
        else:
            verdicts = (Verdict(c.verdict, _MARKS[c.verdict], c.sentence) for c in pair)
            yield PairVerdicts(candidate, baseline, tuple(verdicts))
    yield from withheld


def _throughout(comparison: Comparison) -> Iterator[Verdict]:
    """What all verdicts depend on: whether the backends computed the same, and whether accuracy is luck."""
    parity = comparison.parity
    if parity.agree is None:
        yield Verdict("not checked", "?", "Whether the backends compute the same was not checked.")
    elif parity.agree:
        yield Verdict("same", "=", f"{parity.sentences[0]}, which rounding explains.")
    else:
        beyond = [
            f"{label} computes something else: its losses are {numbers.scientific(distance)} away, where "
            f"rounding explains {numbers.scientific(bound)}."
            for label, (distance, bound) in parity.distances.items()
            if not distance <= bound
        ]
        sentence = " ".join(beyond or parity.sentences)
        yield Verdict(findings.DIFFERENT, _MARKS[findings.DIFFERENT], sentence)
    chances = [group.chance for group in comparison.groups if group.chance is not None]
    if chances:
        telling = min(chances, key=lambda chance: chance.p)
        word, mark = ("luck", "\N{ALMOST EQUAL TO}") if telling.p >= 0.05 else ("look closer", "!")
        sentence = f"{_labels(telling)}. {telling.sentence}"
        if len(chances) > 1:
            sentence += f" No group is further from {_expected(telling)} than this one."
        yield Verdict(word, mark, sentence)


def _labels(chance: Chance) -> str:
    return "The labels are coin flips" if chance.expected == 0.5 else "The labels are random"


def _expected(chance: Chance) -> str:
    return "one half" if chance.expected == 0.5 else f"{chance.expected:.3f}"


# -- tables ------------------------------------------------------------------------------------------


def _medians(comparison: Comparison) -> list[tuple[str, list[tuple[str, str]]]]:
    """The rows of the table of medians: (heading of the measure, (median, quartiles) of each group)."""
    rows = []
    for measure in comparison.measures:
        spreads = [group.spreads.get(measure.key) for group in comparison.groups]
        if any(spreads):
            rows.append((measure.heading, [_spread(measure, spread) for spread in spreads]))
    return rows


def _spread(measure: Measure, spread: Spread | None) -> tuple[str, str]:
    if spread is None:
        return numbers.MISSING, ""
    low, high = numbers.of(measure, spread.low), numbers.of(measure, spread.high)
    return numbers.of(measure, spread.median), numbers.interval(low, high)


@dataclass(frozen=True)
class PairTable:
    """The table of one pair.

    beside: whether the pair is of less interest, because it is not with the candidate's own baseline.
    rows: (title of the measure, cells, verdict).
    reasons: why verdicts are withheld, each reason once.
    """

    candidate: str
    baseline: str
    beside: bool
    rows: list[tuple[str, list[str], str]]
    reasons: list[str]


def _tables(comparison: Comparison, pairs: Sequence[Any], cells_of: Any) -> list[PairTable]:
    return [
        PairTable(
            candidate,
            baseline,
            comparison.baseline_of(candidate) != baseline,
            [(own.measure.title, cells_of(own), own.verdict) for own in members],
            list(dict.fromkeys(own.withheld for own in members if getattr(own, "withheld", None))),
        )
        for (candidate, baseline), group in groupby(pairs, key=lambda pair: (pair.candidate, pair.baseline))
        for members in [list(group)]
    ]


def _contrast_cells(c: Contrast) -> list[str]:
    return [
        numbers.significant(c.ratio),
        numbers.interval(numbers.significant(c.low), numbers.significant(c.high)),
        numbers.share(c.faster_share),
        str(c.blocks),
        numbers.probability(c.p_holm),
    ]


def _quality_cells(q: QualityContrast) -> list[str]:
    return [
        numbers.signed(q.measure, q.difference),
        numbers.interval(numbers.signed(q.measure, q.low), numbers.signed(q.measure, q.high)),
        numbers.margin(q.margin),
        str(q.blocks),
        numbers.probability(q.p_equivalent),
        numbers.probability(q.p_different),
    ]


# -- runs --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunRow:
    """A row of the table of runs.

    cells: for each measure of `Comparison.shown_by_run`, (its number, whether the run is an outlier in it).
    """

    run: TrackedRun
    group: str
    status: str
    finished: bool
    cells: list[tuple[str, bool]]


@dataclass(frozen=True)
class RunRows:
    """The table of runs.

    shown: the rows that the page shows. total: how many runs there are.
    fold: whether the table is closed at first.
    """

    shown: list[RunRow]
    total: int
    fold: bool


def _runs(comparison: Comparison) -> RunRows:
    """The runs in the order of their start. If there are too many to show, those that failed or are outliers
    come first.
    """
    members = [(run, group) for group in comparison.groups for run in group.runs]
    members.sort(key=lambda member: member[0].began_ms)
    if len(members) > MOST_RUNS:
        members.sort(key=lambda member: not _is_odd(*member))
    shown = [_row(run, group, comparison.shown_by_run) for run, group in members[:MOST_RUNS]]
    return RunRows(shown, len(members), len(shown) > _FOLD_FROM)


def _is_odd(run: TrackedRun, group: Group) -> bool:
    return run.status != FINISHED or any(run.run_id in ids for ids in group.outliers.values())


def _row(run: TrackedRun, group: Group, shown: Sequence[Measure]) -> RunRow:
    return RunRow(
        run,
        group.label,
        run.status if run.status == FINISHED or not run.reason else f"{run.status}: {run.reason}",
        run.status == FINISHED,
        [(numbers.of(m, run.values.get(m.key)), run.run_id in group.outliers.get(m.key, ())) for m in shown],
    )
