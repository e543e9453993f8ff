"""Notes on what can make a comparison mislead: failures, order, drift, spread, outliers and load."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from backendexp.analysis import numbers, statistics
from backendexp.analysis.findings import TrackedRun
from backendexp.analysis.guards import FEWEST_BLOCKS, VERSIONS, count_of, on_one_machine
from backendexp.analysis.order import order_caveat
from backendexp.analysis.sides import Pair, Side
from backendexp.runs import machine, measures
from backendexp.runs.measures import Kind, Measure
from backendexp.runs.results import FINISHED

# A measure is called unstable if its robust standard deviation is more than this share of the median.
UNSTABLE = 0.10
# The level of significance of the rank correlation with the order of the runs.
DRIFT_LEVEL = 0.01
# How much a run may itself add to the load average, beyond one thread for each core.
_OWN_LOAD = 1.0


def watched() -> tuple[Measure, ...]:
    """The measures whose stability is looked at: the times whose verdicts a comparison shows first."""
    return tuple(measure for measure in measures.headlines() if measure.kind is Kind.TIME)


def notes(
    sides: Sequence[Side],
    beside: set[str],
    outliers: Mapping[str, Mapping[str, tuple[str, ...]]],
    own_starts: bool,
    by_sweep: bool,
) -> Iterator[str]:
    """Every note, as a sentence.

    beside: ids of the runs that ran while another run did.
    outliers: ids of the outlying runs, by the label of the side and then by the key of the measure.
    own_starts: whether each engine drew its own initial weights.
    by_sweep: whether two sweeps are compared with each other.
    """
    runs = sorted((run for side in sides for run in side.runs), key=lambda run: (run.began_ms, run.run_id))
    for side in sides:
        yield from _losses(side)
        yield from _repetitions(side)
    count = sum(run.run_id in beside for run in runs)
    if count:
        yield (
            f"{count} of {len(runs)} runs ran beside others, so times have no verdict. Timed runs are to be "
            "serial: Hydra's basic launcher makes them so."
        )
    if len({(side.runtime, side.tag("keras_version")) for side in sides}) > 1 and not by_sweep:
        yield "Runs of different Keras versions stand side by side; they do not compare backends."
    yield from _order(sides, runs, by_sweep)
    if not by_sweep:
        yield from _machines(sides, runs)
    if own_starts:
        yield (
            "The starts differ: each engine drew its own initial weights (controls.initial_weights=false). "
            "A part of every difference in loss and accuracy is theirs."
        )
    for side in sides:
        yield from _caches(side)
        for measure in watched():
            yield from _stability(side, measure, outliers.get(side.label, {}).get(measure.key, ()))
    yield from _load(runs)


def _losses(side: Side) -> Iterator[str]:
    lost = [run for run in side.runs if run.status != FINISHED]
    if lost:
        reasons = Counter(run.reason or run.status.lower() for run in lost)
        listed = ", ".join(f"{reason} ({count})" for reason, count in sorted(reasons.items()))
        yield f"{len(lost)} of {len(side.runs)} runs of {side.label} did not finish: {listed}."


def _repetitions(side: Side) -> Iterator[str]:
    if side.repeated:
        yield (
            f"{count_of(side.repeated, 'run')} of {side.label} repeated a plan, with its seed: in blocks, "
            "the first run of a seed that finished counts."
        )


def _order(sides: Sequence[Side], runs: Sequence[TrackedRun], by_sweep: bool) -> Iterator[str]:
    labels = {run.run_id: side.label for side in sides for run in side.runs}
    if by_sweep:
        if order_caveat([run.sweep or "" for run in runs]):
            yield (
                "One sweep ran wholly before the other, so a drift of the machine between them looks like a "
                "difference."
            )
        hosts = machine.hosts(run.tags for run in runs)
        if len(hosts) > 1:
            yield f"The sweeps ran on different hosts: {', '.join(hosts)}."
        for tag, title in VERSIONS.items():
            for backend in sorted({side.backend for side in sides}):
                own = {s.sweep: s.tag(tag) for s in sides if s.backend == backend and s.tag(tag)}
                if len(set(own.values())) > 1:
                    listed = ", ".join(f"{version} in {sweep}" for sweep, version in own.items())
                    yield f"The {title} of {backend} differs: {listed}."
    else:
        caveat = order_caveat([labels[run.run_id] for run in runs])
        if caveat:
            yield caveat


def _machines(sides: Sequence[Side], runs: Sequence[TrackedRun]) -> Iterator[str]:
    hosts = machine.hosts(run.tags for run in runs)
    if len(hosts) > 1:
        yield (
            f"The runs are from {len(hosts)} machines ({', '.join(hosts)}). Ratios of times are of blocks "
            "whose runs shared a machine. The medians of times hold the differences between the machines."
        )
    for a, b in combinations(sides, 2):
        blocks = Pair(a, b).blocks
        apart = sum(not on_one_machine(block) for block in blocks)
        if apart:
            yield (
                f"{a.label} and {b.label} ran on different machines in {apart} of {len(blocks)} blocks, "
                "which do not count for times."
            )


def _caches(side: Side) -> Iterator[str]:
    cold = sum(run.tags.get("compile_cache") == "empty" for run in side.finished)
    if cold:
        yield (
            f"{count_of(cold, 'run')} of {side.label} started with an empty compile cache: the first epoch "
            "holds compilation that later runs do not repeat."
        )


def _stability(side: Side, measure: Measure, outliers: tuple[str, ...]) -> Iterator[str]:
    values = np.array([value for value in side.values(measure.key) if value > 0])
    if len(values) < FEWEST_BLOCKS:
        return
    variation = statistics.robust_variation(values)
    if variation > UNSTABLE:
        yield (
            f"{measure.title} of {side.label} is unstable: its robust standard deviation is {variation:.0%} "
            "of the median."
        )
    rho, p = statistics.drift(values)
    if p < DRIFT_LEVEL:
        yield (
            f"{measure.title} of {side.label} drifted: later runs were {'slower' if rho > 0 else 'faster'} "
            f"(Spearman's rho {rho:.2f} over {len(values)} runs, p {numbers.probability(p)}). Blocks hold "
            "runs of about the same time, so the ratios suffer less than the medians."
        )
    yield from _position(side, measure)
    if outliers:
        names = {run.run_id: run.name for run in side.runs}
        listed = ", ".join(names[run_id] for run_id in outliers[:3]) + (", ..." if len(outliers) > 3 else "")
        yield (
            f"{measure.title} of {side.label} has {count_of(len(outliers), 'outlier')} ({listed}), labelled "
            "and kept in every number."
        )


def _position(side: Side, measure: Measure) -> Iterator[str]:
    """A note if the measure depends on whether a run came early or late in its block."""
    placed = [
        (run.position, run.values[measure.key])
        for run in side.finished
        if run.position is not None and measure.key in run.values
    ]
    positions, values = np.array([p for p, _ in placed]), np.array([value for _, value in placed])
    rho, p = statistics.drift(values, positions)
    if p < DRIFT_LEVEL:
        yield (
            f"{measure.title} of {side.label} depends on the position in the block: later is "
            f"{'slower' if rho > 0 else 'faster'} (Spearman's rho {rho:.2f}, p {numbers.probability(p)})."
        )


def _load(runs: Sequence[TrackedRun]) -> Iterator[str]:
    busy = [
        run.load
        for run in runs
        if run.load is not None and run.load > float(run.tags.get("cores", "inf")) + _OWN_LOAD
    ]
    if busy:
        yield (
            f"{count_of(len(busy), 'run')} of {len(runs)} began under a load average above the number of "
            f"cores (up to {max(busy):.1f}): something else was at work."
        )
