"""Uploading what the store did not take, to a real database of MLflow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import streams
from backendexp import machine, record, sync
from backendexp.errors import UserError
from backendexp.plan import RunSpec
from backendexp.tracking.mlflow_tracker import MlflowTracker
from test_session import dead_process

MakeSpec = Callable[..., RunSpec]


@pytest.fixture
def uri(project: Path, empty_store: bytes) -> str:
    (project / "mlflow.db").write_bytes(empty_store)
    return f"sqlite:///{project}/mlflow.db"


def runs_of(uri: str, project: Path) -> list[Any]:
    tracker = MlflowTracker(uri, "backendexp", None, project)
    return list(tracker._client.search_runs([tracker.experiment_id], order_by=["start_time"]))


def test_every_run_is_uploaded_once(
    uri: str, project: Path, make_spec: MakeSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [
        streams.record_of(project / folder, make_spec(seed=seed), stream, uri=uri)
        for folder, seed, stream in (
            ("outputs/a", 1, streams.whole()),
            ("multirun/b/0", 2, streams.killed_in_epoch_3()),
        )
    ]
    assert sync.main([]) == 0
    assert capsys.readouterr().out.endswith("2 uploaded, 0 refused, 0 with nothing to upload\n")
    runs = runs_of(uri, project)
    assert [(r.info.status, r.data.params["seed"]) for r in runs] == [("FINISHED", "1"), ("FAILED", "2")]
    assert [r.info.run_id for r in runs] == [one.tracked_run_id for one in made]
    assert [r.info.start_time for r in runs] == [round(one.context.began * 1000) for one in made]
    assert sync.main([]) == 0
    assert capsys.readouterr().out == "0 uploaded, 0 refused, 2 with nothing to upload\n"
    assert len(runs_of(uri, project)) == 2


def test_run_that_the_store_had_begun_to_take_is_continued(
    uri: str, project: Path, make_spec: MakeSpec
) -> None:
    done = streams.record_of(project / "outputs", make_spec(), streams.whole(), uri=uri)
    begun = MlflowTracker(uri, "backendexp", None, project).begin(done.context.id, "name", 1000, {}, None)
    assert sync.main(["outputs"]) == 0
    (run,) = runs_of(uri, project)
    assert (run.info.run_id, run.info.status) == (begun, "FINISHED")
    assert done.tracked_run_id == begun


def test_run_of_a_dead_process_is_closed_and_uploaded(uri: str, project: Path, make_spec: MakeSpec) -> None:
    told = streams.whole()[:9]
    streams.record_of(project / "outputs", make_spec(), told, uri=uri, tags=dead_process(), finish=False)
    assert sync.main(["outputs"]) == 0
    (run,) = runs_of(uri, project)
    assert (run.info.status, run.data.tags["failure"]) == ("KILLED", "parent_lost")


@pytest.mark.parametrize("host", [None, "elsewhere"])
def test_run_that_may_still_train_is_left_alone(
    host: str | None, uri: str, project: Path, make_spec: MakeSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = {**machine.tags(), **({"backendexp.host": host} if host else {})}
    draft = streams.record_of(project / "outputs", make_spec(), [], uri=uri, tags=tags, finish=False)
    assert sync.main(["outputs"]) == 0
    assert capsys.readouterr().out == "0 uploaded, 0 refused, 1 with nothing to upload\n"
    assert record.load(draft.directory).result is None


def test_other_store_can_be_named(uri: str, project: Path, make_spec: MakeSpec) -> None:
    streams.record_of(project / "outputs", make_spec(), streams.whole(), uri="http://127.0.0.1:9")
    assert sync.main(["outputs", "--uri", "sqlite:///mlflow.db"]) == 0
    assert len(runs_of(uri, project)) == 1


def test_store_that_is_away_refuses_and_the_run_stays_to_be_uploaded(
    project: Path, make_spec: MakeSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    done = streams.record_of(project / "outputs", make_spec(), streams.whole(), uri="http://127.0.0.1:9")
    assert sync.main(["outputs"]) == 1
    told = capsys.readouterr()
    assert told.out == "0 uploaded, 1 refused, 0 with nothing to upload\n"
    assert f"{done.directory.relative_to(project)}: the tracking store http://127.0.0.1:9 did not" in told.err
    assert done.tracked_run_id is None


def test_folder_that_is_not_there_is_refused(project: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere is not there\. Expected a folder that holds runs"):
        sync.main(["nowhere"])


def test_directory_without_any_run_has_nothing_to_upload(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync.main([]) == 0
    assert capsys.readouterr().out == "0 uploaded, 0 refused, 0 with nothing to upload\n"
    assert list(project.iterdir()) == []
