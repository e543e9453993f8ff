"""Reads the runs of an experiment back from MLflow. Nothing is created or changed there."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any

from backendexp.errors import UserError
from backendexp.spelling import nearest
from backendexp.tracking import addresses
from backendexp.tracking.base import BEGAN_MS
from backendexp.tracking.mlflow_connection import (
    connect,
    database_file,
    patient_database,
    translated,
)

# The number of runs in one request. This is mlflow's own default, and a server sends some megabytes of JSON
# for it.
_PAGE = 1000
# A caller that asks for the newest runs first usually needs only a few of them. More come in larger pages.
_FIRST_FEW = 100
# The number of run ids in one query. Databases limit how many values a query may name.
_RUNS_A_QUERY = 500
# A copy of a run began in its store when it was copied, and only its tag says when the run itself began. Runs
# of an earlier version have no such tag, and come after the others.
_OLDEST_FIRST = ["attributes.start_time ASC"]
_NEWEST_FIRST = [f"tags.`{BEGAN_MS}` DESC", "attributes.start_time DESC"]
_ANY: Mapping[str, str] = MappingProxyType({})


class MlflowReader:
    """Reads the runs of one experiment. Creating a reader imports mlflow and connects, which takes seconds.

    uri: a tracking URI of MLflow, absolute.
    experiment: the name of the experiment.
    experiment_id: the id of the experiment. If it is given, the name is ignored.
    Raises UserError: the store or the experiment does not exist.
    Raises TrackingError: the store cannot be reached, or does not answer.
    """

    def __init__(self, uri: str, experiment: str, experiment_id: str | None = None) -> None:
        self.uri = addresses.keep(uri)
        file = database_file(uri)
        if file is not None and not os.path.isfile(file):
            raise UserError(
                f"{file} does not exist, so there are no runs to read. Choose the store that holds them: "
                "tracking.uri=sqlite:///path/to/mlflow.db or tracking.uri=http://host:5000"
            )
        with self._told(), patient_database(uri):
            self._client = connect(uri)
            found = (
                self._client.get_experiment(experiment_id)
                if experiment_id
                else self._client.get_experiment_by_name(experiment)
            )
            if found is None:
                names = [other.name for other in self._client.search_experiments()]
        if found is None:
            raise UserError(
                f"experiment {experiment!r} is not in {self.uri}. {nearest(experiment, names)}"
                f"It has: {', '.join(sorted(names)) or 'none'}"
            )
        if found.lifecycle_stage != "active":
            raise UserError(
                f"experiment {found.name!r} of {self.uri} is deleted. Restore it with: "
                f"mlflow experiments restore --experiment-id {found.experiment_id}"
            )
        self.experiment = str(found.name)
        self.experiment_id = str(found.experiment_id)

    def _told(self) -> AbstractContextManager[None]:
        return translated(self.uri, "cannot be read")

    def runs(
        self, tags: Mapping[str, str] = _ANY, newest_first: bool = False, begin: Mapping[str, str] = _ANY
    ) -> Iterator[Any]:
        """Return MLflow's runs that have these tags, in the order in which they began in this store.

        tags: maps names of tags to their values. begin: maps names of tags to how their values begin.
        newest_first: whether to begin with the run that began last, and with a small page. Here, copies of
            runs count by the time at which their originals began.
        """
        from mlflow.entities import ViewType

        conditions = _conditions(tags, begin)
        order, size = (_NEWEST_FIRST, _FIRST_FEW) if newest_first else (_OLDEST_FIRST, _PAGE)
        yield from self._pages(conditions, ViewType.ACTIVE_ONLY, order, size)

    def deleted(self, tags: Mapping[str, str] = _ANY, begin: Mapping[str, str] = _ANY) -> Iterator[Any]:
        """Return the runs that have these tags, were deleted, and can still be restored."""
        from mlflow.entities import ViewType

        yield from self._pages(_conditions(tags, begin), ViewType.DELETED_ONLY, _OLDEST_FIRST, _PAGE)

    def _pages(
        self, conditions: Sequence[str | None], view: int, order: list[str], size: int
    ) -> Iterator[Any]:
        if None in conditions:
            return
        condition = " and ".join(filter(None, conditions))
        token: str | None = None
        while True:
            with self._told():
                page = self._client.search_runs(
                    [self.experiment_id], condition, view, size, order, page_token=token
                )
            yield from page
            token, size = page.token, _PAGE  # a store sorts all runs for every page
            if not token:
                return

    def histories(self, run_ids: Sequence[str], key: str) -> dict[str, tuple[float, ...]]:
        """Map the id of each run to all values of a metric, in the order of their steps.

        A run that has no value of the metric is left out.
        """
        steps: dict[str, dict[int, float]] = {}
        with self._told():
            for run_id, metric in self._points(run_ids, key):
                steps.setdefault(run_id, {})[metric.step] = metric.value
        return {run_id: tuple(by_step[n] for n in sorted(by_step)) for run_id, by_step in steps.items()}

    def _points(self, run_ids: Sequence[str], key: str) -> Iterator[tuple[str, Any]]:
        # MLflow's client lacks this method. A database answers it with one query, while a server requires a
        # request for each run.
        in_bulk = getattr(self._client._tracking_client.store, "get_metric_history_bulk", None)
        if in_bulk is None:
            for run_id in run_ids:
                for metric in self._client.get_metric_history(run_id, key):
                    yield run_id, metric
            return
        for at in range(0, len(run_ids), _RUNS_A_QUERY):
            for found in in_bulk(run_ids[at : at + _RUNS_A_QUERY], key, None):
                yield found.run_id, found


def _conditions(tags: Mapping[str, str], begin: Mapping[str, str]) -> list[str | None]:
    return [
        *(_filter(tag, "=", value) for tag, value in tags.items()),
        # A % or _ in the value also matches other characters, so this may find more runs than were asked for:
        # see `runs.ids_of`.
        *(_filter(tag, "LIKE", f"{value}%") for tag, value in begin.items()),
    ]


def _filter(tag: str, operator: str, value: str) -> str | None:
    """Return a filter in MLflow's grammar, or None if that grammar cannot express the value.

    In that case no run is asked for.
    """
    quote = next((mark for mark in "'\"" if mark not in value), None)
    return f"tags.`{tag}` {operator} {quote}{value}{quote}" if quote else None
