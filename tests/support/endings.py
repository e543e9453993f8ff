"""How a run ended: what its store says, and what its worker said."""

from typing import Any

from support.projects import Project, named, reached

# The longest time that a test waits for a run to start.
STARTED_S = 90


def only_run(lab: Project, status: str, failure: str) -> Any:
    """The one run of the store, which ended like this."""
    (run,) = lab.tracked()
    assert (run.info.status, run.data.tags.get("failure")) == (status, failure)
    return run


def wait_for_epochs(lab: Project, count: int) -> int:
    """Until the run has told of `count` epochs. Returns the pid of the run's process."""
    reached(lambda: len(named(lab.events(), "epoch")) >= count, STARTED_S)
    heard = lab.events()
    assert len(named(heard, "epoch")) >= count, heard
    return int(named(heard, "started")[0]["pid"])


def assert_epochs_are_kept(lab: Project, run: Any, number: int = -1) -> None:
    """Every epoch that the worker told of is in MLflow, the last included."""
    told = named(lab.events(number), "epoch")
    kept = lab.history(run, "train/loss")
    assert len(told) >= 2
    assert [point.step for point in kept] == [event["epoch"] for event in told]
    assert kept[-1].value == told[-1]["loss"]
