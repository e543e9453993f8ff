"""Sweeps: a fresh process a run, failures that are told and do not stop the rest, several at once."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.projects import (
    DIVERGING,
    ENDLESS,
    SMALL,
    Project,
    after_sweep,
    named,
    reached,
    statuses,
    summary_of,
    trained,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("interruptible")]


@pytest.fixture(scope="module")
def swept(new_project: Callable[..., Project]) -> tuple[Project, str]:
    """A project with a sweep of two seeds on two backends, and the output of the sweep."""
    return after_sweep(new_project(), "seed=range(2)", "backend=tensorflow,theano")


def test_every_run_of_a_sweep_has_a_fresh_process_and_shares_the_import(swept: tuple[Project, str]) -> None:
    project, _ = swept
    heard = [project.events(number) for number in range(4)]
    pids = [named(events, "started")[0]["pid"] for events in heard]
    assert len(set(pids)) == 4
    workers = [(named(events, "ready")[0]["backend"], named(events, "ready")[0]["pid"]) for events in heard]
    assert [backend for backend, _ in workers] == ["tensorflow", "theano", "tensorflow", "theano"]
    assert len(set(workers)) == 2


def test_the_runs_of_a_sweep_are_flat_tagged_and_summed_up(swept: tuple[Project, str]) -> None:
    project, _ = swept
    runs = project.tracked()
    assert statuses(runs) == ["FINISHED"] * 5
    assert not any("mlflow.parentRunId" in run.data.tags for run in runs)
    assert not any("parallel" in run.data.tags for run in runs)
    (sweep,) = {run.data.tags["sweep"] for run in runs}
    summary = summary_of(runs)
    assert summary.info.run_name == f"sweep {sweep}"
    note = summary.data.tags["mlflow.note.content"]
    for run in runs:
        if run is not summary:
            row = f"| {run.data.tags['backend']} | {run.data.tags['runtime']} | {run.data.params['seed']} |"
            assert row in note
    for place in ("| tensorflow | keras3 |", "| theano | keras3 |"):
        assert f"{place} 2 of 2 |" in note


def test_the_table_has_a_row_a_run_and_the_links_are_told(swept: tuple[Project, str]) -> None:
    project, printed = swept
    rows = [line.split() for line in printed.splitlines() if "FINISHED" in line]
    assert [row[:3] for row in rows] == [
        ["tensorflow", "keras3", "0"],
        ["theano", "keras3", "0"],
        ["tensorflow", "keras3", "1"],
        ["theano", "keras3", "1"],
    ]
    assert "2 of 2" in printed
    assert project.store in printed
    assert "?workflowType=machine_learning" in printed
    assert "/#/compare-runs?" in printed
    assert "they do not compare backends" not in " ".join(printed.split())


def test_a_failing_run_is_recorded_and_the_rest_goes_on(lab: Project) -> None:
    rates = "training.learning_rate=0.01,1e6,0.02"
    answer = lab.run("-m", "backend=theano", *SMALL, *DIVERGING, rates)
    assert answer.returncode == 1, answer.stderr
    assert "non_finite_loss" in answer.stdout
    assert "2 of 3" in answer.stdout
    runs = lab.tracked()
    assert statuses(trained(runs)) == ["FINISHED", "FAILED", "FINISHED"]
    assert trained(runs)[1].data.tags["failure"] == "non_finite_loss"
    assert summary_of(runs).data.tags["kind"] == "sweep"
    assert summary_of(runs).info.status == "FAILED"


def test_the_joblib_launcher_makes_a_store_and_a_folder_where_the_parent_wants_them(lab: Project) -> None:
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    where = ("hydra.sweep.dir=here", "tracking.uri=sqlite:///mine.db")
    answer = lab.run("-m", *launcher, *where, "backend=theano", *SMALL, "seed=range(4)")
    assert answer.returncode == 0, answer.stderr
    assert "4 of 4" in answer.stdout
    runs = lab.tracked(f"sqlite:///{lab.folder}/mine.db")
    assert statuses(runs) == ["FINISHED"] * 5
    assert sorted(run.data.params["seed"] for run in trained(runs)) == ["0", "1", "2", "3"]
    assert len(list((lab.folder / "here").glob("*/theano-*/result.json"))) == 4
    assert len({run.data.tags["sweep"] for run in runs}) == 1
    # So that nobody takes their times for a comparison.
    assert {run.data.tags.get("parallel") for run in trained(runs)} == {"true"}
    assert lab.nothing_runs()


def test_two_sweeps_at_once_into_one_folder_are_two(lab: Project) -> None:
    """As two that are started in one second are, by the default of the folder's name."""
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=multirun/ci/here"]
    words = ["-m", *launcher, "backend=theano", *SMALL]
    begun = [lab.start(*words, f"seed={seeds}") for seeds in ("0,1", "2,3")]
    for process in begun:
        out, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors
        assert "2 of 2" in out
    sweeps: dict[str, set[str]] = {}
    for run in trained(lab.tracked()):
        sweeps.setdefault(run.data.tags["sweep"], set()).add(run.data.params["seed"])
    assert sorted(map(sorted, sweeps.values())) == [["0", "1"], ["2", "3"]]
    assert {identity.rpartition("-")[0] for identity in sweeps} == {"ci/here"}
    assert lab.nothing_runs()


def test_a_failing_run_of_the_joblib_launcher_is_in_the_exit_code(lab: Project) -> None:
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    answer = lab.run("-m", *launcher, "backend=theano", *SMALL, *DIVERGING, "training.learning_rate=0.01,1e6")
    assert sorted(statuses(trained(lab.tracked()))) == ["FAILED", "FINISHED"]
    assert answer.returncode == 1, answer.stderr
    assert "non_finite_loss" in answer.stdout


def test_six_processes_started_at_once_on_a_fresh_directory_all_succeed(lab: Project) -> None:
    begun = [lab.start("backend=theano", *SMALL, f"seed={seed}") for seed in range(6)]
    ended = [process.communicate(timeout=500) for process in begun]
    for process, (_, errors) in zip(begun, ended, strict=True):
        assert process.returncode == 0, errors
    runs = lab.tracked()
    assert statuses(runs) == ["FINISHED"] * 6
    assert sorted(run.data.params["seed"] for run in runs) == ["0", "1", "2", "3", "4", "5"]


def test_ctrl_c_in_the_middle_of_a_sweep_keeps_what_was_done(lab: Project) -> None:
    sizes = [setting for setting in ENDLESS if not setting.startswith("training.epochs")]
    begun = lab.start("-m", "backend=theano", *sizes, "training.epochs=2,1000000,3")
    assert reached(lambda: len(lab.directories()) > 1 and len(named(lab.events(1), "epoch")) > 1, 120)
    sent = time.monotonic()
    begun.send_signal(signal.SIGINT)
    out, errors = begun.communicate(timeout=60)
    assert begun.returncode == 130, errors
    assert time.monotonic() - sent < 10
    assert "Traceback" not in errors
    done = trained(lab.tracked())
    assert [(run.data.params["training.epochs"], run.info.status) for run in done] == [
        ("2", "FINISHED"),
        ("1000000", "KILLED"),
    ]
    assert len(lab.history(done[1], "train/loss")) >= 2
    assert "KILLED" in out
    assert lab.nothing_runs(within=0)


def test_a_mistake_in_the_last_job_is_told_before_the_first_one_runs(empty_lab: Project) -> None:
    answer = empty_lab.run("-m", "backend=theano", *SMALL, "training.epochs=1,2,0")
    assert answer.returncode == 2
    assert "training.epochs is 0" in answer.stderr
    assert list(Path(empty_lab.folder).iterdir()) == []
