"""What an experiment is: it makes several runs by a design of its own, and draws a conclusion from them.

experiment=parity, experiment=compare and experiment=scale are experiments. An ordinary sweep is not, because
Hydra makes its runs, but it ends with a Conclusion as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from backendexp.config.schema import Config
from backendexp.reporting.tables import Table
from backendexp.runs.plan import RunSpec
from backendexp.runs.record import RunRecord


@dataclass(frozen=True)
class PlannedRun:
    """One run of an experiment.

    spec: its plan.
    tags: tags of the run, besides those of the sweep.
    place: its place in the experiment, such as "block 3/10", which is shown while the run is under way.
    warm_up: whether it only fills the caches on disk. Then it is not tracked, and not part of the results.
    side: what distinguishes it from the runs of the same backend and seed, for its name; or "".
    """

    spec: RunSpec
    tags: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    warm_up: bool = False
    side: str = ""

    @property
    def name(self) -> str:
        """The run's name in the tracking store, unless the user gives it one."""
        return f"{self.spec.name}-{self.side}" if self.side else self.spec.name


@dataclass(frozen=True)
class Conclusion:
    """What was concluded from the runs, for the terminal and for the summary run.

    kind: of the summary run: "sweep", or the name of the experiment.
    said: paragraphs and tables for the terminal, in their order.
    note: the description of the summary run, in Markdown.
    good: whether the experiment could show what it was meant to show. It does not say whether runs failed.
    params, metrics: of the summary run.
    by_size: further metrics of the summary run, by name and then by size. MLflow gets the size as the step.
    artifacts: files of the summary run, and folders whose contents belong to it.
    report: the page to look at, or None.
    """

    kind: str
    said: Sequence[str | Table]
    note: str
    good: bool = True
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    by_size: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()
    report: Path | None = None


class Experiment(Protocol):
    """An experiment on this machine.

    One whose results decide how many runs it needs also has a method `is_over(records)`. It is called after
    every run with the runs so far, without warm-up runs. If it returns True, the remaining runs are not made.
    """

    @property
    def runs(self) -> Sequence[PlannedRun]:
        """All the runs, in the order in which they will be made."""

    @property
    def opening(self) -> Sequence[str]:
        """Lines that are shown at the start: what will be run, and what cannot be run."""

    def conclude(self, sweep_id: str, folder: Path, records: Sequence[RunRecord]) -> Conclusion:
        """Draw the conclusion, and write its files.

        sweep_id: of the experiment's runs.
        folder: the folder of the experiment's runs. The files of the conclusion are written into it.
        records: the runs, in the order of time, without warm-up runs. If the experiment was interrupted,
            there are fewer than planned.
        """


class Design(Protocol):
    """What the module of an experiment offers.

    Settings: the dataclass of its settings, with the field `enabled: bool = False`. Its method
        `check(config)`, where it has one, raises ConfigError for settings that do not go together.
    CHOOSES_BACKENDS: whether the experiment runs several backends that its own settings choose. Then neither
        `backend=` nor `-m` may be given. A module whose settings can ask for a single backend also has a
        function `chooses_backends(config)`; where it returns False, `backend=` may be given.
    """

    Settings: type
    CHOOSES_BACKENDS: bool

    def first(self, spec: RunSpec, config: Config) -> RunSpec:
        """The plan whose worker is needed first.

        Raises UserError: this machine cannot run the experiment.
        """

    def plan(self, spec: RunSpec, config: Config, say: Callable[[str], None]) -> Experiment:
        """The experiment on this machine.

        say: gets a line about what the user is waiting for.
        Raises UserError: fewer than two backends can run here.
        """
