"""The store of an address: the one place that knows which kinds of stores there are."""

from pathlib import Path

from backendexp.tracking.base import Reader, Tracker


def open_tracker(uri: str, experiment: str, experiment_id: str | None, folder: Path) -> Tracker:
    """A store to write into. It is connected at once, which imports mlflow and takes seconds.

    uri: absolute. experiment: its name; it is made where it does not exist. experiment_id: goes before the
    name. folder: artifacts of a local store lie in its mlruns.
    Raises TrackingError: the store cannot be reached, or refuses.
    """
    from backendexp.tracking.mlflow_tracker import MlflowTracker

    return MlflowTracker(uri, experiment, experiment_id, folder)


def open_reader(uri: str, experiment: str, experiment_id: str | None = None) -> Reader:
    """A store to read from.

    Raises UserError: there is no such store or no such experiment. TrackingError: the store cannot be
    reached, or does not answer.
    """
    from backendexp.tracking.mlflow_reader import MlflowReader

    return MlflowReader(uri, experiment, experiment_id)
