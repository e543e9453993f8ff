"""The store: an mlflow server, one that cannot be reached, one that goes away, and `backendexp sync`."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backendexp.cli.exit_codes import NOT_TRACKED
from support.gate import Gate
from support.prepared import Answer
from support.projects import ENDLESS, SMALL, Project, named, reached, statuses, summary_of, trained
from support.servers import Servers, free_port

pytestmark = pytest.mark.slow

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def server(new_project: Callable[..., Project]) -> Iterator[str]:
    """The address of a server on which each test has an experiment of its own."""
    servers = Servers()
    yield servers(new_project())
    servers.stop()


def test_a_server_is_found_through_mlflows_own_variables(lab: Project, server: str) -> None:
    variables = {"MLFLOW_TRACKING_URI": server, "MLFLOW_EXPERIMENT_NAME": "how it works"}
    answer = lab.run("backend=theano", *SMALL, **variables)
    assert answer.returncode == 0, answer.stderr
    (run,) = lab.tracked(server, experiment="how it works")
    assert run.info.status == "FINISHED"
    assert run.data.params["data.samples"] == "256"
    assert len(lab.history(run, "train/loss", server)) == 3
    (logged,) = run.inputs.dataset_inputs
    assert logged.dataset.name == "random-seed0"
    assert f"{server}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}" in answer.stdout

    from mlflow import MlflowClient

    artifacts = {found.path for found in MlflowClient(server).list_artifacts(run.info.run_id)}
    assert {"config.yaml", "worker.log", "events.jsonl", "environment.json"} <= artifacts


@pytest.mark.parametrize("killed", [pytest.param(False, marks=pytest.mark.extended), True])
def test_run_that_a_slow_server_has_created_twice_is_there_once(
    killed: bool, lab: Project, server: str
) -> None:
    """MLflow's client repeats a request that it gets no answer to in time."""
    name = f"slow, killed: {killed}"
    gate = Gate(free_port(), server, late_s=6.0)
    variables = {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{gate.server_address[1]}",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
        "MLFLOW_EXPERIMENT_NAME": name,
    }
    try:
        if killed:
            command = lab.start("backend=theano", *ENDLESS, **variables)
            assert reached(lambda: len(lab.tracked(server, name)) == 2, within=60)
            assert reached(lambda: named(lab.events(), "epoch"), within=60)
            command.kill()
            command.communicate()
        answer = lab.run("backend=theano", *SMALL, **variables)
    finally:
        gate.shutdown()
        gate.server_close()
    assert answer.returncode == 0, answer.stderr
    assert gate.late_s == 0.0
    runs = lab.tracked(server, name)
    assert sorted(statuses(runs)) == (["FINISHED", "KILLED"] if killed else ["FINISHED"])
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    deleted = MlflowClient(server).search_runs([runs[0].info.experiment_id], "", ViewType.DELETED_ONLY)
    assert [run.info.status for run in deleted] == ["RUNNING"]


@pytest.fixture(scope="module")
def offline(new_project: Callable[..., Project]) -> tuple[Project, Answer]:
    """A project with two runs that no server would take, and what was printed."""
    project = new_project()
    answer = project.run("-m", "backend=theano", *SMALL, f"tracking.uri={NOBODY}", "seed=3,4")
    return project, answer


def test_a_store_that_cannot_be_reached_loses_nothing(offline: tuple[Project, Answer]) -> None:
    project, answer = offline
    # The runs went well, and a CI that asked for them in a store is told that they are not there.
    assert answer.returncode == NOT_TRACKED, answer.stderr
    assert NOBODY in answer.stderr
    assert "Traceback" not in answer.stderr
    (folder,) = (project.folder / "multirun").glob("*/*")
    assert f"backendexp sync {folder}" in answer.stdout
    for directory in project.directories():
        assert json.loads((directory / "result.json").read_text())["status"] == "FINISHED"
    assert len(project.directories()) == 2


def test_sync_uploads_each_run_once_however_often_it_is_asked(
    offline: tuple[Project, Answer], lab: Project
) -> None:
    import shutil

    project, _ = offline
    # What it uploads it marks, and the next test wants the runs unmarked.
    shutil.copytree(project.folder / "multirun", lab.folder / "multirun")
    first = lab.run("sync", str(lab.folder / "multirun"), "--uri", lab.store)
    assert first.returncode == 0, first.stderr
    assert "3 uploaded" in first.stdout
    second = lab.run("sync", str(lab.folder / "multirun"), "--uri", lab.store)
    assert second.returncode == 0, second.stderr
    assert "0 uploaded" in second.stdout
    runs = lab.tracked()
    assert statuses(runs) == ["FINISHED"] * 3
    summary = summary_of(runs)
    assert "| theano | keras3 | 2 of 2 |" in summary.data.tags["mlflow.note.content"]
    for run, seed in zip(trained(runs), ("3", "4"), strict=True):
        assert run.data.params["seed"] == seed
        assert run.data.tags["backend"] == "theano"
        assert run.data.metrics["training_time_s"] > 0
        assert [point.step for point in lab.history(run, "train/loss")] == [1, 2, 3]


def test_two_syncs_at_once_upload_each_run_once(offline: tuple[Project, Answer]) -> None:
    project, _ = offline
    begun = [project.start("sync", "--uri", project.store) for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in begun]
    assert [process.returncode for process in begun] == [0, 0], ended
    counts = [int(out.splitlines()[-1].split(" uploaded")[0]) for out, _ in ended]
    assert sum(counts) == 3
    assert statuses(project.tracked()) == ["FINISHED"] * 3


def test_sync_to_a_server_that_is_not_there_fails_and_keeps_the_runs(empty_lab: Project) -> None:
    ran = empty_lab.run("backend=theano", *SMALL, "tracking=none")
    assert ran.returncode == 0, ran.stderr
    assert not (empty_lab.folder / "mlflow.db").exists()
    (directory,) = empty_lab.directories()
    assert f"backendexp sync {directory}" in ran.stdout

    refused = empty_lab.run("sync", "--uri", NOBODY)
    assert refused.returncode == 1
    assert "1 refused" in refused.stdout
    assert NOBODY in refused.stderr
    assert "Traceback" not in refused.stderr

    uploaded = empty_lab.run("sync")
    assert uploaded.returncode == 0, uploaded.stderr
    assert statuses(empty_lab.tracked()) == ["FINISHED"]

    # Below the project lie the artifacts of the store as well: a copy of the run's directory is no run.
    everything = empty_lab.run("sync", ".", "--uri", f"sqlite:///{empty_lab.folder}/other.db")
    assert everything.returncode == 0, everything.stderr
    assert "0 uploaded" in everything.stdout


def test_a_server_that_goes_away_during_the_run_gets_the_rest_by_sync(lab: Project, serve: Servers) -> None:
    port = free_port()
    server = serve(lab, port)
    endless = [setting for setting in ENDLESS if not setting.startswith("training.epochs")]
    begun = lab.start("backend=theano", *endless, "training.epochs=30", f"tracking.uri={server}")
    assert reached(lambda: named(lab.events(), "epoch"), 120)
    serve.stop()
    out, errors = begun.communicate(timeout=300)
    assert begun.returncode == NOT_TRACKED, errors
    assert server in errors
    (directory,) = lab.directories()
    assert f"backendexp sync {directory}" in out
    assert statuses(lab.tracked()) == ["RUNNING"]

    serve(lab, port)
    uploaded = lab.run("sync", str(directory))
    assert uploaded.returncode == 0, uploaded.stderr
    (run,) = lab.tracked()
    assert run.info.status == "FINISHED"
    assert len(lab.history(run, "train/loss")) == 30


def test_sync_of_a_folder_that_is_not_there_is_a_mistake(lab: Project) -> None:
    answer = lab.run("sync", str(Path("nowhere")))
    assert answer.returncode == 2
    assert "nowhere does not exist" in answer.stderr
