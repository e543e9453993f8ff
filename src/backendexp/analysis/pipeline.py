"""Turns tracked runs into a Comparison: chooses what is compared, checks that it may be, and judges it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from backendexp.analysis import agreement, guards, notes, sides, statistics, verdicts
from backendexp.analysis.agreement import Agreement
from backendexp.analysis.findings import (
    DIFFERENT,
    Chance,
    Comparison,
    Contrast,
    Group,
    QualityContrast,
    Spread,
    TrackedRun,
    keys_of,
)
from backendexp.analysis.sides import Pair, Side
from backendexp.analysis.statistics import Floats, Paired
from backendexp.analysis.verdicts import Sample
from backendexp.runs import keras_metrics, measures
from backendexp.runs.measures import ACCURACY, LOSS, RATIO_MARGIN, Kind, Measure
from backendexp.runs.results import FINISHED
from backendexp.runs.starts import PLANNED, UNTIL_DECIDED
from backendexp.worker.data import labels_are_chance, labels_classes

# The confidence of the interval of a ratio, and of the interval of a quality's difference. The latter is
# lower because two one-sided tests at 5% use it.
_CONFIDENCE, _CONFIDENCE_OF_TWO_TESTS = 1 - statistics.LEVEL, 1 - 2 * statistics.LEVEL
_SEQUENTIAL = (
    "The number of blocks may depend on their results, because the comparison was extended, or ran until it "
    "was decided. So p values and intervals are those of a sequential test, which is valid whenever one "
    "stops. Its intervals are wider than Student's."
)
_VERSIONS = {
    "Keras": "keras_version",
    "Python": "python_version",
    "CPU": "cpu_model",
    "cores": "cores",
    "commit": "git_commit",
}


def analyse(
    runs: Sequence[TrackedRun],
    *,
    title: str,
    baseline: str | None = None,
    by_sweep: bool = False,
    by: str | None = None,
    margin: float = RATIO_MARGIN,
    accuracy_margin: float | None = None,
    loss_margin: float | None = None,
) -> Comparison:
    """Compare the backends, or two sweeps.

    runs: in any order. Runs that summarise other runs are left out.
    title: a heading for the comparison.
    baseline: a backend, or the label of a group; None chooses as `sides.choose_baselines` describes. If two
        sweeps are compared, the baseline is one of them; None chooses the sweep of the first run.
    by_sweep: whether each backend is compared with itself between sweeps.
    by: the setting whose values are compared, on one backend; None compares backends.
    margin: of the ratio of two times, see `Comparison`.
    accuracy_margin, loss_margin: differences that are too small to matter. The former is for every metric
        whose name ends in accuracy. None takes the margin of the measure, see `keras_metrics`.
    Raises ComparisonError: the runs cannot be compared, see `guards`. UserError: parity runs that should have
    started equal did not.
    """
    selected = [run for run in runs if "kind" not in run.tags]
    timed = [run for run in selected if run.role == "timed"]
    judged = _judged(timed, accuracy_margin, loss_margin)
    guards.refuse_margins(
        {"margin": margin, **{f"{m.short_key}_margin": m.margin for m in judged if m.margin is not None}}
    )
    guards.refuse_nothing(timed, selected)
    guards.refuse_unfinished(selected)
    if by is not None:
        guards.refuse_several_backends(timed, by)
        # A run that was killed together with backendexp may have left no plan.
        timed = [run for run in timed if by in run.params or run.status == FINISHED]
    guards.refuse_unlike_plans(timed, by)
    every = sides.split(timed, by_sweep, by)
    for side in every:
        guards.refuse_unlike_versions(side)
    guards.refuse_one_side(every)
    baselines, pairs = _design(timed, every, baseline, by_sweep)
    guards.refuse_no_pairs(pairs, every)
    guards.refuse_few_blocks(pairs)
    common = _common(timed)
    own_starts = common.get("controls.initial_weights") == "False" or guards.changes_start(by)
    guards.refuse_unlike_starts(pairs, own_starts)

    parity = agreement.agreement_of([run for run in selected if run.role == "parity"], every, by)
    beside = guards.beside_others(selected)
    side_by_side = {pair.labels: guards.why_side_by_side(pair, by_sweep) for pair in pairs}
    sequential = _is_sequential(timed)
    qualities = _qualities(pairs, judged, side_by_side, sequential)
    # Where the setting changes what is computed, a difference in quality is a part of the answer.
    same_work = qualities if by is None or guards.should_not_change_results(by) else []
    untimed = _why_untimed(beside, parity, same_work, by_sweep)
    contrasts = _contrasts(pairs, margin, side_by_side, untimed, sequential, by_sweep)
    groups = [_group(side, judged) for side in sides.order(every, baselines)]
    outliers = {group.label: group.outliers for group in groups}
    return Comparison(
        title=title,
        baselines=tuple(side.label for side in baselines),
        groups=tuple(groups),
        contrasts=tuple(contrasts),
        qualities=tuple(qualities),
        parity=parity.found,
        margin=margin,
        common=common,
        versions=_shared({title: [run.tags.get(tag) for run in timed] for title, tag in _VERSIONS.items()}),
        notes=(
            *([_SEQUENTIAL] if sequential else []),
            *(parity.notes(every) if by is None or guards.should_not_change_results(by) else ()),
            *notes.notes(every, beside, outliers, own_starts, by_sweep),
        ),
        by=by,
    )


def _judged(
    timed: Sequence[TrackedRun], accuracy_margin: float | None, loss_margin: float | None
) -> tuple[Measure, ...]:
    """The measures of the runs, with the margins that the caller named in place of their own."""
    found = []
    for measure in measures.compared(keys=keys_of(timed)):
        if measure.key == LOSS and loss_margin is not None:
            measure = replace(measure, margin=loss_margin, relative=False)
        elif measure.key == LOSS and timed and _is_error(timed[0]):
            measure = replace(measure, relative=True)
        elif (measure.metric or "").endswith(ACCURACY) and accuracy_margin is not None:
            measure = replace(measure, margin=accuracy_margin)
        found.append(measure)
    return tuple(found)


def _is_error(run: TrackedRun) -> bool:
    """Whether the loss of a run has the unit of the labels. If the plan left the loss to the labels, the
    metrics that were chosen with it tell.
    """
    loss = run.params.get("training.loss", "")
    if loss != "auto":
        return keras_metrics.is_error(loss)
    return any(key.endswith("mean_absolute_error") for key in run.values)


def _is_sequential(timed: Sequence[TrackedRun]) -> bool:
    """Whether the number of runs of a sweep may depend on their results: a later start of the sweep has
    planned more than an earlier one, or the sweep ran until its result was clear.
    """
    planned: dict[str, set[str]] = {}
    for run in timed:
        if run.sweep is not None and PLANNED in run.tags:
            planned.setdefault(run.sweep, set()).add(run.tags[PLANNED])
    return any(len(own) > 1 or UNTIL_DECIDED in own for own in planned.values())


def _design(
    runs: Sequence[TrackedRun], every: Sequence[Side], baseline: str | None, by_sweep: bool
) -> tuple[list[Side], list[Pair]]:
    if by_sweep:
        first = sides.choose_sweep(runs, baseline)
        return [side for side in every if side.sweep == first], sides.pair_up_sweeps(every, first)
    baselines = sides.choose_baselines(every, baseline)
    return baselines, sides.pair_up(every, baselines)


# -- contrasts ---------------------------------------------------------------------------------------

_Why = Callable[[Pair], str | None]


def _why_untimed(
    beside: set[str], parity: Agreement, qualities: Sequence[QualityContrast], by_sweep: bool
) -> _Why:
    """A function that says why the times of a pair must not have a verdict, or None if they may."""
    differing: dict[tuple[str, str], list[str]] = {}
    for quality in qualities:
        if quality.verdict == DIFFERENT:
            differing.setdefault((quality.baseline, quality.candidate), []).append(quality.measure.title)

    def why(pair: Pair) -> str | None:
        elsewhere = guards.why_other_machine(pair) if by_sweep else guards.why_apart(pair)
        reason = elsewhere or guards.why_parallel(pair, beside) or parity.why_withheld(pair)
        if reason is None and pair.labels in differing:
            reason = f"not of one quality: different {' and '.join(differing[pair.labels])}"
        return reason

    return why


def _contrasts(
    pairs: Sequence[Pair],
    margin: float,
    side_by_side: Mapping[tuple[str, str], str | None],
    why_untimed: _Why,
    sequential: bool,
    by_sweep: bool,
) -> list[Contrast]:
    samples = []
    keys = keys_of(run for pair in pairs for side in (pair.baseline, pair.candidate) for run in side.runs)
    for pair in pairs:
        untimed = why_untimed(pair)
        for measure in measures.ratios(keys):
            is_timed = measure.kind in (Kind.TIME, Kind.RATE)
            withheld = side_by_side[pair.labels] or (untimed if is_timed else None)
            no_sample = guards.why_one_measurement(measure, pair) or guards.why_no_ratio(measure, pair)
            # Within a block the machine is the same for both, so its speed is not in their ratio.
            blocks = [b for b in pair.blocks if by_sweep or not is_timed or guards.on_one_machine(b)]
            values = None if no_sample else _paired_values(blocks, measure)
            samples.append((measure, pair, withheld or no_sample, values))
    margins = [float(np.log1p(margin))] * len(samples)
    found = _sampled(samples, np.log, margins, _CONFIDENCE, sequential)
    intervals = _bootstrapped([values for *_, values in samples])
    return [
        verdicts.on_ratio(replace(sample, bootstrap=interval), margin)
        for sample, interval in zip(found, intervals, strict=True)
    ]


def _qualities(
    pairs: Sequence[Pair],
    judged: Sequence[Measure],
    side_by_side: Mapping[tuple[str, str], str | None],
    sequential: bool,
) -> list[QualityContrast]:
    samples = [
        (measure, pair, side_by_side[pair.labels], _paired_values(pair.blocks, measure))
        for pair in pairs
        for measure in judged
        if measure.kind is Kind.QUALITY
    ]
    own = [_margin(measure, values) for measure, _, _, values in samples]
    found = _sampled(samples, np.asarray, own, _CONFIDENCE_OF_TWO_TESTS, sequential)
    return [verdicts.on_difference(s, margin) for s, margin in zip(found, own, strict=True)]


_Values = tuple[Floats, Floats]


def _margin(measure: Measure, values: _Values) -> float:
    """The margin of a quality, in the measure's own unit."""
    assert measure.margin is not None
    baseline, _ = values
    if not measure.relative or not len(baseline):
        return measure.margin
    return measure.margin * float(np.abs(baseline).mean())


def _paired_values(blocks: Sequence[tuple[TrackedRun, TrackedRun]], measure: Measure) -> _Values:
    """(the baseline's values, the candidate's values) in the blocks in which both have one."""
    both = np.array(
        [[run.values.get(measure.key, np.nan) for run in block] for block in blocks], dtype=float
    ).reshape(-1, 2)
    both = both[np.isfinite(both).all(axis=1)]
    return both[:, 0], both[:, 1]


def _sampled(
    samples: Sequence[tuple[Measure, Pair, str | None, _Values | None]],
    scale: Callable[[Floats], Floats],
    margins: Sequence[float],
    confidence: float,
    sequential: bool,
) -> list[Sample]:
    """The statistics of each sample, with Holm's correction.

    samples: for each, the reason why there is no verdict, or None; and the values, or None if they cannot be
        compared.
    scale: the function of the values whose differences are taken.
    margins: the margin of each sample, on that scale.
    confidence: of the intervals.
    """
    paired = _compare([values for *_, values in samples], scale, margins, confidence, sequential)
    p_holm, tests = _corrected(samples, paired)
    return [
        Sample(
            measure=measure,
            pair=pair,
            blocks=len(pair.blocks) if values is None else len(values[0]),
            paired=paired[number],
            withheld=withheld,
            share_below=statistics.share_below(*values) if values and paired[number] else None,
            p_holm=p_holm.get(number),
            tests=tests.get(measure, 0),
            sequential=sequential,
        )
        for number, (measure, pair, withheld, values) in enumerate(samples)
    ]


def _compare(
    samples: Sequence[_Values | None],
    scale: Callable[[Floats], Floats],
    margins: Sequence[float],
    confidence: float,
    sequential: bool,
) -> list[Paired | None]:
    """The paired statistics of each sample; None for a sample of fewer than two pairs. Samples of the same
    length are computed together, which is faster.
    """
    found: list[Paired | None] = [None] * len(samples)
    for numbers, baseline, candidate in _by_length(samples):
        own = np.array([margins[number] for number in numbers])
        results = statistics.compare_pairs(scale(baseline), scale(candidate), own, confidence, sequential)
        for number, result in zip(numbers, results, strict=True):
            found[number] = result
    return found


def _bootstrapped(samples: Sequence[_Values | None]) -> list[tuple[float, float] | None]:
    """Bootstrap intervals of the mean difference of the logarithms. Samples are treated as in `_compare`."""
    found: list[tuple[float, float] | None] = [None] * len(samples)
    for numbers, baseline, candidate in _by_length(samples):
        results = statistics.bootstrap_intervals(np.log(candidate) - np.log(baseline), _CONFIDENCE)
        for number, (low, high) in zip(numbers, results.tolist(), strict=True):
            found[number] = (low, high)
    return found


def _by_length(samples: Sequence[_Values | None]) -> Iterator[tuple[list[int], Floats, Floats]]:
    """Samples of two pairs or more, grouped by length: (their numbers, the values of the baselines, the
    values of the candidates). The values have a row for each sample.
    """
    lengths: dict[int, list[tuple[int, _Values]]] = {}
    for number, values in enumerate(samples):
        if values is not None and len(values[0]) >= 2:
            lengths.setdefault(len(values[0]), []).append((number, values))
    for members in lengths.values():
        baseline, candidate = (np.array([values[side] for _, values in members]) for side in (0, 1))
        yield [number for number, _ in members], baseline, candidate


def _corrected(
    samples: Sequence[tuple[Measure, Pair, str | None, _Values | None]], paired: Sequence[Paired | None]
) -> tuple[dict[int, float], dict[Measure, int]]:
    """(p after Holm's correction by number of the sample, the number of tests by measure). A sample whose
    verdict is withheld does not count as a test.
    """
    p_values: dict[Measure, dict[int, float]] = {}
    for number, (measure, _, withheld, _) in enumerate(samples):
        result = paired[number]
        if result is not None and not withheld:
            p_values.setdefault(measure, {})[number] = result.p
    corrected = {
        number: p
        for own in p_values.values()
        for number, p in zip(own, statistics.holm(list(own.values())), strict=True)
    }
    return corrected, {measure: len(own) for measure, own in p_values.items()}


# -- groups ------------------------------------------------------------------------------------------


def _group(side: Side, judged: Sequence[Measure]) -> Group:
    spreads = {}
    for measure in judged:
        values = side.values(measure.key)
        if values:
            low, median, high = statistics.quartiles(np.array(values))
            spreads[measure.key] = Spread(median, low, high, len(values))
    engine = " ".join(filter(None, (side.tag("engine"), side.tag("engine_version"))))
    return Group(
        label=side.label,
        backend=side.backend,
        runtime=side.runtime,
        sweep=side.sweep,
        engine=engine,
        runs=side.runs,
        spreads=spreads,
        outliers={m.key: found for m in measures.ratios() if (found := _outliers(side, m))},
        chance=_chance(side),
    )


def _outliers(side: Side, measure: Measure) -> tuple[str, ...]:
    measured = [run for run in side.finished if 0 < run.values.get(measure.key, 0.0) < math.inf]
    found = statistics.outliers(np.array([run.values[measure.key] for run in measured]))
    return tuple(run.run_id for run, is_one in zip(measured, found, strict=True) if is_one)


def _chance(side: Side) -> Chance | None:
    """Whether the accuracy of a side is luck, if nothing can be learned from the data; None for other data.
    If two runs had the same seed and thus the same labels, only the first counts.
    """
    guessed: dict[int, tuple[int, int]] = {}
    for run in side.finished:
        if labels_are_chance(run.params.get("data.kind")) and ACCURACY in run.values:
            samples = int(run.params["data.test_samples"])
            guessed.setdefault(run.seed, (round(run.values[ACCURACY] * samples), samples))
    if not guessed:
        return None
    correct, guesses = (sum(column) for column in zip(*guessed.values(), strict=True))
    return verdicts.on_guessing(side.label, correct, guesses, labels_classes(side.runs[0].params))


def _common(runs: Sequence[TrackedRun]) -> dict[str, str]:
    keys = sorted({key for run in runs for key in run.params})
    return _shared({key: [run.params.get(key) for run in runs] for key in keys})


def _shared(values: Mapping[str, Sequence[str | None]]) -> dict[str, str]:
    """The values that are the same in all runs in which they are known."""
    found = {}
    for key, of_runs in values.items():
        known = {value for value in of_runs if value is not None}
        if len(known) == 1:
            found[key] = known.pop()
    return found
