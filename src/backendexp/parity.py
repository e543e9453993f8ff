"""Do the backends compute the same thing? Loss trajectories from one start, without dropout.

Two engines that are both right still differ by float32 rounding, and training carries the difference on.
How far is measured, not guessed: `probes` runs of each reference start from weights that are one rounding
(one unit in the last place) away. A run makes such an error anew at every step, so after s steps rounding
explains at most s times what one error at the start has grown to. Beyond that the backends compute
something else. Higham, Accuracy and Stability of Numerical Algorithms (2002), section 1.18, on such
experiments with perturbed inputs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from backendexp import catalog, config
from backendexp.errors import UserError
from backendexp.plan import RunSpec, with_probe
from backendexp.record import RunRecord
from backendexp.results import FINISHED
from backendexp.runtime import prepare

_FLOAT32_ROUNDING = 2.0**-24
_TINY = 2.0**-149  # the smallest float32: where the bound is 0, because the loss is


@dataclass(frozen=True)
class ParityPlan:
    """missing: what cannot run here, with the reason."""

    specs: list[RunSpec]
    missing: list[str]


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
    for runtime in catalog.RUNTIMES.values():
        for backend in runtime.engines:
            candidate = replace(spec, backend=backend, runtime=runtime.name, python=None)
            try:
                config.check_names(candidate.model, candidate.training, runtime)
                prepare.check_available(candidate)
                prepare.prepare(candidate, say)
            except UserError as error:
                missing.append(f"{backend} on {runtime.name}: {str(error).splitlines()[0]}")
                continue
            specs.append(candidate)
    if len(specs) < 2:
        raise UserError("parity needs two backends, and here there is not a second:\n" + "\n".join(missing))
    references = [alike[0] for alike in _by_formula(specs, lambda spec: spec) if len(alike) > 1]
    specs += [with_probe(reference, n) for reference in references for n in range(1, probes + 1)]
    return ParityPlan(specs, missing)


def judge(records: list[RunRecord]) -> list[Difference]:
    """The differences of the finished runs, each from the first run that computes the same formula.

    Raises UserError: runs that ought to be alike had other data or other initial weights.
    """
    finished = [r for r in records if r.result is not None and r.result.status == FINISHED]
    trained = [r for r in finished if not r.spec.probe]
    differences = []
    for alike in _by_formula(trained, lambda record: record.spec):
        reference = alike[0]
        probes = [r for r in finished if r.spec.probe and _same_place(r, reference)]
        for other in alike[1:]:
            _check_alike(reference, other)
            differences.append(_compare(reference, other, _rounding_bounds_of(reference, probes)))
        if len(alike) == 1 and reference is not trained[0]:
            unlike = _unlike(reference.spec, trained[0].spec)
            differences.append(_compare(trained[0], reference, None, unlike))
    return differences


def rounding_bounds(losses: list[float], probed: list[list[float]], steps_per_epoch: int) -> list[float]:
    """What rounding explains, after each epoch: the probes' distance so far, but at least one rounding of
    the loss, times the steps so far.
    """
    bounds, grown = [], 0.0
    for number, loss in enumerate(losses):
        grown = max([grown, *(abs(probe[number] - loss) for probe in probed)])
        one_error = max(grown, _FLOAT32_ROUNDING * abs(loss))
        bounds.append(one_error * steps_per_epoch * (number + 1))
    return bounds


def verdict(differences: list[Difference], records: list[RunRecord], missing: list[str]) -> tuple[bool, str]:
    """(they agree, the sentences that say so)."""
    compared = [d for d in differences if d.agrees is not None]
    failed = [r for r in records if r.result is None or r.result.status != FINISHED]
    agree = bool(compared) and all(d.agrees for d in compared) and not failed
    if compared:
        greatest = max(d.distance for d in compared)
        head = f"{'Agreement' if agree else 'NO agreement'}: greatest difference of the loss {greatest:.2e}"
    else:
        head = "NO agreement: nothing could be compared"
    return agree, "\n".join(
        [
            head,
            *(f"- {_sentence(d)}" for d in differences),
            *(f"- {r.spec.title}: did not finish" for r in failed),
            *(f"- not here: {line}" for line in missing),
        ]
    )


def _sentence(d: Difference) -> str:
    if d.agrees is None:
        return f"{d.title}: not compared with {d.reference}: {d.unlike} (difference {d.distance:.2e})"
    return (
        f"{d.title} {'agrees with' if d.agrees else 'DIFFERS from'} {d.reference}: {d.distance:.2e} "
        f"after epoch {d.epoch}, where rounding explains {d.bound:.2e}"
    )


def _compare(
    reference: RunRecord, other: RunRecord, bounds: list[float] | None, unlike: str | None = None
) -> Difference:
    distances = [abs(a - b) for a, b in zip(_losses(reference), _losses(other), strict=True)]
    epochs = range(len(distances))
    at = max(epochs, key=lambda e: distances[e])
    if bounds is not None:
        beyond = [e for e in epochs if distances[e] > bounds[e]]
        at = max(beyond, key=lambda e: distances[e] / (bounds[e] or _TINY), default=at)
    bound = None if bounds is None else bounds[at]
    return Difference(other.spec.title, reference.spec.title, distances[at], bound, at + 1, unlike)


def _rounding_bounds_of(reference: RunRecord, probes: list[RunRecord]) -> list[float]:
    data, training = reference.spec.data, reference.spec.training
    steps_per_epoch = -(-data.samples // training.batch_size)
    return rounding_bounds(_losses(reference), [_losses(p) for p in probes], steps_per_epoch)


def _losses(record: RunRecord) -> list[float]:
    assert record.result is not None
    return [epoch.loss for epoch in record.result.epochs]


_T = TypeVar("_T")


def _by_formula(items: list[_T], spec_of: Callable[[_T], RunSpec]) -> list[list[_T]]:
    """Those that compute the same formula, together, in their order."""
    found: dict[str | None, list[_T]] = {}
    for item in items:
        found.setdefault(_peculiarity(spec_of(item)), []).append(item)
    return list(found.values())


def _peculiarity(spec: RunSpec) -> str | None:
    """What sets the run's arithmetic apart from Keras 3's on purpose, or None."""
    if spec.model.dropout:
        return f"dropout draws from the random stream of {spec.backend} on {spec.runtime}"
    if not spec.controls.initial_weights or not spec.controls.batch_order:
        return f"{spec.backend} on {spec.runtime} draws its own weights or batches"
    return catalog.UNLIKE_FORMULAS.get((spec.training.optimizer, spec.runtime, spec.backend))


def _unlike(a: RunSpec, b: RunSpec) -> str:
    return "; ".join(p for p in dict.fromkeys([_peculiarity(a), _peculiarity(b)]) if p)


def _same_place(a: RunRecord, b: RunRecord) -> bool:
    return (a.spec.backend, a.spec.runtime) == (b.spec.backend, b.spec.runtime)


def _check_alike(a: RunRecord, b: RunRecord) -> None:
    assert a.result is not None
    assert b.result is not None
    for what, first, second in (
        ("data", (a.result.data or {}).get("digest"), (b.result.data or {}).get("digest")),
        ("initial weights", a.result.weights_digest, b.result.weights_digest),
    ):
        if first != second:
            raise UserError(
                f"{b.spec.title} had other {what} than {a.spec.title}: their digests differ, so a "
                "comparison would mean nothing"
            )
