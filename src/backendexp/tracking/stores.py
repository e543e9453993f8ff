"""Opens the store at an address. Only this module knows which kinds of stores there are."""

from pathlib import Path

from backendexp.tracking.base import OpenRuns, Reader, Tracker


def open_tracker(uri: str, experiment: str, experiment_id: str | None, folder: Path) -> Tracker:
    """Open a store to write to. It connects at once, which imports mlflow and takes seconds.

    uri: the address of the store, absolute.
    experiment: the name of the experiment, which is created if it does not exist.
    experiment_id: the id of an existing experiment. If it is given, the name is ignored.
    folder: the folder whose subfolder mlruns holds the artifacts of a local store.
    Raises TrackingError: the store cannot be reached, or refuses the request.
    """
    from backendexp.tracking.mlflow_tracker import MlflowTracker

    return MlflowTracker(uri, experiment, experiment_id, folder)


def open_reader(uri: str, experiment: str, experiment_id: str | None = None) -> Reader:
    """Open a store to read from. The parameters are those of `open_tracker`.

    Raises UserError: the store or the experiment does not exist.
    Raises TrackingError: the store cannot be reached, or does not answer.
    """
    from backendexp.tracking.mlflow_reader import MlflowReader

    return MlflowReader(uri, experiment, experiment_id)


def open_runs_of(uri: str) -> OpenRuns:
    """Open a store to find and close the open runs of all of its experiments. It must exist.

    uri: the address of the store, absolute.
    Raises TrackingError: the store cannot be reached, or does not answer.
    """
    from backendexp.tracking.mlflow_open_runs import MlflowOpenRuns

    return MlflowOpenRuns(uri)
