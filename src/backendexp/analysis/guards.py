"""What must hold before a number is believed.

Functions named `refuse_...` raise ComparisonError if the runs cannot be compared at all. Functions named
`why_...` return the reason why a pair of sides gets no verdict, or None if it may have one.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from backendexp.analysis.findings import TrackedRun
from backendexp.analysis.sides import Pair, Side
from backendexp.errors import ComparisonError
from backendexp.runs import given_up
from backendexp.runs.machine import HOST
from backendexp.runs.measures import IMPORT_TIME, Measure
from backendexp.runs.results import FINISHED

FEWEST_BLOCKS = 3

# The settings that change how a model is computed, but not what, up to rounding.
_ONLY_HOW = {
    "threads",
    "runtime.start",
    "engine.jit_compile",
    "engine.run_eagerly",
    "engine.device",
    "training.steps_per_execution",
}
# The settings that decide the initial weights, or the dtype in which they are kept.
_OF_THE_WEIGHTS = {"training.dtype", "controls.initial_weights"}

# Parameters that may differ, because they distinguish the sides or pair their runs.
# Whether a trained model also predicts changes nothing that the other measures measure.
_OF_THE_SIDE = {"backend.name", "runtime.name", "runtime.python", "runtime.start", "seed", "inference"}
_MACHINE = {"cpu_model": "CPU model", "cores": "number of cores", HOST: "host"}
VERSIONS = {
    "keras_version": "Keras version",
    "engine_version": "engine version",
    "python_version": "Python version",
}
_HOW_TO_COMPARE = "backendexp -m seed='range(10)' backend=tensorflow,theano, or backendexp experiment=compare"


# -- refused -----------------------------------------------------------------------------------------


def refuse_nothing(timed: Sequence[TrackedRun], all_runs: Sequence[TrackedRun]) -> None:
    if not timed:
        only = f"all {len(all_runs)} of them are parity runs" if all_runs else "the selection is empty"
        raise ComparisonError(f"there are no timed runs to compare: {only}. Make some with {_HOW_TO_COMPARE}")


def refuse_unfinished(runs: Sequence[TrackedRun]) -> None:
    running = [run for run in runs if run.status in ("RUNNING", "SCHEDULED")]
    if running:
        host = running[0].tags.get(HOST)
        lost = f"{given_up.remedy(host)}. " if host else ""
        raise ComparisonError(
            f"{len(running)} of {len(runs)} runs are still RUNNING, e.g. {running[0].name}. Wait until they "
            "have ended. If a run's process was killed, the run is closed when backendexp next makes a run "
            f"on that machine. {lost}If backendexp cannot know that, e.g. after a move to another container, "
            f"remove the run with: mlflow runs delete --run-id {running[0].run_id}"
        )


def refuse_several_backends(runs: Sequence[TrackedRun], by: str) -> None:
    """The values of a setting are compared on one backend of one runtime."""
    for key, value in (("backend", "backend"), ("runtime", "runtime")):
        _refuse_several(
            f"the {key}",
            ((run, getattr(run, value)) for run in runs),
            f"The values of {by} are compared on one backend of one runtime: select the runs of one",
        )


def should_not_change_results(by: str) -> bool:
    """Whether a setting only changes how a model is computed, not what."""
    return by in _ONLY_HOW


def changes_start(by: str | None) -> bool:
    """Whether the initial weights differ, because the values of a setting that decides them are compared."""
    return by is not None and (by.startswith("model.") or by in _OF_THE_WEIGHTS)


def refuse_one_side(sides: Sequence[Side]) -> None:
    if len(sides) == 1:
        side = sides[0]
        if side.setting is not None:
            raise ComparisonError(
                f"all runs ({len(side.runs)}) have {side.setting}, and a comparison needs two values of it. "
                "Make runs with others: backendexp experiment=compare compare.by=threads compare.values=[1,2]"
            )
        raise ComparisonError(
            f"all runs ({len(side.runs)}) are of {side.label}, and a comparison needs two backends. "
            f"Run another with it: {_HOW_TO_COMPARE}; or compare two sweeps of it"
        )


def refuse_unlike_plans(runs: Sequence[TrackedRun], by: str | None = None) -> None:
    """All runs must have the same parameters, apart from the backend, its runtime and the seed.

    by: the setting whose values are compared, so that it may differ as well.
    """
    for key in sorted({key for run in runs for key in run.params} - _OF_THE_SIDE - {by}):
        part, _, name = key.partition(".")
        _refuse_several(
            f"the digest of the code of {part}._target_" if name == "_source_" else key,
            ((run, run.params[key]) for run in runs if key in run.params),
            "In a comparison only the backend, its runtime and the seed may differ: select the runs of one "
            f"plan, or compare the values on one backend with --by {key}"
            if by is None
            else f"In a comparison by {by} only {by} and the seed may differ: select the runs of one plan",
        )


def refuse_unlike_versions(side: Side) -> None:
    for tag, title in VERSIONS.items():
        _refuse_several(
            f"the {title} of {side.label}",
            ((run, run.tags[tag]) for run in side.runs if run.tags.get(tag)),
            "It was changed between the runs. Select the runs of one version, or compare the sweep before "
            "the change with the one after it",
        )


def refuse_unlike_starts(pairs: Iterable[Pair], own_starts: bool) -> None:
    """The two runs of a block must have had the same data and the same initial weights.

    own_starts: whether each engine drew its own initial weights; then those may differ.
    """
    for pair in pairs:
        for a, b in pair.blocks:
            for tag, what in (("data_digest", "data"), ("weights_digest", "initial weights")):
                digests = a.tags.get(tag), b.tags.get(tag)
                if None in digests or digests[0] == digests[1] or (own_starts and tag == "weights_digest"):
                    continue
                raise ComparisonError(
                    f"{b.name} had different {what} from {a.name}, though both are in one block "
                    f"({_place(a)}): the digests are {str(digests[1])[:12]} and {str(digests[0])[:12]}. "
                    "Runs of a block start equal, so one of them used different code, or a different file"
                )


def refuse_no_pairs(pairs: Sequence[Pair], sides: Sequence[Side]) -> None:
    """Two sweeps that are compared must have a backend in common."""
    if not pairs:
        raise ComparisonError(
            f"no backend ran in both sweeps ({'; '.join(side.label for side in sides)}), so there is nothing "
            "to compare. Select two sweeps that have a backend in common"
        )


def refuse_few_blocks(pairs: Sequence[Pair]) -> None:
    best = max(pairs, key=lambda pair: len(pair.blocks))
    if len(best.blocks) < FEWEST_BLOCKS:
        runs = [*best.baseline.runs, *best.candidate.runs]
        lost = sum(run.status != FINISHED for run in runs)
        ended = f"; {lost} of their {len(runs)} runs did not finish" if lost else ""
        raise ComparisonError(
            f"{best.baseline.label} and {best.candidate.label} have "
            f"{count_of(len(best.blocks), 'complete block')} (one run of each that finished, of one seed)"
            f"{ended}. A verdict needs {FEWEST_BLOCKS} at least. More come with compare.blocks=10, or in a "
            "sweep with seed='range(10)'"
        )


def refuse_margins(margins: Mapping[str, float]) -> None:
    """Every margin must be a finite number above 0.

    margins: by the name of the setting.
    """
    for name, margin in margins.items():
        if not (math.isfinite(margin) and margin > 0):
            raise ComparisonError(f"{name} is {margin}: expected a number above 0, e.g. {name}=0.05")


def _refuse_several(what: str, values: Iterable[tuple[TrackedRun, str]], mend: str) -> None:
    """Raises ComparisonError: the runs have more than one value.

    what: what the values are of. mend: what the user can do about it.
    """
    met: dict[str, TrackedRun] = {}
    for run, value in values:
        met.setdefault(value, run)
        if len(met) > 1:
            (first, of_first), (second, of_second) = met.items()
            raise ComparisonError(
                f"these runs are not alike: {what} is {first} in {_named(of_first)} and {second} in "
                f"{_named(of_second)}. {mend}"
            )


# -- withheld ----------------------------------------------------------------------------------------


def why_side_by_side(pair: Pair, by_sweep: bool) -> str | None:
    """Why the two sides must not be compared in any measure.

    by_sweep: whether two sweeps are compared. They may differ in versions, because that is what they are
        compared for.
    """
    a, b = pair.baseline, pair.candidate
    keras = a.tag("keras_version"), b.tag("keras_version")
    if a.runtime != b.runtime or (keras[0] != keras[1] and None not in keras and not by_sweep):
        versions = " and ".join(v or s.runtime for v, s in zip(keras, (a, b), strict=True))
        return f"different Keras: {versions}; side by side only"
    if a.backend != b.backend:
        for key, first, second in (("python", a.python, b.python), ("start", a.start, b.start)):
            if first != second:
                return f"runtime.{key} differs too: {first} and {second}; side by side only"
    return None


def why_other_machine(pair: Pair) -> str | None:
    """Why the times of a backend in two sweeps have no verdict if the sweeps ran on unlike machines."""
    for tag in ("cpu_model", "cores"):
        met = [_known(tag, side.runs) for side in (pair.baseline, pair.candidate)]
        both = {value for known in met for value in known}
        if all(met) and len(both) > 1:
            return f"different machines: {_MACHINE[tag]} {' and '.join(sorted(both))}"
    return None


def why_apart(pair: Pair) -> str | None:
    """Why the times of a pair have no verdict if too few of its blocks ran on one machine."""
    together = sum(map(on_one_machine, pair.blocks))
    if together == len(pair.blocks) or together >= FEWEST_BLOCKS:
        return None
    return f"in only {together} of {len(pair.blocks)} blocks, both runs were on one machine"


def on_one_machine(block: tuple[TrackedRun, TrackedRun]) -> bool:
    """Whether both runs of a block were on one machine, as far as their tags tell."""
    return all(len(_known(tag, block)) <= 1 for tag in _MACHINE)


def _known(tag: str, runs: Iterable[TrackedRun]) -> set[str]:
    return {run.tags[tag] for run in runs if run.tags.get(tag)}


def why_parallel(pair: Pair, beside: set[str]) -> str | None:
    """Why the times of a pair have no verdict if some of its runs ran at the same time as others.

    beside: ids of the runs that ran while another run did.
    """
    runs = [run for block in pair.blocks for run in block]
    count = sum(run.run_id in beside for run in runs)
    return f"{count} of {len(runs)} runs ran beside others" if count else None


def why_one_measurement(measure: Measure, pair: Pair) -> str | None:
    """Why the import times of a pair have no verdict if runs share an import.

    All runs of one worker report the worker's import time, so equal numbers are one measurement.
    """
    if measure.key != IMPORT_TIME:
        return None
    for side, runs in _runs_of(pair):
        reported = [run.values[IMPORT_TIME] for run in runs if IMPORT_TIME in run.values]
        if len(set(reported)) < len(reported):
            return (
                f"{side.label} imported Keras {count_of(len(set(reported)), 'time')} for {len(reported)} "
                "runs; runtime.start=spawn imports it for each"
            )
    return None


def why_no_ratio(measure: Measure, pair: Pair) -> str | None:
    """Why a pair has no ratio: a side has no values, or one of 0, which has no logarithm.

    A time is 0 if it is too short for the clock, or for the subtraction that computes it.
    """
    for side, runs in _runs_of(pair):
        known = [run.values[measure.key] for run in runs if measure.key in run.values]
        if not known and runs:
            return f"{side.label} did not measure it"
        zeros = sum(value <= 0 for value in known)
        if zeros:
            return f"it took {side.label} no measurable time in {zeros} of {len(known)} runs"
    return None


def _runs_of(pair: Pair) -> list[tuple[Side, list[TrackedRun]]]:
    """Each side with its runs in the blocks of the pair."""
    return [
        (pair.baseline, [a for a, _ in pair.blocks]),
        (pair.candidate, [b for _, b in pair.blocks]),
    ]


def beside_others(runs: Sequence[TrackedRun]) -> set[str]:
    """Ids of the runs that ran while another run did, according to their tag or to their machine's clock.

    Only finished runs are compared by the clock, because nobody knows when a lost run ended.
    """
    found = {run.run_id for run in runs if run.parallel}
    latest: dict[str, TrackedRun] = {}
    finished = [run for run in runs if run.status == FINISHED and run.ended_ms is not None]
    for run in sorted(finished, key=lambda run: (run.began_ms, run.run_id)):
        host = run.tags.get(HOST, "")
        before = latest.get(host)
        if before is not None and run.began_ms < _end(before):
            found |= {run.run_id, before.run_id}
        if before is None or _end(run) > _end(before):
            latest[host] = run
    return found


def _end(run: TrackedRun) -> int:
    assert run.ended_ms is not None
    return run.ended_ms


def _named(run: TrackedRun) -> str:
    return f"{run.name} (of {run.sweep})" if run.sweep else run.name


def _place(run: TrackedRun) -> str:
    return f"seed {run.seed}" if run.block is None else f"block {run.block}, seed {run.seed}"


def count_of(number: int, what: str) -> str:
    """ "1 run", "2 runs"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
