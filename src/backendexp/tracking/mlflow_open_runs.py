"""Finds and closes the runs of a store that are still open, in all of its experiments."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from backendexp.tracking import addresses
from backendexp.tracking.base import NO_TAGS, OpenRun
from backendexp.tracking.mlflow_connection import connect, patient_database, translated
from backendexp.tracking.mlflow_tracker import RECORD_TAG, kill

# The number of experiments and of runs in one request.
_PAGE = 1000


class MlflowOpenRuns:
    """Finds and closes open runs. Creating it imports mlflow and connects, which takes seconds.

    uri: a tracking URI of MLflow, absolute. A database must exist.
    Raises TrackingError: the store cannot be reached, or does not answer.
    """

    def __init__(self, uri: str) -> None:
        self.uri = addresses.keep(uri)
        with translated(self.uri, "cannot be read"), patient_database(uri):
            self._client = connect(uri)

    def all(self) -> list[OpenRun]:
        """Return the runs of all machines that backendexp has begun and that have the status RUNNING."""
        with translated(self.uri, "cannot be read"):
            experiments = [found.experiment_id for found in _pages(self._client.search_experiments)]
            if not experiments:
                return []
            search = partial(self._client.search_runs, experiments, "attributes.status = 'RUNNING'")
            named = ((run.info.run_id, dict(run.data.tags)) for run in _pages(search))
            return [OpenRun(run_id, tags, tags[RECORD_TAG]) for run_id, tags in named if RECORD_TAG in tags]

    def kill(self, run_id: str, tags: Mapping[str, str] = NO_TAGS) -> None:
        with translated(self.uri):
            kill(self._client, run_id, tags)


def _pages(search: Callable[..., Any]) -> Iterator[Any]:
    """Return what all pages of an answer hold.

    search: asks for one of them.
    """
    token: str | None = None
    while True:
        page = search(max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
