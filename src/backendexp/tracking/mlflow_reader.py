"""Reads the runs of an experiment back from MLflow. Nothing is made or changed there."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any

from backendexp.errors import UserError
from backendexp.spelling import nearest
from backendexp.tracking import addresses
from backendexp.tracking.mlflow_connection import (
    connect,
    database_file,
    patient_database,
    translated,
)

# Of one request. mlflow's own default; a page of this size is some megabytes of a server's JSON.
_PAGE = 1000
# Who asks for the newest runs first wants to see a few of them.
_FIRST_FEW = 100
# Run ids of one query: databases limit how many values a query may name.
_RUNS_A_QUERY = 500
_ANY: Mapping[str, str] = MappingProxyType({})


class MlflowReader:
    """
    uri: a tracking URI of MLflow, absolute. experiment: name. experiment_id: goes before the name.
    Making one imports mlflow and connects, which takes seconds.
    Raises UserError: there is no such store or no such experiment.
    Raises TrackingError: the store cannot be reached, or does not answer.
    """

    def __init__(self, uri: str, experiment: str, experiment_id: str | None = None) -> None:
        self.uri = addresses.keep(uri)
        file = database_file(uri)
        if file is not None and not os.path.isfile(file):
            raise UserError(
                f"{file} does not exist, so there are no runs to read. Name the store that holds them: "
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
        """MLflow's runs that have these tags, in the order in which they began. begin: of tags, how their
        values begin.
        """
        from mlflow.entities import ViewType

        conditions = _conditions(tags, begin)
        if newest_first:
            yield from self._pages(conditions, ViewType.ACTIVE_ONLY, "attributes.start_time DESC", _FIRST_FEW)
        else:
            yield from self._pages(conditions, ViewType.ACTIVE_ONLY, "attributes.start_time ASC", _PAGE)

    def deleted(self, tags: Mapping[str, str] = _ANY, begin: Mapping[str, str] = _ANY) -> Iterator[Any]:
        """Such runs that were deleted and can be restored still."""
        from mlflow.entities import ViewType

        order = "attributes.start_time ASC"
        yield from self._pages(_conditions(tags, begin), ViewType.DELETED_ONLY, order, _PAGE)

    def _pages(self, conditions: Sequence[str | None], view: int, order: str, size: int) -> Iterator[Any]:
        if None in conditions:
            return
        condition = " and ".join(filter(None, conditions))
        token: str | None = None
        while True:
            with self._told():
                page = self._client.search_runs(
                    [self.experiment_id], condition, view, size, [order], page_token=token
                )
            yield from page
            token = page.token
            if not token:
                return

    def histories(self, run_ids: Sequence[str], key: str) -> dict[str, tuple[float, ...]]:
        """All values of a metric, by run id, in the order of their steps. A run without any is not there."""
        steps: dict[str, dict[int, float]] = {}
        with self._told():
            for run_id, metric in self._points(run_ids, key):
                steps.setdefault(run_id, {})[metric.step] = metric.value
        return {run_id: tuple(by_step[n] for n in sorted(by_step)) for run_id, by_step in steps.items()}

    def _points(self, run_ids: Sequence[str], key: str) -> Iterator[tuple[str, Any]]:
        # Not in MLflow's client: a database has it in one query, a server wants a request for each run.
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
        # What % and _ in a value match besides themselves is more than was asked for: see `runs.ids_of`.
        *(_filter(tag, "LIKE", f"{value}%") for tag, value in begin.items()),
    ]


def _filter(tag: str, operator: str, value: str) -> str | None:
    """A filter of MLflow's, or None: its grammar has no way to write the value, so no run is asked for."""
    quote = next((mark for mark in "'\"" if mark not in value), None)
    return f"tags.`{tag}` {operator} {quote}{value}{quote}" if quote else None
