"""Whether the backends of a comparison compute the same, judged from its parity runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backendexp.analysis import trajectories as parity
from backendexp.analysis.findings import Parity, TrackedRun
from backendexp.analysis.sides import Pair, Side, setting_of
from backendexp.runs.results import FINISHED

_NOT_OF_THE_FORMULA = {"backend.name", "runtime.name", "runtime.python", "runtime.start", "parity.probe"}
_UNCHECKED = (
    "It was not checked whether the backends compute the same: there are no parity runs. "
    "experiment=compare makes them."
)


@dataclass(frozen=True)
class Agreement:
    """Which sides computed the same as the reference.

    found: the result as the comparison shows it.
    disagreeing: labels of the sides whose losses differ by more than rounding explains.
    checked: labels of the sides that took part in the check.
    """

    found: Parity
    disagreeing: frozenset[str]
    checked: frozenset[str]

    def why_withheld(self, pair: Pair) -> str | None:
        wrong = [label for label in pair.labels if label in self.disagreeing]
        return f"parity: {' and '.join(wrong)} computed something else" if wrong else None

    def notes(self, sides: Sequence[Side]) -> Iterable[str]:
        if self.found.agree is None:
            yield _UNCHECKED
            return
        unchecked = [side.label for side in sides if side.label not in self.checked]
        if unchecked:
            yield f"It was not checked whether {', '.join(unchecked)} computed the same as the others."


def agreement_of(runs: Sequence[TrackedRun], sides: Sequence[Side], by: str | None = None) -> Agreement:
    """Judge the parity runs of a comparison.

    by: the setting whose values are compared, or None.
    runs: the runs whose role is parity. Runs of backends that belong to none of the `sides` are left out.
    Raises UserError: runs that should have started equal had different data or different initial weights.
    """
    sweeps: dict[object, dict[str, str]] = {}
    trajectories: dict[object, list[parity.Trajectory]] = {}
    for run in sorted(runs, key=lambda run: (run.began_ms, run.run_id)):
        side = next((side for side in sides if _is_of(run, side, by)), None)
        if side is None:
            continue
        # Each plan, seed and sweep is judged separately, because runs of different ones need not agree.
        plan = tuple(sorted(item for item in run.params.items() if item[0] not in {*_NOT_OF_THE_FORMULA, by}))
        trajectory = _trajectory(run, by)
        sweeps.setdefault((run.sweep, plan), {})[trajectory.title] = side.label
        trajectories.setdefault((run.sweep, plan), []).append(trajectory)
    if not trajectories:
        return Agreement(Parity(None, None, {}, (_UNCHECKED,)), frozenset(), frozenset())
    agree, sentences, greatest = True, list[str](), list[float]()
    worst: dict[str, parity.Difference] = {}
    checked: set[str] = set()
    for key, own in trajectories.items():
        differences = parity.differences_between(own)
        good, said = parity.agreement_in_words(differences, own)
        agree, sentences = agree and good, [*sentences, *said]
        for difference in differences:
            if difference.agrees is None:
                continue
            greatest.append(difference.distance)
            label = sweeps[key][difference.title]
            checked |= {label, sweeps[key][difference.reference]}
            if label not in worst or _excess(difference) > _excess(worst[label]):
                worst[label] = difference
    distances = {label: (d.distance, d.bound) for label, d in worst.items() if d.bound is not None}
    return Agreement(
        Parity(agree, max(greatest, default=None), distances, tuple(sentences)),
        frozenset(label for label, difference in worst.items() if not difference.agrees),
        frozenset(checked),
    )


def _is_of(run: TrackedRun, side: Side, by: str | None) -> bool:
    return (
        (run.backend, run.runtime) == (side.backend, side.runtime)
        and run.params.get("runtime.python", "") == side.python
        and run.params.get("runtime.start", "") == side.start
        and side.sweep in (None, run.sweep)
        and side.setting == setting_of(run.params, by)
    )


def _excess(difference: parity.Difference) -> float:
    assert difference.bound is not None
    return difference.distance / difference.bound if difference.bound else difference.distance * float("inf")


def _trajectory(run: TrackedRun, by: str | None) -> parity.Trajectory:
    params = run.params
    probe = int(params.get("parity.probe", "0"))
    probed = f", rounding probe {probe}" if probe else ""
    setting = f", {setting_of(params, by)}" if by is not None else ""
    controls = (params.get(f"controls.{name}", "True") for name in ("initial_weights", "batch_order"))
    # Runs of earlier versions lack the tag.
    samples = int(run.tags.get("train_samples") or params.get("data.samples", "1"))
    batch_size = int(params.get("training.batch_size", "1"))
    return parity.Trajectory(
        title=f"{run.backend} on {run.runtime}, seed {run.seed}{setting}{probed}",
        backend=run.backend,
        runtime=run.runtime,
        probe=probe,
        peculiarity=parity.peculiarity(
            run.backend,
            run.runtime,
            params.get("training.optimizer", ""),
            parity.what_draws(
                params.get("controls.dropout") != "False",  # runs of earlier versions lack it
                params.get("model.dropout"),
                [layers] if (layers := run.tags.get("random_layers")) else None,
            ),
            own_start="False" in controls,
            unlike_engine=run.tags.get("unlike_engine"),
        ),
        steps_per_epoch=parity.steps_per_epoch(samples, batch_size),
        batch_size=batch_size,
        losses=run.loss_by_epoch if run.status == FINISHED else (),
        data_digest=run.tags.get("data_digest"),
        weights_digest=run.tags.get("weights_digest"),
    )
