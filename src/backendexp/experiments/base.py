"""An experiment makes several runs by a design of its own, and draws a conclusion from them.

experiment=parity, compare and scale are each one. A sweep is not: Hydra makes its runs. But it ends with a
Conclusion as well.
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

    tags: besides those of the sweep. place: where in the experiment it is, "block 3/10", for whoever waits.
    warm_up: it fills the caches on disk. It is not tracked and no part of the results.
    """

    spec: RunSpec
    tags: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    warm_up: bool = False


@dataclass(frozen=True)
class Conclusion:
    """What the runs came to, for the terminal and for the summary run.

    said: paragraphs and tables for the terminal, in their order. note: the summary run's, in Markdown.
    good: what was to be shown is shown; that runs failed is known from elsewhere.
    params, metrics: of the summary run. by_size: metrics whose step is a size of the experiment.
    artifacts: files, and folders whose contents are meant. report: the page to look at.
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
    @property
    def runs(self) -> Sequence[PlannedRun]:
        """All the runs, in the order in which they are to be made."""

    @property
    def opening(self) -> Sequence[str]:
        """Lines for whoever starts it: what will be run, and what cannot be."""

    def conclude(self, sweep_id: str, folder: Path, records: Sequence[RunRecord]) -> Conclusion:
        """
        folder: of the experiment's runs; files of the conclusion are written into it.
        records: what was run and tracked, in the order of time; fewer than planned when it was interrupted.
        """


class Design(Protocol):
    """What the module of an experiment offers.

    CHOOSES_BACKENDS: it runs several backends, which its own settings choose, so that neither `backend=` nor
        `-m` may be given.
    """

    CHOOSES_BACKENDS: bool

    def first(self, spec: RunSpec, config: Config) -> RunSpec:
        """The plan whose worker is needed first, once it is known that this machine can run the experiment.

        Raises UserError: it cannot.
        """

    def plan(self, spec: RunSpec, config: Config, say: Callable[[str], None]) -> Experiment:
        """The experiment on this machine. say: gets a line about what is being waited for.

        Raises UserError: there are not two backends.
        """
