"""Do the backends compute the same thing? Loss trajectories from one start, without dropout.

Two engines that are both right still differ by float32 rounding, and training carries the difference on.
How far is measured, not guessed: `probes` runs of each reference start from weights that are one rounding
(one unit in the last place) away. A run makes such an error anew at every step, so after s steps rounding
explains at most s times what one error at the start has grown to. The loss that is told is a mean, and
rounded itself. Beyond that the backends compute something else. Higham, Accuracy and Stability of Numerical
Algorithms (2002), section 1.18, on such experiments with perturbed inputs, and 4.2, on sums.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from backendexp.config import schema
from backendexp.errors import UserError
from backendexp.runs.plan import RunSpec, with_probe
from backendexp.runs.record import RunRecord
from backendexp.runs.results import FINISHED
from backendexp.runtimes import catalogue, prepare

_FLOAT32_ROUNDING = 2.0**-24
_TINY = 2.0**-149  # the smallest float32: where the bound is 0, because the loss is


@dataclass(frozen=True)
class ParityPlan:
    """missing: what cannot run here, with the reason."""

    specs: list[RunSpec]
    missing: list[str]


@dataclass(frozen=True)
class Trajectory:
    """What the check looks at of a run, wherever it was read from.

    title: what a person calls the run. probe: 0, or the number of a rounding probe.
    peculiarity: see `peculiarity`. steps_per_epoch: of the optimizer. batch_size: in samples.
    losses: of training, one an epoch; empty unless it finished.
    data_digest, weights_digest: of what it started from, None where that is not known.
    """

    title: str
    backend: str
    runtime: str
    probe: int
    peculiarity: str | None
    steps_per_epoch: int
    batch_size: int
    losses: tuple[float, ...]
    data_digest: str | None
    weights_digest: str | None

    @property
    def finished(self) -> bool:
        return bool(self.losses)


@dataclass(frozen=True)
class Difference:
    """The distance of a run's losses from the reference's, and what rounding explains, after `epoch`.

    It is the epoch of the greatest distance; of a run that disagrees, the one where it is furthest beyond
    the bound. unlike: None, or why the two do not compute the same formula; then there is no bound.
    """

    title: str
    reference: str
    distance: float
    bound: float | None
    epoch: int
    unlike: str | None

    @property
    def agrees(self) -> bool | None:
        """None: they are not compared."""
        return None if self.bound is None else self.distance <= self.bound


def plan_parity(spec: RunSpec, probes: int, say: Callable[[str], None]) -> ParityPlan:
    """Every backend of every runtime that can run here, and probes of each reference.

    say: is told of a runtime that is built first.
    Raises UserError: there are not two.
    """
    specs, missing = [], []
    for runtime in catalogue.RUNTIMES.values():
        for backend in runtime.engines:
            candidate = replace(spec, backend=backend, runtime=runtime.name, python=None)
            try:
                schema.check_names(candidate.model, candidate.training, runtime)
                prepare.check_available(candidate)
                prepare.prepare(candidate, say)
            except UserError as error:
                missing.append(f"{backend} on {runtime.name}: {str(error).splitlines()[0]}")
                continue
            specs.append(candidate)
    if len(specs) < 2:
        raise UserError("parity needs two backends, and here there is not a second:\n" + "\n".join(missing))
    references = [alike[0] for alike in _by_formula(specs, _peculiarity_of) if len(alike) > 1]
    specs += [with_probe(reference, n) for reference in references for n in range(1, probes + 1)]
    return ParityPlan(specs, missing)


def judge(records: list[RunRecord]) -> list[Difference]:
    """`judge_trajectories` of the runs of `experiment=parity`."""
    return judge_trajectories([trajectory_of(record) for record in records])


def judge_trajectories(trajectories: Sequence[Trajectory]) -> list[Difference]:
    """The differences of the finished runs, each from the first run that computes the same formula.

    Raises UserError: runs that ought to be alike had other data or other initial weights.
    """
    finished = [t for t in trajectories if t.finished]
    trained = [t for t in finished if not t.probe]
    differences = []
    for alike in _by_formula(trained, lambda trajectory: trajectory.peculiarity):
        reference = alike[0]
        probes = [t for t in finished if t.probe and _same_place(t, reference)]
        for other in alike[1:]:
            _check_alike(reference, other)
            differences.append(_compare(reference, other, _rounding_bounds_of(reference, probes)))
        if len(alike) == 1 and reference is not trained[0]:
            peculiar = dict.fromkeys([reference.peculiarity, trained[0].peculiarity])
            unlike = "; ".join(p for p in peculiar if p)
            differences.append(_compare(trained[0], reference, None, unlike))
    return differences


def trajectory_of(record: RunRecord) -> Trajectory:
    spec, result = record.spec, record.result
    finished = result is not None and result.status == FINISHED
    return Trajectory(
        title=spec.title,
        backend=spec.backend,
        runtime=spec.runtime,
        probe=spec.probe,
        peculiarity=_peculiarity_of(spec),
        steps_per_epoch=steps_per_epoch(spec.data.samples, spec.training.batch_size),
        batch_size=spec.training.batch_size,
        losses=tuple(epoch.loss for epoch in result.epochs) if result is not None and finished else (),
        data_digest=(result.data or {}).get("digest") if result is not None else None,
        weights_digest=result.weights_digest if result is not None else None,
    )


def steps_per_epoch(samples: int, batch_size: int) -> int:
    return -(-samples // batch_size)


def rounding_bounds(
    losses: list[float], probed: list[list[float]], steps_per_epoch: int, batch_size: int
) -> list[float]:
    """What rounding explains, after each epoch: the probes' distance so far, but at least one rounding of
    the loss, times the steps so far. And the roundings of the loss as a mean: of a batch, which is summed in
    pairs, and of the steps of an epoch, which are summed one by one.
    """
    bounds, grown = [], 0.0
    as_mean = math.ceil(math.log2(batch_size)) + steps_per_epoch
    for number, loss in enumerate(losses):
        grown = max([grown, *(abs(probe[number] - loss) for probe in probed)])
        rounding = _FLOAT32_ROUNDING * abs(loss)
        bounds.append(max(grown, rounding) * steps_per_epoch * (number + 1) + rounding * as_mean)
    return bounds


def verdict(differences: list[Difference], records: list[RunRecord], missing: list[str]) -> tuple[bool, str]:
    """(they agree, the sentences that say so), of the runs of `experiment=parity`."""
    agree, said = agreement_in_words(differences, [trajectory_of(record) for record in records])
    said += [f"not here: {line}" for line in missing]
    return agree, "\n- ".join(said)


def agreement_in_words(
    differences: Sequence[Difference], trajectories: Sequence[Trajectory]
) -> tuple[bool, list[str]]:
    """(they agree, the sentences that say so: the verdict, then a line for each run that was judged)."""
    compared = [d for d in differences if d.agrees is not None]
    failed = [t for t in trajectories if not t.finished]
    agree = bool(compared) and all(d.agrees for d in compared) and not failed
    if compared:
        greatest = max(d.distance for d in compared)
        head = f"{'Agreement' if agree else 'NO agreement'}: greatest difference of the loss {greatest:.2e}"
    else:
        head = "NO agreement: nothing could be compared"
    return agree, [head, *map(_sentence, differences), *(f"{t.title}: did not finish" for t in failed)]


def _sentence(d: Difference) -> str:
    if d.agrees is None:
        return f"{d.title}: not compared with {d.reference}: {d.unlike} (difference {d.distance:.2e})"
    return (
        f"{d.title} {'agrees with' if d.agrees else 'DIFFERS from'} {d.reference}: {d.distance:.2e} "
        f"after epoch {d.epoch}, where rounding explains {d.bound:.2e}"
    )


def _compare(
    reference: Trajectory, other: Trajectory, bounds: list[float] | None, unlike: str | None = None
) -> Difference:
    distances = [abs(a - b) for a, b in zip(reference.losses, other.losses, strict=True)]
    epochs = range(len(distances))
    at = max(epochs, key=lambda e: distances[e])
    if bounds is not None:
        beyond = [e for e in epochs if distances[e] > bounds[e]]
        at = max(beyond, key=lambda e: distances[e] / (bounds[e] or _TINY), default=at)
    bound = None if bounds is None else bounds[at]
    return Difference(other.title, reference.title, distances[at], bound, at + 1, unlike)


def _rounding_bounds_of(reference: Trajectory, probes: list[Trajectory]) -> list[float]:
    probed = [list(probe.losses) for probe in probes]
    return rounding_bounds(list(reference.losses), probed, reference.steps_per_epoch, reference.batch_size)


_T = TypeVar("_T")


def _by_formula(items: Sequence[_T], peculiarity_of: Callable[[_T], str | None]) -> list[list[_T]]:
    """Those that compute the same formula, together, in their order."""
    found: dict[str | None, list[_T]] = {}
    for item in items:
        found.setdefault(peculiarity_of(item), []).append(item)
    return list(found.values())


def peculiarity(backend: str, runtime: str, optimizer: str, dropout: float, own_start: bool) -> str | None:
    """What sets a run's arithmetic apart from Keras 3's on purpose, or None.

    own_start: the engine drew its initial weights or the order of its batches itself.
    """
    if dropout:
        return f"dropout draws from the random stream of {backend} on {runtime}"
    if own_start:
        return f"{backend} on {runtime} draws its own weights or batches"
    return catalogue.UNLIKE_FORMULAS.get((optimizer, runtime, backend))


def _peculiarity_of(spec: RunSpec) -> str | None:
    own_start = not (spec.controls.initial_weights and spec.controls.batch_order)
    return peculiarity(spec.backend, spec.runtime, spec.training.optimizer, spec.model.dropout, own_start)


def _same_place(a: Trajectory, b: Trajectory) -> bool:
    return (a.backend, a.runtime) == (b.backend, b.runtime)


def _check_alike(a: Trajectory, b: Trajectory) -> None:
    for what, first, second in (
        ("data", a.data_digest, b.data_digest),
        ("initial weights", a.weights_digest, b.weights_digest),
    ):
        if first != second and None not in (first, second):
            raise UserError(
                f"{b.title} had other {what} than {a.title}: their digests differ, so a "
                "comparison would mean nothing"
            )
