"""Who is compared with whom: runs → sides, a baseline, pairs of sides, and blocks that pair their runs."""

import math
from collections.abc import Sequence
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
# (sweep, block or seed): what two runs of two sides must share to be a pair.
Block = tuple[str, int]


@dataclass(frozen=True)
class Side:
    """The timed runs of one backend on one runtime, oldest first; of one sweep, where sweeps are compared.

    python, start: the runtime's, see `RuntimeConfig`. blocks: of the runs that finished. A plan that is
        repeated has the data and the initial weights that it had, so it makes no block of its own: the first
        run that finished counts.
    """

    label: str
    backend: str
    runtime: str
    python: str
    start: str
    sweep: str | None
    runs: tuple[TrackedRun, ...]

    @property
    def finished(self) -> tuple[TrackedRun, ...]:
        return tuple(run for run in self.runs if run.status == FINISHED)

    @cached_property
    def blocks(self) -> dict[Block, TrackedRun]:
        found: dict[Block, TrackedRun] = {}
        for run in self.finished:
            # Sweeps that are compared with each other share no block, but they share seeds.
            place = (
                ("", run.seed)
                if self.sweep is not None
                else (run.sweep or "", run.seed if run.block is None else run.block)
            )
            found.setdefault(place, run)
        return found

    @property
    def repeated(self) -> int:
        """How many of the finished runs have a plan that one of them had before."""
        return len(self.finished) - len({run.seed for run in self.finished})

    def tag(self, name: str) -> str | None:
        """A fact that all the runs share, from the first run that got far enough to know it."""
        return next((run.tags[name] for run in self.runs if run.tags.get(name)), None)

    def values(self, key: str) -> list[float]:
        """A measure's numbers of the finished runs that have it, oldest first."""
        found = (run.values.get(key) for run in self.finished)
        return [value for value in found if value is not None and math.isfinite(value)]


@dataclass(frozen=True)
class Pair:
    baseline: Side
    candidate: Side

    @cached_property
    def blocks(self) -> tuple[tuple[TrackedRun, TrackedRun], ...]:
        """The runs of the blocks that both finished, (baseline's, candidate's), oldest first. Of blocks of
        one seed, which several sweeps may have, the first.
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


def split(runs: Sequence[TrackedRun], by_sweep: bool) -> list[Side]:
    """The sides of timed runs, in the order of their labels."""
    found: dict[tuple[str, str, str, str, str | None], list[TrackedRun]] = {}
    for run in sorted(runs, key=lambda run: (run.began_ms, run.run_id)):
        python, start = (run.params.get(f"runtime.{key}", "") for key in ("python", "start"))
        sweep = (run.sweep or "no sweep") if by_sweep else None
        found.setdefault((run.backend, run.runtime, python, start, sweep), []).append(run)
    sides = [Side("", *key, tuple(own)) for key, own in found.items()]
    return sorted((replace(side, label=_label(side, sides)) for side in sides), key=lambda s: s.label)


def _label(side: Side, sides: list[Side]) -> str:
    """The backend, and what else tells the side apart from the others."""
    apart = [side.runtime] if len({s.runtime for s in sides}) > 1 else []
    namesakes = [s for s in sides if (s.backend, s.runtime) == (side.backend, side.runtime)]
    for value, others in (
        (side.python, {s.python for s in namesakes}),
        (side.start, {s.start for s in namesakes}),
    ):
        if len(others) > 1:
            apart.append(value or "not told")
    label = f"{side.backend} ({', '.join(apart)})" if apart else side.backend
    return label if side.sweep is None else f"{label}, {side.sweep}"


def comparable(a: Side, b: Side) -> bool:
    """Of one Keras, as far as that is known."""
    versions = a.tag("keras_version"), b.tag("keras_version")
    return a.runtime == b.runtime and (None in versions or versions[0] == versions[1])


def choose_baselines(sides: Sequence[Side], wanted: str | None) -> list[Side]:
    """One for each Keras that has two sides, and the wanted one, which is first.

    wanted: a backend or a label. None takes the one that the plan of the comparison names, where all runs are
        of such a plan; else tensorflow where it is; else the backend that ran first, which is the first of a
        sweep's backend=...
    Raises ComparisonError: there is no such side.
    """
    preferred = [s for s in sides if wanted in (s.backend, s.label)] if wanted else list(sides)
    if not preferred:
        raise ComparisonError(_unknown_baseline(str(wanted), sides))

    planned = {run.tags.get(BASELINE) for side in sides for run in side.runs}

    def rank(side: Side) -> tuple[bool, bool, bool, int, int]:
        return (
            wanted not in (side.backend, side.label),
            planned != {side.backend},
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
    """Every two sides once, those with a baseline first. Where two sides have two baselines, theirs, the
    pair belongs to the first baseline or to none.
    """
    first, ordered = baselines[0], order(sides, baselines)
    pairs = [
        # Sides of another Keras than a baseline's are told so once, by the first baseline.
        Pair(b, a) if a in baselines and a is not first and not comparable(a, b) else Pair(a, b)
        for a, b in combinations(ordered, 2)
    ]
    return sorted(pairs, key=lambda pair: pair.baseline not in baselines)


def order(sides: Sequence[Side], baselines: Sequence[Side]) -> list[Side]:
    """The baselines first."""
    return [*baselines, *(side for side in sides if side not in baselines)]


def pair_up_sweeps(sides: Sequence[Side], first_sweep: str) -> list[Pair]:
    """Each side of the first sweep with the same backend's sides of the others, on the same runtime where
    that is there.
    """
    pairs = []
    for baseline in (side for side in sides if side.sweep == first_sweep):
        others = [s for s in sides if s.sweep != first_sweep and s.backend == baseline.backend]
        alike = [s for s in others if s.runtime == baseline.runtime]
        pairs += [Pair(baseline, candidate) for candidate in alike or others]
    return pairs


def choose_sweep(runs: Sequence[TrackedRun], wanted: str | None) -> str:
    """The sweep that the others are compared with: the wanted one, or that of the first run.

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


def _unknown_baseline(wanted: str, sides: Sequence[Side]) -> str:
    known = sorted({name for side in sides for name in (side.backend, side.label)})
    return (
        f"the baseline is {wanted!r}, of which there are no runs. {spelling.nearest(wanted, known)}"
        f"Expected one of: {', '.join(known)}"
    )
