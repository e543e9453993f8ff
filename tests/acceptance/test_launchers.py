"""Several jobs at once on one machine: every job is waited for, and none is left behind."""

import json
import os
import signal
from pathlib import Path

import pytest

from support.projects import ENDLESS, QUICK, Project, named, reached, statuses, summary_of, trained

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("interruptible")]

TWO_AT_ONCE = ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "backend=theano")


def both_train(lab: Project) -> bool:
    runs = lab.directories()
    return len(runs) >= 2 and all(named(lab.events(n), "epoch") for n in range(2))


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.extended)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_an_interrupted_sweep_cancels_its_jobs_and_records_them(
    lab: Project, number: signal.Signals, code: int
) -> None:
    lab.make_store()
    begun = lab.start(*TWO_AT_ONCE, *ENDLESS, "seed=range(3)")
    assert reached(lambda: both_train(lab), within=90)
    begun.send_signal(number)
    out, errors = begun.communicate(timeout=90)
    assert begun.returncode == code, errors
    assert "Traceback" not in errors
    runs = lab.tracked()
    assert statuses(trained(runs)) == ["KILLED", "KILLED"]
    assert "RUNNING" not in out
    assert "the sweep ended after 2 of 3 runs" in out
    assert "job 2 (seed=2): it was cancelled before it began" in errors
    assert summary_of(runs).info.status == "FAILED"
    assert lab.nothing_runs(within=5)


def test_a_killed_job_is_a_row_with_its_reason_and_the_others_are_run(lab: Project) -> None:
    lab.make_store()
    # Two of the four jobs train until the first is killed; the others would have waited for their turn.
    epochs = "training.epochs=1000000,3"
    begun = lab.start(*TWO_AT_ONCE, *ENDLESS, epochs, "seed=0,1", "data.samples=2000", "timeout_s=15")
    assert reached(lambda: bool(jobs_begun(lab)), within=90)
    assert reached(lambda: both_train(lab), within=90)
    os.kill(int(jobs_begun(lab)[0]["backendexp.pid"]), signal.SIGKILL)
    out, errors = begun.communicate(timeout=200)
    assert begun.returncode == 1, errors
    runs = trained(lab.tracked())
    assert len(runs) == 4, out + errors
    assert "RUNNING" not in statuses(runs)
    assert statuses(runs).count("FINISHED") == 2
    assert "the process that ran it was killed" in errors + out or any(
        "killed" in run.data.tags["mlflow.note.content"] for run in runs if run.info.status == "KILLED"
    )
    assert lab.nothing_runs(within=5)


def jobs_begun(lab: Project) -> list[dict[str, str]]:
    files = sorted(Path(lab.folder).glob("multirun/*/*/.jobs/*.json"))
    return [json.loads(file.read_text()) for file in files]


def test_one_job_at_a_time_has_the_machine_to_itself(lab: Project) -> None:
    answer = lab.run(*TWO_AT_ONCE, "hydra.launcher.n_jobs=1", *QUICK, "seed=0,1")
    assert answer.returncode == 0, answer.stderr
    runs = trained(lab.tracked())
    assert statuses(runs) == ["FINISHED", "FINISHED"]
    assert not any("parallel" in run.data.tags for run in runs)
    assert answer.stderr.count("FINISHED") == 2


def test_a_relative_store_and_folder_are_those_of_the_parent(lab: Project) -> None:
    where = ("hydra.sweep.dir=here", "tracking.uri=sqlite:///mine.db")
    answer = lab.run(*TWO_AT_ONCE, *QUICK, *where, "seed=0,1")
    assert answer.returncode == 0, answer.stderr
    assert len(trained(lab.tracked(f"sqlite:///{lab.folder}/mine.db"))) == 2
    assert len(list((lab.folder / "here").glob("*/theano-*/result.json"))) == 2
