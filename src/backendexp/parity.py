"""Do the backends compute the same thing? Loss trajectories from one start, without dropout.

Two engines that are both right still differ by float32 rounding, and training carries the difference on.
How far is measured, not guessed: `probes` runs of the reference start from weights that are one rounding
(one unit in the last place) away. A run makes such an error anew at every step, so after s steps rounding
explains at most s times what one error at the start has grown to. Beyond that the backends compute
something else. Higham, Accuracy and Stability of Numerical Algorithms (2002), section 1.18, on such
experiments with perturbed inputs.
"""

from dataclasses import dataclass, replace

from backendexp import catalog
from backendexp.errors import UserError
from backendexp.plan import RunSpec, choose_runtime, with_probe
from backendexp.record import RunRecord
from backendexp.results import FINISHED, RunResult
from backendexp.runtime.prepare import check_available

_FLOAT32_ROUNDING = 2.0**-24


@dataclass(frozen=True)
class ParityPlan:
    """missing: what cannot run here, with the reason. The first of `specs` is the reference; its probes
    are the last.
    """

    specs: list[RunSpec]
    missing: list[str]


@dataclass(frozen=True)
class Difference:
    """The greatest distance of a run's losses from the reference's, and what rounding explains there.

    epoch: where distance and bound are nearest to each other. comparable: None, or why rounding is not
    expected to explain the difference.
    """

    title: str
    distance: float
    bound: float
    epoch: int
    comparable: str | None

    @property
    def agrees(self) -> bool:
        return self.comparable is not None or self.distance <= self.bound


def plan_parity(spec: RunSpec, probes: int) -> ParityPlan:
    """Every backend of every runtime that can run here, and the probes of the first of them."""
    specs, missing = [], []
    for runtime in catalog.RUNTIMES.values():
        for backend in runtime.engines:
            candidate = replace(spec, backend=backend, runtime=runtime.name, python=None)
            try:
                choose_runtime(backend, runtime.name, None)
                check_available(candidate)
            except UserError as error:
                missing.append(f"{backend} on {runtime.name}: {str(error).splitlines()[0]}")
                continue
            specs.append(candidate)
    if len(specs) < 2:
        raise UserError("parity needs two backends, and here there is not a second:\n" + "\n".join(missing))
    specs += [with_probe(specs[0], probe) for probe in range(1, probes + 1)]
    return ParityPlan(specs, missing)


def judge(records: list[RunRecord]) -> list[Difference]:
    """The differences of all finished runs from the first, which must have finished too."""
    reference = records[0]
    assert reference.result is not None
    probes = [r.result for r in records if r.spec.probe and _finished(r)]
    bounds = rounding_bounds(
        reference.result, [p for p in probes if p is not None], _steps_per_epoch(reference.spec)
    )
    return [
        _difference(reference, other, bounds)
        for other in records[1:]
        if _finished(other) and not other.spec.probe
    ]


def rounding_bounds(reference: RunResult, probes: list[RunResult], steps_per_epoch: int) -> list[float]:
    """What rounding explains, after each epoch.

    The probes' distance so far, but at least one rounding of the loss, times the steps so far.
    """
    bounds, grown = [], 0.0
    for number, epoch in enumerate(reference.epochs):
        grown = max([grown, *(abs(p.epochs[number].loss - epoch.loss) for p in probes)])
        one_error = max(grown, _FLOAT32_ROUNDING * abs(epoch.loss))
        bounds.append(one_error * steps_per_epoch * (number + 1))
    return bounds


def verdict(differences: list[Difference], records: list[RunRecord], missing: list[str]) -> tuple[bool, str]:
    """(they agree, the sentences that say so)."""
    lines = []
    for d in differences:
        if d.comparable:
            lines.append(f"- {d.title}: {d.distance:.2e}, not compared: {d.comparable}")
        else:
            word = "agrees" if d.agrees else "DIFFERS"
            lines.append(
                f"- {d.title}: {word}, greatest difference of the loss {d.distance:.2e} "
                f"(rounding explains {d.bound:.2e} at epoch {d.epoch})"
            )
    failed = [r for r in records if not _finished(r)]
    lines += [f"- {r.spec.title}: did not finish" for r in failed]
    lines += [f"- not here: {line}" for line in missing]
    compared = [d for d in differences if d.comparable is None]
    agree = all(d.agrees for d in differences) and not failed and bool(compared)
    if compared:
        worst = max(d.distance for d in compared)
        head = f"{'Agreement' if agree else 'NO agreement'}: greatest difference {worst:.2e}"
    else:
        head = "NO agreement: nothing could be compared"
    reference = records[0].spec.title
    return agree, "\n".join([f"{head}, against {reference}", *lines])


def _difference(reference: RunRecord, other: RunRecord, bounds: list[float]) -> Difference:
    assert reference.result is not None
    assert other.result is not None
    distances = [
        abs(a.loss - b.loss)
        for a, b in zip(reference.result.epochs, other.result.epochs, strict=True)
    ]
    tightest = max(range(len(distances)), key=lambda e: distances[e] / bounds[e])
    greatest = max(distances)
    # Within the bound everywhere: report the greatest. Beyond it somewhere: report where.
    beyond = distances[tightest] > bounds[tightest]
    at = tightest if beyond else distances.index(greatest)
    return Difference(other.spec.title, distances[at], bounds[at], at + 1, _unlike(reference, other))


def _unlike(reference: RunRecord, other: RunRecord) -> str | None:
    """Why two runs are not expected to agree to rounding, or None."""
    optimizer = reference.spec.training.optimizer
    if other.spec.runtime != reference.spec.runtime and optimizer in catalog.UNLIKE_OPTIMIZERS:
        return f"{optimizer} is another formula there ({catalog.UNLIKE_OPTIMIZERS[optimizer]})"
    if reference.spec.model.dropout:
        return "dropout draws from each engine's own random stream; set model.dropout=0"
    if not (reference.spec.controls.initial_weights and reference.spec.controls.batch_order):
        return "the controls are off, so the starts and the batches differ"
    assert reference.result is not None
    assert other.result is not None
    for what, of in (("data", _data_digest), ("initial weights", lambda r: r.weights_digest)):
        if of(reference.result) != of(other.result):
            raise UserError(
                f"{other.spec.title} had other {what} than {reference.spec.title}: their digests differ, "
                "so a comparison would mean nothing"
            )
    return None


def _data_digest(result: RunResult) -> str | None:
    return result.data["digest"] if result.data else None


def _steps_per_epoch(spec: RunSpec) -> int:
    return -(-spec.data.samples // spec.training.batch_size)


def _finished(record: RunRecord) -> bool:
    return record.result is not None and record.result.status == FINISHED
