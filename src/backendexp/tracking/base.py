"""Defines what a tracking store promises to the code that writes to it (Tracker) or reads from it (Reader).

`begin` creates a run, which others see as RUNNING. `end` uploads the whole run in as few requests as possible
and sets its final status. If `end` fails half-way, it is safe to call it again with the same report: nothing
is stored twice. Every error of the store is raised as TrackingError.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

# The names of tags with what a store also holds in fields of its own. Tools that copy runs from store to
# store, such as mlflow-export-import, keep tags and lose these fields: a copy began when it was made, has
# finished, and has no dataset. BEGAN_MS, ENDED_MS: as in Report. STATUS: of a run that has ended.
# DATA_DIGEST: of the dataset.
BEGAN_MS, ENDED_MS = "backendexp.began_ms", "backendexp.ended_ms"
STATUS, DATA_DIGEST = "backendexp.status", "data_digest"


NO_TAGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Metric:
    """Holds one value of a metric.

    timestamp_ms: the time of the value, in milliseconds since 1970.
    """

    key: str
    value: float
    timestamp_ms: int
    step: int


@dataclass(frozen=True)
class Dataset:
    """Describes the data of a run.

    digest: the SHA-256 of the data, in hexadecimal.
    path: the path of the user's file, or None for data drawn from the seed.
    shapes: maps the name of each array to its shape.
    bytes: the size of all arrays.
    """

    name: str
    digest: str
    path: str | None
    shapes: dict[str, tuple[int, ...]]
    bytes: int


@dataclass(frozen=True)
class Report:
    """Holds everything that is stored about a run that has ended.

    status: FINISHED, FAILED or KILLED.
    start_ms, end_ms: when the run began and ended, in milliseconds since 1970.
    artifacts: the files to upload, and the folders whose contents are uploaded.
    joined: whether the run existed before `begin`. Such a run may already have params, and a store does not
        allow params to be changed.
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
    """Names a run that has the status RUNNING in the store.

    record_id: the id of its record, which `begin` was given.
    """

    run_id: str
    tags: dict[str, str]
    record_id: str = ""


class Tracker(Protocol):
    @property
    def uri(self) -> str:
        """The store's address, absolute, as `addresses` shows it."""

    @property
    def experiment_id(self) -> str: ...

    def begin(
        self, record_id: str, name: str, start_ms: int, tags: dict[str, str], run_id: str | None
    ) -> str:
        """Create a run, or join the existing run `run_id` if it is given. Returns the id of the run."""

    def end(self, run_id: str, report: Report) -> None:
        """Send everything about a run that is over, and discard what `discard` describes. Safe to repeat.

        A run that finished or failed by itself is not replaced by one that ended at another time, because
        only a directory that a full disk has cut short says so.
        """

    def find(self, record_id: str) -> str | None:
        """Return the id of the run that `begin` created for this record, or None.

        If there are several, see `discard`, it is one that has ended.
        """

    def open_runs(self, host: str) -> list[OpenRun]:
        """Return the runs that have the status RUNNING and were begun on `host`."""

    def kill(self, run_id: str, tags: Mapping[str, str] = ...) -> None:
        """Set the status of a run whose process has died to KILLED.

        tags: say why.
        """

    def discard(self, run_id: str) -> None:
        """Delete a run that a slow server created besides the one that it named. It can be restored."""


class OpenRuns(Protocol):
    """Finds and closes the open runs of a store, in all of its experiments. It creates nothing there."""

    @property
    def uri(self) -> str:
        """The store's address, absolute, as `addresses` shows it."""

    def all(self) -> list[OpenRun]:
        """Return the runs of all machines that backendexp has begun and that have the status RUNNING."""

    def kill(self, run_id: str, tags: Mapping[str, str] = ...) -> None:
        """Set the status of a run whose process has died to KILLED. See `Tracker.kill`."""


class Reader(Protocol):
    """Reads the runs of one experiment. Nothing is created or changed in the store."""

    @property
    def uri(self) -> str:
        """The store's address, absolute, as `addresses` shows it."""

    @property
    def experiment(self) -> str:
        """The experiment's name."""

    def runs(
        self, tags: Mapping[str, str] = ..., newest_first: bool = False, begin: Mapping[str, str] = ...
    ) -> Iterator[Any]:
        """Return MLflow's runs that have these tags, in the order in which they began in this store.

        tags: maps names of tags to their values. begin: maps names of tags to how their values begin.
        newest_first: whether to begin with the run that began last. Here, copies of runs count by the time at
            which their originals began.
        """

    def deleted(self, tags: Mapping[str, str] = ..., begin: Mapping[str, str] = ...) -> Iterator[Any]:
        """Return the runs that have these tags, were deleted, and can still be restored."""

    def histories(self, run_ids: Sequence[str], key: str) -> dict[str, tuple[float, ...]]:
        """Map the id of each run to all values of a metric, in the order of their steps.

        A run that has no value of the metric is left out.
        """
