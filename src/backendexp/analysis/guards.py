"""What must hold before a number is believed: what is refused, what is withheld.

`refuse_...` raise ComparisonError. `why_...` return the reason why a pair has no verdict, or None.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from backendexp.analysis.findings import TrackedRun
from backendexp.analysis.sides import Pair, Side
from backendexp.errors import ComparisonError
from backendexp.runs.measures import IMPORT_TIME, Measure
from backendexp.runs.results import FINISHED

FEWEST_BLOCKS = 3

# What tells sides apart, or pairs their runs, and so may differ.
_OF_THE_SIDE = {"backend.name", "runtime.name", "runtime.python", "runtime.start", "seed"}
HOST = "backendexp.host"
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
        raise ComparisonError(
            f"{len(running)} of {len(runs)} runs are still RUNNING, e.g. {running[0].name}. Wait until they "
            "have ended. Runs whose process was killed are closed when backendexp next makes a run on their "
            "machine; one of which nobody can tell, e.g. after a move to another container, is taken out "
            f"with: mlflow runs delete --run-id {running[0].run_id}"
        )


def refuse_one_side(sides: Sequence[Side]) -> None:
    if len(sides) == 1:
        side = sides[0]
        raise ComparisonError(
            f"all runs ({len(side.runs)}) are of {side.label}, and a comparison needs two backends. "
            f"Run another with it: {_HOW_TO_COMPARE}; or compare two sweeps of it"
        )


def refuse_unlike_plans(runs: Sequence[TrackedRun]) -> None:
    """Everything but the backend, its runtime and the seed is the same in all of them."""
    for key in sorted({key for run in runs for key in run.params} - _OF_THE_SIDE):
        _refuse_several(
            key,
            ((run, run.params[key]) for run in runs if key in run.params),
            "A comparison holds everything equal but the backend, its runtime and the seed: select runs of "
            "one plan",
        )


def refuse_unlike_machines(runs: Sequence[TrackedRun]) -> None:
    for tag, title in _MACHINE.items():
        _refuse_several(
            f"the {title}",
            ((run, run.tags[tag]) for run in runs if run.tags.get(tag)),
            "Times of different machines do not compare backends: select runs of one",
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
    """The two runs of a block had the same data, and the same initial weights unless `own_starts`: unless
    each engine drew its own.
    """
    for pair in pairs:
        for a, b in pair.blocks:
            for tag, what in (("data_digest", "data"), ("weights_digest", "initial weights")):
                digests = a.tags.get(tag), b.tags.get(tag)
                if None in digests or digests[0] == digests[1] or (own_starts and tag == "weights_digest"):
                    continue
                raise ComparisonError(
                    f"{b.name} had other {what} than {a.name}, though they are of one block "
                    f"({_place(a)}): the digests are {str(digests[1])[:12]} and {str(digests[0])[:12]}. "
                    "Runs of a block start equal, so one was made with other code, or of another file"
                )


def refuse_no_pairs(pairs: Sequence[Pair], sides: Sequence[Side]) -> None:
    """Of sweeps that are compared with each other."""
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
    """margins: by the name of the setting."""
    for name, margin in margins.items():
        if not (math.isfinite(margin) and margin > 0):
            raise ComparisonError(f"{name} is {margin}: expected a number above 0, e.g. {name}=0.05")


def _refuse_several(what: str, values: Iterable[tuple[TrackedRun, str]], mend: str) -> None:
    """Raises ComparisonError: the runs have more than one value."""
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
    """The two must not be compared in anything. Between sweeps, versions are what is compared."""
    a, b = pair.baseline, pair.candidate
    keras = a.tag("keras_version"), b.tag("keras_version")
    if a.runtime != b.runtime or (keras[0] != keras[1] and None not in keras and not by_sweep):
        told = " and ".join(v or s.runtime for v, s in zip(keras, (a, b), strict=True))
        return f"different Keras: {told}; side by side only"
    if a.backend != b.backend:
        for key, first, second in (("python", a.python, b.python), ("start", a.start, b.start)):
            if first != second:
                return f"runtime.{key} differs too: {first} and {second}; side by side only"
    return None


def why_other_machine(pair: Pair) -> str | None:
    for tag in ("cpu_model", "cores"):
        first, second = pair.baseline.tag(tag), pair.candidate.tag(tag)
        if first != second and None not in (first, second):
            return f"different machines: {_MACHINE[tag]} {first} and {second}"
    return None


def why_parallel(pair: Pair, beside: set[str]) -> str | None:
    """beside: ids of the runs that ran while another did."""
    runs = [run for block in pair.blocks for run in block]
    count = sum(run.run_id in beside for run in runs)
    return f"{count} of {len(runs)} runs ran beside others" if count else None


def why_one_measurement(measure: Measure, pair: Pair) -> str | None:
    """The runs of one worker share its import, so equal numbers are one measurement, told several times."""
    if measure.key != IMPORT_TIME:
        return None
    for side, runs in _runs_of(pair):
        told = [run.values[IMPORT_TIME] for run in runs if IMPORT_TIME in run.values]
        if len(set(told)) < len(told):
            return (
                f"{side.label} imported Keras {count_of(len(set(told)), 'time')} for {len(told)} runs; "
                "runtime.start=spawn imports it for each"
            )
    return None


def why_no_ratio(measure: Measure, pair: Pair) -> str | None:
    """A time below what the clock or a subtraction can tell has no logarithm."""
    for side, runs in _runs_of(pair):
        told = [run.values[measure.key] for run in runs if measure.key in run.values]
        if not told and runs:
            return f"{side.label} did not measure it"
        zeros = sum(value <= 0 for value in told)
        if zeros:
            return f"it took {side.label} no measurable time in {zeros} of {len(told)} runs"
    return None


def _runs_of(pair: Pair) -> list[tuple[Side, list[TrackedRun]]]:
    """The runs of the pair's blocks, by side."""
    return [
        (pair.baseline, [a for a, _ in pair.blocks]),
        (pair.candidate, [b for _, b in pair.blocks]),
    ]


def beside_others(runs: Sequence[TrackedRun]) -> set[str]:
    """Ids of the runs that ran while another did: by their tag, or by the clock of their machine.

    Only finished runs are looked at by the clock: of one that was lost, nobody knows when it ended.
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
