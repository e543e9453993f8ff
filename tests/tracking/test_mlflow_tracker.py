"""The tracker works with a real MLflow database."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendexp.errors import TrackingError
from backendexp.runs import record
from backendexp.runs.plan import RunSpec
from backendexp.tracking.base import Dataset, Metric, Report
from backendexp.tracking.mlflow_connection import absolute_uri, default_uri
from backendexp.tracking.mlflow_tracker import MlflowTracker
from support import streams

MakeSpec = Callable[..., RunSpec]


@pytest.fixture
def uri(tmp_path: Path, empty_store: bytes) -> str:
    (tmp_path / "mlflow.db").write_bytes(empty_store)
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def tracker(uri: str, tmp_path: Path) -> MlflowTracker:
    return MlflowTracker(uri, "backendexp", None, tmp_path)


def report_of(**fields: Any) -> Report:
    empty = Report("id", "name", "FINISHED", 1000, 2000, {}, {}, [], None, [])
    return replace(empty, **fields)


def stored(tracker: MlflowTracker, run_id: str) -> Any:
    return tracker._client.get_run(run_id)


def history(tracker: MlflowTracker, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in tracker._client.get_metric_history(run_id, key)]


def test_begin_creates_a_run_that_others_see_as_running(tracker: MlflowTracker) -> None:
    run_id = tracker.begin("record-1", "a name", 1234, {"backendexp.host": "here"}, None)
    run = stored(tracker, run_id)
    assert run.info.status == "RUNNING"
    assert (run.info.run_name, run.info.start_time) == ("a name", 1234)
    assert run.data.tags["backendexp.record"] == "record-1"
    assert run.data.tags["backendexp.began_ms"] == "1234"
    assert run.info.experiment_id == tracker.experiment_id


def test_end_records_everything_about_a_run(
    tracker: MlflowTracker, make_spec: MakeSpec, tmp_path: Path
) -> None:
    spec = make_spec("jax", seed=3)
    done = streams.record_of(tmp_path / "out", spec, streams.whole((0.7, 0.6, 0.5)))
    (done.directory / "model").mkdir()
    (done.directory / "model" / "model.keras").write_bytes(b"weights")
    run_id = tracker.begin(done.context.id, done.context.name, 1000, {}, None)
    report = record.report(done)
    tracker.end(run_id, report)
    run = stored(tracker, run_id)
    assert run.info.status == "FINISHED"
    assert run.info.end_time == report.end_ms
    assert run.data.params == spec.params()
    assert done.result is not None
    assert {k: v for k, v in run.data.metrics.items() if not k.startswith("train/")} == done.result.metrics()
    assert history(tracker, run_id, "train/loss") == [(1, 0.7), (2, 0.6), (3, 0.5)]
    assert report.tags.items() <= run.data.tags.items()
    lost_in_copies = {"backendexp.status": "FINISHED", "data_digest": "d" * 64}
    times = {"backendexp.began_ms": str(report.start_ms), "backendexp.ended_ms": str(report.end_ms)}
    assert {**lost_in_copies, **times}.items() <= run.data.tags.items()
    artifacts = {item.path for item in tracker._client.list_artifacts(run_id)}
    assert {"spec.json", "events.jsonl", "result.json", "environment.json", "model"} <= artifacts
    assert [i.path for i in tracker._client.list_artifacts(run_id, "model")] == ["model/model.keras"]


def test_end_twice_leaves_everything_there_once(
    tracker: MlflowTracker, make_spec: MakeSpec, tmp_path: Path
) -> None:
    done = streams.record_of(tmp_path / "out", make_spec(), streams.whole((0.7, 0.6, 0.5)))
    run_id = tracker.begin(done.context.id, done.context.name, 1000, {}, None)
    for _ in range(2):
        tracker.end(run_id, record.report(done))
    assert history(tracker, run_id, "train/loss") == [(1, 0.7), (2, 0.6), (3, 0.5)]
    assert len(history(tracker, run_id, "training_time_s")) == 1
    assert len(stored(tracker, run_id).inputs.dataset_inputs) == 1


def test_run_that_ended_by_itself_is_not_replaced_by_a_killed_one(tracker: MlflowTracker) -> None:
    """A full disk may have kept the end of a run from its directory, while the store has it."""
    run_id = tracker.begin("id", "name", 1000, {}, None)
    tracker.end(run_id, report_of(status="FINISHED", metrics=[Metric("test/loss", 0.5, 1000, 0)]))
    tracker.end(run_id, report_of(status="KILLED", end_ms=3000, tags={"failure": "parent_lost"}))
    assert stored(tracker, run_id).info.status == "FINISHED"
    assert "failure" not in stored(tracker, run_id).data.tags


@pytest.mark.parametrize("joined", [False, True])
def test_run_that_was_killed_or_joined_is_completed(joined: bool, tracker: MlflowTracker) -> None:
    """`mlflow run` ends its run itself when backendexp was killed."""
    run_id = tracker.begin("id", "name", 1000, {}, None)
    tracker._client.set_terminated(run_id, "FAILED")
    tracker.end(run_id, report_of(status="KILLED", tags={"failure": "parent_lost"}, joined=joined))
    assert stored(tracker, run_id).info.status == "KILLED"
    assert stored(tracker, run_id).data.tags["failure"] == "parent_lost"


def test_more_metrics_than_one_request_takes_all_arrive(tracker: MlflowTracker) -> None:
    metrics = [Metric("train/loss", 1.0 / step, 1000 + step, step) for step in range(1, 2502)]
    run_id = tracker.begin("id", "name", 1000, {}, None)
    tracker.end(run_id, report_of(metrics=metrics, params={"a": "1"}, tags={"t": "1"}))
    assert history(tracker, run_id, "train/loss") == [(m.step, m.value) for m in metrics]


def test_more_params_than_one_request_takes_all_arrive(tracker: MlflowTracker) -> None:
    params = {f"key{number}": str(number) for number in range(250)}
    run_id = tracker.begin("id", "name", 1000, {}, None)
    tracker.end(run_id, report_of(params=params))
    assert stored(tracker, run_id).data.params == params


def test_long_tag_is_cut_and_not_refused(tracker: MlflowTracker) -> None:
    run_id = tracker.begin("id", "name", 1000, {}, None)
    tracker.end(run_id, report_of(tags={"mlflow.note.content": "x" * 20000}, status="FAILED"))
    assert stored(tracker, run_id).data.tags["mlflow.note.content"] == "x" * 8000
    assert stored(tracker, run_id).info.status == "FAILED"


@pytest.mark.parametrize("path", [None, "/data/mine.npz"])
def test_dataset_is_logged_as_mlflow_shows_it(path: str | None, tracker: MlflowTracker) -> None:
    shapes = {"x_train": (6, 3), "y_train": (6, 1), "x_test": (2, 3), "y_test": (2, 1)}
    dataset = Dataset("mine.npz", "a" * 64, path, shapes, 128)
    run_id = tracker.begin("id", "name", 1000, {}, None)
    tracker.end(run_id, report_of(dataset=dataset))
    (logged,) = stored(tracker, run_id).inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == ("mine.npz", "a" * 36)
    assert logged.dataset.source_type == ("local" if path else "code")
    assert '"shape": [-1, 3]' in logged.dataset.schema.replace("\\", "")
    assert '"bytes": 128' in logged.dataset.profile
    assert [(tag.key, tag.value) for tag in logged.tags] == [("mlflow.data.context", "training")]


def test_find_knows_a_run_by_its_record(tracker: MlflowTracker) -> None:
    run_id = tracker.begin("record-1", "name", 1000, {}, None)
    tracker.begin("record-2", "name", 1000, {}, None)
    assert tracker.find("record-1") == run_id
    assert tracker.find("record-3") is None


def test_open_runs_are_the_running_ones_of_this_host(tracker: MlflowTracker) -> None:
    tags = {"backendexp.host": "here", "backendexp.pid": "7"}
    running = tracker.begin("a", "name", 1000, tags, None)
    ended = tracker.begin("b", "name", 1000, tags, None)
    tracker.end(ended, report_of())
    tracker.begin("c", "name", 1000, {"backendexp.host": "elsewhere"}, None)
    (found,) = tracker.open_runs("here")
    assert found.run_id == running
    assert found.tags["backendexp.pid"] == "7"
    tracker.kill(running)
    assert stored(tracker, running).info.status == "KILLED"
    assert tracker.open_runs("here") == []


def test_joined_run_keeps_the_params_that_it_has(tracker: MlflowTracker) -> None:
    """`mlflow run` logs its -P params first, and params cannot be changed."""
    joined = tracker._client.create_run(tracker.experiment_id).info.run_id
    tracker._client.log_param(joined, "seed", "'0'")
    tracker._client.log_param(joined, "epochs", "5")
    assert tracker.begin("record-1", "name", 1000, {"sweep": "a/b"}, joined) == joined
    assert tracker.find("record-1") == joined
    tracker.end(joined, report_of(params={"seed": "0", "training.epochs": "5"}, joined=True))
    run = stored(tracker, joined)
    assert run.data.params == {"seed": "'0'", "epochs": "5", "training.epochs": "5"}
    assert run.data.tags["sweep"] == "a/b"
    assert run.info.status == "FINISHED"


def test_experiment_is_made_once_with_its_artifacts_in_the_folder(
    tracker: MlflowTracker, uri: str, tmp_path: Path
) -> None:
    again = MlflowTracker(uri, "backendexp", None, tmp_path / "elsewhere")
    assert again.experiment_id == tracker.experiment_id
    location = tracker._client.get_experiment(tracker.experiment_id).artifact_location
    assert location == f"{tmp_path.as_uri()}/mlruns/{tracker.experiment_id}"


def test_experiment_id_takes_precedence_over_the_name(
    tracker: MlflowTracker, uri: str, tmp_path: Path
) -> None:
    by_id = MlflowTracker(uri, "not made", tracker.experiment_id, tmp_path)
    assert by_id.experiment_id == tracker.experiment_id
    assert by_id._client.get_experiment_by_name("not made") is None


NAMES = [
    "my experiment",
    "50% more",
    "a#b",
    "a?b",
    "größer",
    "a/b",
    "..",
    "../../esc",
    "/etc",
    "a%23b",
    "x" * 256,
]


@pytest.mark.parametrize("name", NAMES, ids=[name[:12] for name in NAMES])
@pytest.mark.parametrize("below", ["project", "c# 50%25?"])
def test_artifacts_of_an_experiment_of_any_name_are_in_the_project(
    name: str, below: str, uri: str, tmp_path: Path
) -> None:
    folder = tmp_path / below
    folder.mkdir(exist_ok=True)
    before = set(tmp_path.rglob("*"))
    tracker = MlflowTracker(uri, name, None, folder)
    (tmp_path / "spec.json").write_text("{}")
    run_id = tracker.begin("id", "name", 1000, {}, None)
    tracker.end(run_id, report_of(artifacts=[tmp_path / "spec.json"]))
    assert [item.path for item in tracker._client.list_artifacts(run_id)] == ["spec.json"]
    (copy,) = (folder / "mlruns" / tracker.experiment_id).rglob("spec.json")
    assert copy.read_text() == "{}"
    made = set(tmp_path.rglob("*")) - before - {tmp_path / "spec.json"}
    assert all(path.is_relative_to(folder / "mlruns") for path in made)


def test_experiments_never_share_a_place(uri: str, tmp_path: Path) -> None:
    trackers = [MlflowTracker(uri, name, None, tmp_path) for name in NAMES]
    places = [t._client.get_experiment(t.experiment_id).artifact_location for t in trackers]
    assert places == [f"{tmp_path.as_uri()}/mlruns/{t.experiment_id}" for t in trackers]
    assert len(set(places)) == len(NAMES)


def test_artifacts_of_an_experiment_of_an_earlier_version_stay_where_they_are(
    tracker: MlflowTracker, uri: str, tmp_path: Path
) -> None:
    location = f"{tmp_path.as_uri()}/mlruns/ours"
    tracker._client.create_experiment("ours", artifact_location=location)
    (tmp_path / "spec.json").write_text("{}")
    again = MlflowTracker(uri, "ours", None, tmp_path / "elsewhere")
    run_id = again.begin("id", "name", 1000, {}, None)
    again.end(run_id, report_of(artifacts=[tmp_path / "spec.json"]))
    assert [item.path for item in again._client.list_artifacts(run_id)] == ["spec.json"]
    assert len(list((tmp_path / "mlruns" / "ours").rglob("spec.json"))) == 1


def test_deleted_experiment_is_refused_with_the_line_that_restores_it(
    tracker: MlflowTracker, uri: str, tmp_path: Path
) -> None:
    tracker._client.delete_experiment(tracker.experiment_id)
    with pytest.raises(TrackingError) as refusal:
        MlflowTracker(uri, "backendexp", None, tmp_path)
    assert str(refusal.value) == (
        f"experiment 'backendexp' of {uri} is deleted. Restore it with: mlflow experiments restore "
        f"--experiment-id {tracker.experiment_id}   or choose another: tracking.experiment=NAME"
    )


def test_missing_server_is_reported_within_seconds(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(TrackingError, match=r"the tracking store http://127\.0\.0\.1:9 did not accept it: "):
        MlflowTracker("http://127.0.0.1:9", "backendexp", None, tmp_path)
    assert time.monotonic() - began < 60


def test_file_that_is_not_a_database_is_a_tracking_error(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database, but text that is long enough to be read" * 99)
    with pytest.raises(TrackingError, match=r"did not accept it: .*file is not a database"):
        MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db", "backendexp", None, tmp_path)


def test_kind_of_store_that_mlflow_does_not_know_is_a_tracking_error(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"the tracking store ftp://nowhere did not accept it"):
        MlflowTracker("ftp://nowhere", "backendexp", None, tmp_path)


def test_run_that_does_not_exist_is_a_tracking_error(tracker: MlflowTracker) -> None:
    with pytest.raises(TrackingError, match="did not accept it"):
        tracker.end("f" * 32, report_of())
    with pytest.raises(TrackingError, match="did not accept it"):
        tracker.begin("id", "name", 1000, {}, "f" * 32)


def test_default_store_is_a_database_in_the_folder(tmp_path: Path) -> None:
    assert default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"


relative = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1).map(lambda n: n + ".db")


@given(relative)
def test_relative_database_becomes_absolute_once(name: str) -> None:
    folder = Path("/a/folder")
    absolute = absolute_uri(f"sqlite:///{name}", folder)
    assert absolute == f"sqlite:////a/folder/{name}"
    assert absolute_uri(absolute, Path("/another")) == absolute


@pytest.mark.parametrize(
    "uri",
    [
        "http://tracking:5000",
        "sqlite:////tmp/mlflow.db",
        "postgresql://user:secret@host/mlflow",
        "databricks",
    ],
)
def test_other_stores_stay_as_they_are(uri: str) -> None:
    assert absolute_uri(uri, Path("/a/folder")) == uri
