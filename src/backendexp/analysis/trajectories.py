"""Whether the backends compute the same: their losses, trained from one start without dropout, are compared.

Two correct engines still differ by float32 rounding, and training makes the difference grow. How far it grows
is measured: several runs of each reference, called rounding probes, start from weights that are one rounding
(one unit in the last place) away. A run makes such an error at every step. So after s steps, rounding
explains a distance of at most s times what one error at the start has grown to, plus the rounding of the loss
itself, which is a mean. A backend whose losses are further away computes something else.

Higham, Accuracy and Stability of Numerical Algorithms (2002): section 1.18 on such experiments with perturbed
inputs, and section 4.2 on sums.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from backendexp.config import checks
from backendexp.errors import UserError
from backendexp.runs.plan import RunSpec, with_probe
from backendexp.runs.record import RunRecord
from backendexp.runs.results import FINISHED, RunResult
from backendexp.runtimes import catalogue, prepare

_FLOAT32_ROUNDING = 2.0**-24
_TINY = 2.0**-149  # the smallest float32; it replaces a bound of 0, which a loss of 0 has


@dataclass(frozen=True)
class ParityPlan:
    """The runs of a parity check.

    specs: their plans.
    missing: for each backend that cannot run on this machine, a line with the reason.
    """

    specs: list[RunSpec]
    missing: list[str]


@dataclass(frozen=True)
class Trajectory:
    """The part of a run that the parity check uses, read from a store or from disk.

    title: the run in words.
    probe: the number of the rounding probe, or 0 for an ordinary run.
    peculiarity: see the function `peculiarity`.
    steps_per_epoch: the number of optimizer steps in an epoch.
    batch_size: in samples.
    losses: the training losses, one for each epoch; empty unless the run finished.
    data_digest, weights_digest: digests of the data and of the initial weights; None if they are not known.
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
    """How far a run's losses are from the reference's, and how far rounding explains.

    title, reference: the run and the reference, in words.
    distance: the distance of the losses after `epoch`.
    bound: the distance that rounding explains after `epoch`; None if the two are not compared.
    epoch: the epoch with the greatest distance. If the run disagrees, the epoch in which it is furthest
        beyond the bound.
    unlike: why the two do not compute the same formula; None if they do.
    """

    title: str
    reference: str
    distance: float
    bound: float | None
    epoch: int
    unlike: str | None

    @property
    def agrees(self) -> bool | None:
        """Whether rounding explains the distance; None if the two are not compared."""
        return None if self.bound is None else self.distance <= self.bound


def plan_parity(spec: RunSpec, probes: int, say: Callable[[str], None]) -> ParityPlan:
    """The runs of experiment=parity: every backend of every runtime that can run on this machine, and the
    rounding probes of each reference.

    spec: the plan that all the runs share.
    probes: the number of rounding probes for each reference.
    say: gets a line before a runtime is built.
    Raises UserError: fewer than two backends can run here.
    """
    specs, missing = [], []
    for runtime in catalogue.RUNTIMES.values():
        for backend in runtime.engines:
            candidate = replace(spec, backend=backend, runtime=runtime.name, python=None)
            try:
                checks.check_names(candidate, runtime)
                checks.check_execution(candidate, backend, runtime)
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


def differences_of_runs(records: list[RunRecord]) -> list[Difference]:
    """The differences between the runs of experiment=parity, see `differences_between`."""
    return differences_between([trajectory_of(record) for record in records])


def differences_between(trajectories: Sequence[Trajectory]) -> list[Difference]:
    """The difference of each finished run from the first run that computes the same formula.

    Raises UserError: runs that should have started equal had different data or different initial weights.
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
    samples = (result.train_samples if result is not None else None) or 1
    return Trajectory(
        title=spec.title,
        backend=spec.backend,
        runtime=spec.runtime,
        probe=spec.probe,
        peculiarity=_peculiarity_of(spec, result),
        steps_per_epoch=steps_per_epoch(samples, spec.training.batch_size),
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
    """The distance that rounding explains after each epoch.

    losses: of the reference, one for each epoch.
    probed: of each rounding probe, likewise.

    The bound is the greatest distance of a probe so far, but at least one rounding of the loss, multiplied by
    the number of steps so far. To that is added the rounding of the loss as a mean: over a batch, which is
    summed in pairs, and over the steps of an epoch, which are summed one by one.
    """
    bounds, grown = [], 0.0
    as_mean = math.ceil(math.log2(batch_size)) + steps_per_epoch
    for number, loss in enumerate(losses):
        grown = max([grown, *(abs(probe[number] - loss) for probe in probed)])
        rounding = _FLOAT32_ROUNDING * abs(loss)
        bounds.append(max(grown, rounding) * steps_per_epoch * (number + 1) + rounding * as_mean)
    return bounds


def verdict(differences: list[Difference], records: list[RunRecord], missing: list[str]) -> tuple[bool, str]:
    """(whether the runs of experiment=parity agree, the result in words).

    missing: lines about the backends that cannot run here, which become part of the text.
    """
    agree, said = agreement_in_words(differences, [trajectory_of(record) for record in records])
    said += _between_generations(records)
    said += [f"not here: {line}" for line in missing]
    return agree, "\n- ".join(said)


def _between_generations(records: list[RunRecord]) -> list[str]:
    """What the two generations of Keras compute differently in this model, if runs of both are among them."""
    results = [record.result for record in records if record.result is not None]
    unlike = [line for result in results for line in result.unlike_layers]
    return list(dict.fromkeys(unlike)) if len({record.spec.runtime for record in records}) > 1 else []


def agreement_in_words(
    differences: Sequence[Difference], trajectories: Sequence[Trajectory]
) -> tuple[bool, list[str]]:
    """(whether all agree, the result in words: the verdict, then a line for each run that was judged)."""
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
    """The items grouped by the formula that they compute, in their order."""
    found: dict[str | None, list[_T]] = {}
    for item in items:
        found.setdefault(peculiarity_of(item), []).append(item)
    return list(found.values())


def peculiarity(
    backend: str,
    runtime: str,
    optimizer: str,
    random: str | None,
    own_start: bool,
    unlike_engine: str | None,
) -> str | None:
    """Why a run's arithmetic differs from that of Keras 3 by design, or None if it does not.

    random: what draws random numbers in training, such as "dropout", or None if nothing does.
    own_start: whether the engine drew its own initial weights or its own order of batches.
    unlike_engine: which formula of the engine is not that of Keras 3, as the worker says, or None.
    """
    if random:
        return f"{random} draws from the random stream of {backend} on {runtime}"
    if own_start:
        return f"{backend} on {runtime} draws its own weights or batches"
    return catalogue.UNLIKE_FORMULAS.get((optimizer, runtime, backend)) or unlike_engine


def what_draws(controls_dropout: bool, model_dropout: Any, layers: Sequence[str] | None) -> str | None:
    """What draws random numbers while a model trains, or None if nothing does.

    controls_dropout: the plan's controls.dropout. model_dropout: its model.dropout, or None if the model has
        no such setting.
    layers: the layers that drew, as the worker saw them; None if that is not known.
    """
    if layers is not None and not layers:
        return None
    if controls_dropout and str(model_dropout) not in ("None", "0", "0.0"):
        return "dropout"
    return " and ".join(layers) if layers else None


def _peculiarity_of(spec: RunSpec, result: RunResult | None = None) -> str | None:
    layers = None if result is None else result.random_layers
    own_start = not (spec.controls.initial_weights and spec.controls.batch_order)
    random = what_draws(spec.controls.dropout, getattr(spec.model, "dropout", None), layers)
    return peculiarity(
        spec.backend,
        spec.runtime,
        spec.training.optimizer,
        random,
        own_start,
        None if result is None else result.unlike_engine,
    )


def _same_place(a: Trajectory, b: Trajectory) -> bool:
    return (a.backend, a.runtime) == (b.backend, b.runtime)


def _check_alike(a: Trajectory, b: Trajectory) -> None:
    for what, first, second in (
        ("data", a.data_digest, b.data_digest),
        ("initial weights", a.weights_digest, b.weights_digest),
    ):
        if first != second and None not in (first, second):
            raise UserError(
                f"{b.title} had different {what} from {a.title}: their digests differ, so a "
                "comparison would mean nothing"
            )
