"""experiment=parity: every backend of both runtimes trains from one start, and their losses are compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backendexp.analysis import trajectories
from backendexp.config.schema import Config, ControlsConfig, TrainingConfig
from backendexp.experiments import sweep
from backendexp.experiments.base import Conclusion, PlannedRun
from backendexp.runs.plan import OWN_LOSS, RunSpec, with_probe
from backendexp.runs.record import RunRecord
from backendexp.runs.tags import PARITY, ROLE
from backendexp.worker.settings import setting

# What conf/experiment/parity.yaml sets, with its reasons.
_OPTIMIZER, _LEARNING_RATE = "sgd", 0.1
CHOOSES_BACKENDS = False


@dataclass
class Settings:
    """Sets up the experiment `parity`.

    enabled: whether to train on every available backend and runtime, and to compare the loss trajectories.
    probes: the number of extra runs of the reference, whose initial weights are moved by one float32
        rounding. They measure how far apart rounding alone drives the trajectories.
    """

    enabled: bool = False
    probes: int = setting(6, low=1, high=20, example="parity.probes=6")


def first(spec: RunSpec, config: Config) -> RunSpec:
    return spec


def plan(spec: RunSpec, config: Config, say: Callable[[str], None]) -> "ParityCheck":
    if spec.training.compile != "auto":
        spec = replace(spec, training=_with_plain_descent(spec.training))
    return ParityCheck(trajectories.plan_parity(spec, config.experiments["parity"].probes, say))


@dataclass(frozen=True)
class ParityCheck:
    plan: trajectories.ParityPlan

    @property
    def runs(self) -> list[PlannedRun]:
        return [PlannedRun(spec, {ROLE: PARITY}) for spec in self.plan.specs]

    @property
    def opening(self) -> list[str]:
        return [f"{len(self.plan.specs)} runs, each from the same weights on the same batches."]

    def conclude(self, sweep_id: str, folder: Path, records: Sequence[RunRecord]) -> Conclusion:
        """As for every experiment.

        Raises UserError: runs that should have started equal had different data or different initial weights.
        """
        runs = list(records)
        differences = trajectories.differences_of_runs(runs)
        agree, verdict = trajectories.verdict(differences, runs, self.plan.missing)
        greatest = [d.distance for d in differences if d.agrees is not None]
        note = sweep.markdown(runs, verdict)
        return Conclusion(
            kind="parity",
            said=[*sweep.tables_and_caveats(runs), verdict],
            note=note,
            good=agree,
            metrics={"parity/greatest_difference": max(greatest)} if greatest else {},
            artifacts=[sweep.write_page(folder, "parity", note)],
        )


def _with_plain_descent(training: TrainingConfig) -> TrainingConfig:
    """Set the optimizer of the parity check. A model that comes compiled keeps its loss."""
    kept = "auto" if training.compile == "auto" else OWN_LOSS
    return replace(training, optimizer=_OPTIMIZER, learning_rate=_LEARNING_RATE, compile=kept)


def check_of(specs: Sequence[RunSpec], probes: int) -> list[PlannedRun]:
    """The runs of a parity check that is part of another experiment.

    specs: one plan for each backend, all on one runtime. Each is trained once with the settings of
        experiment=parity, but with its own number of threads.
    probes: the number of rounding probes of the first plan, which are run last.
    """
    alike = [
        replace(
            spec,
            training=_with_plain_descent(spec.training),
            controls=ControlsConfig(initial_weights=True, batch_order=True, dropout=False),
            log_model=False,
            inference=False,
        )
        for spec in specs
    ]
    alike += [with_probe(alike[0], number) for number in range(1, probes + 1)]
    return [
        PlannedRun(spec, {ROLE: PARITY}, f"parity {number}/{len(alike)}")
        for number, spec in enumerate(alike, 1)
    ]
