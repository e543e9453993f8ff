"""What a tracking store promises to those who write into it (Tracker) and read from it (Reader).

`begin` makes a run that others can see as RUNNING. `end` uploads all of the run in as few requests as it can
and gives it its final status. It is safe to call `end` again with the same report after it failed half-way:
what arrived the first time is not there twice. Whatever goes wrong in the store is raised as TrackingError.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Metric:
    """timestamp_ms: milliseconds since 1970."""

    key: str
    value: float
    timestamp_ms: int
    step: int


@dataclass(frozen=True)
class Dataset:
    """digest: SHA-256 in hexadecimal. path: of the user's file, None for data drawn from the seed.
    shapes: array name to shape.
    """

    name: str
    digest: str
    path: str | None
    shapes: dict[str, tuple[int, ...]]
    bytes: int


@dataclass(frozen=True)
class Report:
    """Everything about a run that is over. status: FINISHED, FAILED or KILLED. joined: the run was not made
    by `begin`, so it may hold params already, which nobody can change. artifacts: files, and folders whose
    contents are meant.
    """

    record_id: str
    name: str
    status: str
    start_ms: int
    end_ms: int
    params: dict[str, str]
    tags: dict[str, str]
    metrics: list[Metric]
    dataset: Dataset | None
    artifacts: list[Path]
    joined: bool = False


@dataclass(frozen=True)
class OpenRun:
    """A run that the store holds for RUNNING."""

    run_id: str
    tags: dict[str, str]


class Tracker(Protocol):
    @property
    def uri(self) -> str:
        """The store's address, absolute, as `addresses` shows it."""

    @property
    def experiment_id(self) -> str: ...

    def begin(
        self, record_id: str, name: str, start_ms: int, tags: dict[str, str], run_id: str | None
    ) -> str:
        """Make a run, or join the run `run_id`. Returns the run's id."""

    def end(self, run_id: str, report: Report) -> None: ...

    def find(self, record_id: str) -> str | None:
        """The run that `begin` made for this record, or None."""

    def open_runs(self, host: str) -> list[OpenRun]:
        """The runs that are RUNNING and were begun on `host`."""

    def kill(self, run_id: str) -> None:
        """Give a run whose process is dead its status, KILLED."""


class Reader(Protocol):
    """Reads the runs of one experiment. Nothing is made or changed in the store."""

    @property
    def uri(self) -> str:
        """The store's address, absolute, as `addresses` shows it."""

    @property
    def experiment(self) -> str:
        """The experiment's name."""

    def runs(
        self, tags: Mapping[str, str] = ..., newest_first: bool = False, begin: Mapping[str, str] = ...
    ) -> Iterator[Any]:
        """MLflow's runs that have these tags, in the order in which they began. begin: the beginnings of
        tags' values.
        """

    def deleted(self, tags: Mapping[str, str] = ..., begin: Mapping[str, str] = ...) -> Iterator[Any]:
        """Such runs that were deleted and can still be restored."""

    def histories(self, run_ids: Sequence[str], key: str) -> dict[str, tuple[float, ...]]:
        """All values of a metric, by run id, in the order of their steps. A run without any is left out."""
