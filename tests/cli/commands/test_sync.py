"""`backendexp sync` uploads the runs that a store did not accept, here to a real MLflow database."""

import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backendexp.cli.commands import sync
from backendexp.errors import UserError
from backendexp.experiments import sweep
from backendexp.runs import machine, record, summary_run
from backendexp.runs.plan import RunSpec
from backendexp.runs.session import Destination, Session
from backendexp.tracking.base import Report
from backendexp.tracking.mlflow_tracker import MlflowTracker
from support import streams
from support.plans import small_plan
from support.sessions import dead_process

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
    stream = streams.whole()[:9]
    streams.record_of(project / "outputs", make_spec(), stream, uri=uri, tags=dead_process(), finish=False)
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


def concluded(project: Path, uri: str) -> None:
    """Record a sweep of two runs whose store was unreachable at the end, with its summary and an artifact."""
    done = sweep.sweep_of(str(project / "multirun/2026-01-01/10-00-00"))
    for number in range(2):
        spec = small_plan("jax", seed=number)
        streams.record_of(done.directory / str(number), spec, streams.whole(), uri=uri, tags=sweep.tags(done))
    conclusion = replace(
        sweep.conclusion_of(done.directory, done.records(), 2),
        params={"compare.blocks": "3"},
        metrics={"jax/training_time_s_median": 1.5},
        by_size={"jax/training_time_s_by_samples": {100: 1.0, 200: 2.0}},
    )
    away = Destination("mlflow", uri, "backendexp", None)
    closed = Session(_refused={away: (time.monotonic(), "the store is away")})
    assert sweep.track_summary(closed, away, done, conclusion, True) is None


def test_summary_of_a_sweep_is_uploaded_once_with_all_that_it_had(
    uri: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    concluded(project, uri)
    assert sync.main([]) == 0
    assert capsys.readouterr().out.endswith("3 uploaded, 0 refused, 0 with nothing to upload\n")
    assert sync.main([]) == 0
    assert capsys.readouterr().out == "0 uploaded, 0 refused, 3 with nothing to upload\n"
    (summary,) = [run for run in runs_of(uri, project) if "kind" in run.data.tags]
    swept = summary.data.tags["sweep"]
    assert swept.startswith("2026-01-01/10-00-00-")
    assert (summary.info.run_name, summary.info.status) == (f"sweep {swept}", "FINISHED")
    assert summary.data.params == {"compare.blocks": "3"}
    assert summary.data.metrics["jax/training_time_s_median"] == 1.5
    assert "| jax | keras3 | 2 of 2 |" in summary.data.tags["mlflow.note.content"]
    client = MlflowTracker(uri, "backendexp", None, project)._client
    points = client.get_metric_history(summary.info.run_id, "jax/training_time_s_by_samples")
    assert sorted((point.step, point.value) for point in points) == [(100, 1.0), (200, 2.0)]
    assert [file.path for file in client.list_artifacts(summary.info.run_id)] == ["sweep.md"]


def test_summary_that_the_store_had_begun_to_take_is_continued(uri: str, project: Path) -> None:
    concluded(project, uri)
    (file,) = summary_run.find([project / "multirun"])
    identity = summary_run.load(file).report.record_id
    begun = MlflowTracker(uri, "backendexp", None, project).begin(identity, "name", 1000, {}, None)
    assert sync.main(["multirun"]) == 0
    (summary,) = [run for run in runs_of(uri, project) if "kind" in run.data.tags]
    assert (summary.info.run_id, summary.info.status) == (begun, "FINISHED")


def test_summary_is_uploaded_from_where_its_folder_has_been_moved(uri: str, project: Path) -> None:
    concluded(project, uri)
    (project / "multirun").rename(project / "kept")
    assert sync.main(["kept"]) == 0
    assert len(runs_of(uri, project)) == 3


def test_summary_leaves_the_run_that_it_was_to_continue_to_its_own_store(uri: str, project: Path) -> None:
    report = Report("a" * 32, "sweep", "FINISHED", 1, 2, {}, {"kind": "sweep"}, [], None, [], joined=True)
    away = Destination("mlflow", "http://127.0.0.1:9", "backendexp", None)
    summary_run.write(project / "outputs", away, report, joins="b" * 32)
    assert sync.main(["outputs", "--uri", uri]) == 0
    (summary,) = runs_of(uri, project)
    assert summary.info.run_id != "b" * 32


def test_other_store_can_be_named(uri: str, project: Path, make_spec: MakeSpec) -> None:
    streams.record_of(project / "outputs", make_spec(), streams.whole(), uri="http://127.0.0.1:9")
    assert sync.main(["outputs", "--uri", "sqlite:///mlflow.db"]) == 0
    assert len(runs_of(uri, project)) == 1


def test_run_stays_on_disk_if_the_store_cannot_be_reached(
    project: Path, make_spec: MakeSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    done = streams.record_of(project / "outputs", make_spec(), streams.whole(), uri="http://127.0.0.1:9")
    assert sync.main(["outputs"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "0 uploaded, 1 refused, 0 with nothing to upload\n"
    assert (
        f"{done.directory.relative_to(project)}: the tracking store http://127.0.0.1:9 did not" in printed.err
    )
    assert done.tracked_run_id is None


def test_folder_that_does_not_exist_is_refused(project: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist\. Expected a folder that holds runs"):
        sync.main(["nowhere"])


def test_directory_without_any_run_has_nothing_to_upload(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync.main([]) == 0
    assert capsys.readouterr().out == "0 uploaded, 0 refused, 0 with nothing to upload\n"
    assert list(project.iterdir()) == []


# -- a machine that will not come back ---------------------------------------------------------------


def lost_run(uri: str, root: Path, host: str = "node7", silent_s: float = 600) -> record.RunRecord:
    """A run of another machine whose process gave its last sign of life `silent_s` seconds ago."""
    tags = {**machine.tags(), "backendexp.host": host, "backendexp.machine": "another"}
    run = streams.record_of(root, small_plan("jax"), streams.whole()[:9], uri=uri, tags=tags, finish=False)
    then = time.time() - silent_s
    os.utime(run.directory / "events.jsonl", (then, then))
    return run


def test_open_runs_of_another_machine_are_reported_with_the_command_that_closes_them(
    uri: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for host in ("node8", "node7", "node7"):
        lost_run(uri, project / "outputs", host)
    assert sync.main([]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"{runs} of {host} may still be under way. If the machine {host} will not come back, close its runs "
        f"with: backendexp sync --close {host}"
        for runs, host in (("2 runs", "node7"), ("1 run", "node8"))
    ]


def test_runs_of_a_lost_machine_are_closed_and_uploaded(
    uri: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = MlflowTracker(uri, "backendexp", None, project)
    here, in_store = lost_run(uri, project / "outputs"), lost_run(uri, project / "elsewhere")
    for run in (here, in_store):
        tags = {**run.context.tags, "backendexp.directory": str(run.directory)}
        tracker.begin(run.context.id, run.context.name, 1000, tags, None)
    away = tracker.begin(
        "away", "name", 1001, {**here.context.tags, "backendexp.directory": "/nowhere"}, None
    )
    assert sync.main(["--close", "node7"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert f"{here.directory.relative_to(project)}: closed as KILLED: the machine node7" in printed.out
    assert "3 closed, 0 not closed\n" in printed.out
    assert "2 uploaded, 0 refused, 0 with nothing to upload\n" in printed.out
    runs = runs_of(uri, project)
    assert [(run.info.status, run.data.tags["failure"]) for run in runs] == [("KILLED", "host_lost")] * 3
    assert [len(run.data.params) > 0 for run in runs] == [run.info.run_id != away for run in runs]
    with pytest.raises(UserError, match="No machine has open runs"):
        sync.main(["--close", "node7"])


def test_run_with_a_sign_of_life_is_not_closed_and_the_exit_code_says_so(
    uri: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = lost_run(uri, project / "outputs", silent_s=5)
    assert sync.main(["outputs", "--close=node7"]) == 1
    printed = capsys.readouterr()
    assert "not closed, because its process gave a sign of life" in printed.err
    assert printed.out.startswith("0 closed, 1 not closed\n0 uploaded, 0 refused, 1 with nothing to upload\n")
    assert record.load(run.directory).result is None


def test_runs_on_disk_are_closed_even_if_the_store_cannot_be_asked(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = lost_run("http://127.0.0.1:9", project / "outputs")
    assert sync.main(["--close", "node7"]) == 1
    assert "the tracking store http://127.0.0.1:9 cannot be read" in capsys.readouterr().err
    result = record.load(run.directory).result
    assert result is not None
    assert result.reason == "host_lost"
    assert not (project / "mlflow.db").exists()


def test_machine_that_has_no_open_runs_is_a_mistake_and_nothing_is_done(
    uri: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = streams.record_of(project / "outputs", small_plan("jax"), streams.whole(), uri=uri)
    lost_run(uri, project / "outputs")
    for host, said in (
        ("node", "machine 'node'. Did you mean 'node7'?"),
        (" ", "needs the name of a machine"),
    ):
        with pytest.raises(UserError, match=re.escape(said)):
            sync.main(["--close", host])
    assert capsys.readouterr().out == ""
    assert ended.tracked_run_id is None
