"""Which runs are compared with which: runs become sides, sides become pairs, and blocks pair their runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

from backendexp import spelling
from backendexp.analysis.findings import TrackedRun
from backendexp.errors import ComparisonError
from backendexp.runs.results import FINISHED
from backendexp.runs.tags import BASELINE
from backendexp.runtimes import catalogue

DEFAULT_BASELINE = "tensorflow"
# (sweep, block or seed): what a run of one side and a run of another must share to be a pair.
Block = tuple[str, int]


@dataclass(frozen=True)
class Side:
    """The timed runs of one backend on one runtime, oldest first; of one sweep only, where two are compared.

    python, start: settings of the runtime, see `RuntimeConfig`.
    setting: the setting and its value, if the values of a setting are compared: "threads=1".
    """

    label: str
    backend: str
    runtime: str
    python: str
    start: str
    sweep: str | None
    runs: tuple[TrackedRun, ...]
    setting: str | None = None

    @property
    def name(self) -> str:
        """Its setting and value, if the values of a setting are compared, else its backend."""
        return self.setting or self.backend

    @property
    def finished(self) -> tuple[TrackedRun, ...]:
        return tuple(run for run in self.runs if run.status == FINISHED)

    @cached_property
    def blocks(self) -> dict[Block, TrackedRun]:
        """The finished run of each block. If a plan was repeated, the first run that finished counts: a later
        one has the same data and the same initial weights, so it is not a block of its own.
        """
        found: dict[Block, TrackedRun] = {}
        for run in self.finished:
            # Two sweeps that are compared have no blocks in common, but they have seeds in common.
            place = (
                ("", run.seed)
                if self.sweep is not None
                else (run.sweep or "", run.seed if run.block is None else run.block)
            )
            found.setdefault(place, run)
        return found

    @property
    def repeated(self) -> int:
        """How many of the finished runs repeat the plan of an earlier one."""
        return len(self.finished) - len({run.seed for run in self.finished})

    def tag(self, name: str) -> str | None:
        """A fact that all the runs share, as the first run that got far enough to know it reports it."""
        return next((run.tags[name] for run in self.runs if run.tags.get(name)), None)

    def values(self, key: str) -> list[float]:
        """The values of a measure in the finished runs that have one, oldest first.

        key: of the measure.
        """
        found = (run.values.get(key) for run in self.finished)
        return [value for value in found if value is not None and math.isfinite(value)]


@dataclass(frozen=True)
class Pair:
    baseline: Side
    candidate: Side

    @cached_property
    def blocks(self) -> tuple[tuple[TrackedRun, TrackedRun], ...]:
        """(the baseline's run, the candidate's run) of each block that both finished, oldest first. If
        several blocks have the same seed, as blocks of several sweeps may, only the first counts.
        """
        others = self.candidate.blocks
        found: dict[int, tuple[TrackedRun, TrackedRun]] = {}
        for block, run in self.baseline.blocks.items():
            if block in others:
                found.setdefault(run.seed, (run, others[block]))
        return tuple(found.values())

    @property
    def labels(self) -> tuple[str, str]:
        return self.baseline.label, self.candidate.label


def setting_of(params: Mapping[str, str], by: str | None) -> str | None:
    """A setting of a run and its value, such as "threads=1", or None if no setting is compared.

    params: the plan under its dotted names. by: the setting.
    """
    if by is None:
        return None
    value = params.get(by, "unknown")
    return f"{by}={ {'True': 'true', 'False': 'false', 'None': 'null'}.get(value, value) }"


def split(runs: Sequence[TrackedRun], by_sweep: bool, by: str | None = None) -> list[Side]:
    """The sides of timed runs, in the order of their labels.

    by_sweep: whether each sweep has sides of its own, because two sweeps are compared.
    by: the setting whose values have sides of their own, or None.
    """
    found: dict[tuple[str, str, str, str, str | None, str | None], list[TrackedRun]] = {}
    for run in sorted(runs, key=lambda run: (run.began_ms, run.run_id)):
        python, start = (run.params.get(f"runtime.{key}", "") for key in ("python", "start"))
        sweep = (run.sweep or "no sweep") if by_sweep else None
        setting = setting_of(run.params, by)
        found.setdefault((run.backend, run.runtime, python, start, sweep, setting), []).append(run)
    sides = [
        Side("", backend, runtime, python, start, sweep, tuple(own), setting)
        for (backend, runtime, python, start, sweep, setting), own in found.items()
    ]
    return sorted((replace(side, label=_label(side, sides)) for side in sides), key=lambda s: s.label)


def _label(side: Side, sides: list[Side]) -> str:
    """The backend, with whatever else distinguishes the side from the others."""
    apart = [side.runtime] if len({s.runtime for s in sides}) > 1 else []
    namesakes = [s for s in sides if (s.name, s.runtime) == (side.name, side.runtime)]
    for value, others in (
        (side.python, {s.python for s in namesakes}),
        (side.start, {s.start for s in namesakes}),
    ):
        if len(others) > 1:
            apart.append(value or "unknown")
    label = f"{side.name} ({', '.join(apart)})" if apart else side.name
    return label if side.sweep is None else f"{label}, {side.sweep}"


def comparable(a: Side, b: Side) -> bool:
    """Whether both sides have the same Keras version, as far as the versions are known."""
    versions = a.tag("keras_version"), b.tag("keras_version")
    return a.runtime == b.runtime and (None in versions or versions[0] == versions[1])


def choose_baselines(sides: Sequence[Side], wanted: str | None) -> list[Side]:
    """A baseline for each Keras version that has two sides or more. The wanted one comes first.

    wanted: a backend, a label, or the value of the setting that is compared. None chooses the baseline that
        the plan of the comparison names, if all runs belong to such a plan; else tensorflow, if it is among
        the sides; else the side that ran first, which is the first one in a sweep's backend=...
    Raises ComparisonError: there is no such side.
    """
    preferred = [s for s in sides if wanted in _names(s)] if wanted else list(sides)
    if not preferred:
        raise ComparisonError(_unknown_baseline(str(wanted), sides))

    planned = {run.tags.get(BASELINE) for side in sides for run in side.runs}

    def rank(side: Side) -> tuple[bool, bool, bool, int, int]:
        return (
            wanted not in _names(side),
            planned != {side.name},
            side.backend != DEFAULT_BASELINE,
            list(catalogue.RUNTIMES).index(side.runtime) if side.runtime in catalogue.RUNTIMES else 99,
            side.runs[0].began_ms,
        )

    first, *others = sorted(sides, key=rank)
    chosen = [first]
    for side in others:
        has_company = any(other is not side and comparable(side, other) for other in sides)
        if has_company and not any(comparable(side, baseline) for baseline in chosen):
            chosen.append(side)
    return chosen


def pair_up(sides: Sequence[Side], baselines: Sequence[Side]) -> list[Pair]:
    """Every two sides once, the pairs with a baseline first. If two sides belong to different baselines,
    their pair counts for the first baseline, or for none.
    """
    first, ordered = baselines[0], order(sides, baselines)
    pairs = [
        # A side cannot be compared with a baseline of another Keras. It is paired with the first baseline
        # only, so that this is said once. A later baseline is the candidate of such a pair.
        Pair(b, a) if a in baselines and a is not first and not comparable(a, b) else Pair(a, b)
        for a, b in combinations(ordered, 2)
    ]
    return sorted(pairs, key=lambda pair: pair.baseline not in baselines)


def order(sides: Sequence[Side], baselines: Sequence[Side]) -> list[Side]:
    """All sides, the baselines first."""
    return [*baselines, *(side for side in sides if side not in baselines)]


def pair_up_sweeps(sides: Sequence[Side], first_sweep: str) -> list[Pair]:
    """Each side of the first sweep, paired with the same backend's sides in the other sweeps: with those on
    the same runtime if there are any, else with all of them.
    """
    pairs = []
    for baseline in (side for side in sides if side.sweep == first_sweep):
        others = [s for s in sides if s.sweep != first_sweep and s.backend == baseline.backend]
        alike = [s for s in others if s.runtime == baseline.runtime]
        pairs += [Pair(baseline, candidate) for candidate in alike or others]
    return pairs


def choose_sweep(runs: Sequence[TrackedRun], wanted: str | None) -> str:
    """The sweep that the others are compared with: the wanted one, or else the sweep of the first run.

    Raises ComparisonError: there is no such sweep.
    """
    sweeps = list(dict.fromkeys(run.sweep or "no sweep" for run in runs))
    if wanted is None:
        return sweeps[0]
    if wanted not in sweeps:
        raise ComparisonError(
            f"the baseline is {wanted!r}, which is not one of the sweeps. {spelling.nearest(wanted, sweeps)}"
            f"Each backend is compared with itself between sweeps, so expected one of: {', '.join(sweeps)}"
        )
    return wanted


def _names(side: Side) -> set[str]:
    """The words that name a side as the baseline."""
    if side.setting is None:
        return {side.backend, side.label}
    return {side.setting, side.label, side.setting.partition("=")[2]}


def _unknown_baseline(wanted: str, sides: Sequence[Side]) -> str:
    known = sorted({name for side in sides for name in _names(side)})
    return (
        f"the baseline is {wanted!r}, of which there are no runs. {spelling.nearest(wanted, known)}"
        f"Expected one of: {', '.join(known)}"
    )
