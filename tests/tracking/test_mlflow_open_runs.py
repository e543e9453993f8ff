"""The open runs of a store are found in all of its experiments."""

from pathlib import Path

import pytest

from backendexp.errors import TrackingError
from backendexp.tracking import mlflow_open_runs
from backendexp.tracking.mlflow_open_runs import MlflowOpenRuns
from backendexp.tracking.mlflow_tracker import MlflowTracker


@pytest.fixture
def uri(tmp_path: Path, empty_store: bytes) -> str:
    (tmp_path / "mlflow.db").write_bytes(empty_store)
    return f"sqlite:///{tmp_path}/mlflow.db"


def test_open_runs_of_every_experiment_and_machine_are_found(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_open_runs, "_PAGE", 1)
    begun = {}
    for name in ("one", "two"):
        tracker = MlflowTracker(uri, name, None, tmp_path)
        begun |= {
            tracker.begin(f"{name} {n}", "name", n, {"backendexp.host": f"node{n}"}, None): n for n in (7, 8)
        }
        tracker.kill(tracker.begin("ended", "name", 1, {}, None))
        tracker._client.create_run(tracker.experiment_id, tags={"of": "another program"})
    found = MlflowOpenRuns(uri).all()
    assert {run.run_id: int(run.tags["backendexp.host"][-1]) for run in found} == begun
    assert sorted(run.record_id for run in found) == ["one 7", "one 8", "two 7", "two 8"]


def test_killed_run_says_why(uri: str, tmp_path: Path) -> None:
    tracker = MlflowTracker(uri, "one", None, tmp_path)
    run_id = tracker.begin("record", "name", 1, {}, None)
    store = MlflowOpenRuns(uri)
    store.kill(run_id, {"failure": "host_lost"})
    assert store.all() == []
    run = tracker._client.get_run(run_id)
    assert (run.info.status, run.data.tags["failure"]) == ("KILLED", "host_lost")
    assert run.data.tags["backendexp.status"] == "KILLED"


def test_store_that_does_not_answer_is_reported() -> None:
    with pytest.raises(TrackingError, match=r"^the tracking store http://127\.0\.0\.1:9 cannot be read: "):
        MlflowOpenRuns("http://127.0.0.1:9").all()
