"""Every way in which a run can end leaves the right status in MLflow, and no process. What a signal does to a
run, and how soon, is in test_interrupts.py.
"""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from support.endings import STARTED_S, assert_epochs_are_kept, only_run, wait_for_epochs
from support.projects import DIVERGING, ENDLESS, SMALL, Project, named, reached, statuses, trained
from support.sessions import CONTAINER, needs_containers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("interruptible")]


def test_an_exception_in_the_worker_fails_the_run_with_its_traceback(lab: Project) -> None:
    path = lab.folder / "mine.npz"
    save_arrays(path)
    begun = lab.start(
        "backend=theano", "runtime=keras2", "data=npz", f"data.path={path}", "training.epochs=2", "threads=1"
    )
    # The plan has been checked by now, and the worker is importing Keras: the file goes away under it.
    assert reached(lambda: lab.directories(), STARTED_S)
    path.unlink()
    out, errors = begun.communicate(timeout=STARTED_S)
    assert begun.returncode == 1, errors
    assert "FileNotFoundError" in out
    run = only_run(lab, "FAILED", "exception")
    assert "Traceback" in run.data.tags["mlflow.note.content"]
    assert str(path) in run.data.tags["mlflow.note.content"]
    assert lab.nothing_runs()


def test_a_worker_killed_mid_epoch_leaves_a_failed_run_with_its_last_epoch(lab: Project) -> None:
    begun = lab.start("backend=theano", *ENDLESS)
    worker = wait_for_epochs(lab, 2)
    os.kill(worker, signal.SIGKILL)
    out, errors = begun.communicate(timeout=60)
    assert begun.returncode == 1, errors
    assert "SIGKILL" in out
    run = only_run(lab, "FAILED", "killed_by_signal")
    assert_epochs_are_kept(lab, run)
    assert lab.nothing_runs()


def test_a_run_whose_whole_worker_is_killed_is_over(lab: Project) -> None:
    """The worker, which forks the runs, and the run: what the kernel does to a control group."""
    begun = lab.start("backend=theano", *ENDLESS)
    wait_for_epochs(lab, 2)
    for process in lab.processes():
        if process.pid != begun.pid:
            process.kill()
    out, errors = begun.communicate(timeout=60)
    assert begun.returncode == 1, errors
    assert "SIGKILL" in out
    run = only_run(lab, "FAILED", "worker_lost")
    assert_epochs_are_kept(lab, run)
    assert lab.nothing_runs()


def test_a_run_is_stopped_at_its_deadline_and_the_next_one_shares_its_worker(lab: Project) -> None:
    endless = [setting for setting in ENDLESS if not setting.startswith("training.epochs")]
    answer = lab.run("-m", "backend=theano", *endless, "timeout_s=20", "training.epochs=1000000,2")
    assert answer.returncode == 1, answer.stderr
    assert "timeout_s=20" in named(lab.events(0), "ended")[0]["message"]
    stopped, finished = trained(lab.tracked())
    assert stopped.info.status == "FAILED"
    assert stopped.data.tags["failure"] == "deadline"
    assert_epochs_are_kept(lab, stopped, number=0)
    assert finished.info.status == "FINISHED"
    assert len({named(lab.events(number), "ready")[0]["pid"] for number in range(2)}) == 1, answer.stderr
    assert lab.nothing_runs()


def test_a_loss_that_is_not_finite_fails_the_run_and_names_the_epoch(lab: Project) -> None:
    answer = lab.run("-m", *SMALL, *DIVERGING, "training.learning_rate=1e6", "backend=tensorflow,theano")
    assert answer.returncode == 1, answer.stderr
    runs = lab.tracked()
    assert statuses(runs) == ["FAILED"] * 3  # and the summary
    for number, run in enumerate(trained(runs)):
        (failed,) = named(lab.events(number), "failed")
        assert run.data.tags["failure"] == "non_finite_loss"
        assert f"after epoch {failed['epoch']}" in run.data.tags["mlflow.note.content"]
        assert len(named(lab.events(number), "epoch")) == failed["epoch"] - 1
    assert lab.nothing_runs()


@pytest.mark.parametrize(
    ("ignored", "sent"), [("INT", signal.SIGINT), ("HUP", signal.SIGHUP)], ids=["in the background", "nohup"]
)
def test_a_signal_that_the_starter_has_ignored_ends_no_run_and_sigterm_does(
    lab: Project, ignored: str, sent: signal.Signals
) -> None:
    settings = ["backend=theano", *ENDLESS]
    begun = subprocess.Popen(
        ["sh", "-c", f'trap "" {ignored}; exec "$@"', "sh", sys.executable, "-m", "backendexp", *settings],
        cwd=lab.folder,
        env=lab.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_epochs(lab, 2)
    begun.send_signal(sent)
    wait_for_epochs(lab, len(named(lab.events(), "epoch")) + 2)
    begun.send_signal(signal.SIGTERM)
    _, errors = begun.communicate(timeout=60)
    assert begun.returncode == 143, errors
    only_run(lab, "KILLED", "interrupted")
    assert lab.nothing_runs()


def test_a_killed_parent_takes_its_worker_along_and_the_next_start_records_the_run(lab: Project) -> None:
    temporary = lab.folder / "temporary"
    temporary.mkdir()
    begun = lab.start("backend=theano", *ENDLESS, TMPDIR=str(temporary))
    wait_for_epochs(lab, 2)
    assert list(temporary.glob("backendexp-worker-*"))
    begun.kill()
    begun.communicate(timeout=60)
    assert lab.nothing_runs(within=10)
    assert not list(temporary.glob("backendexp-worker-*"))
    assert statuses(lab.tracked()) == ["RUNNING"]

    answer = lab.run("backend=theano", *SMALL)
    assert answer.returncode == 0, answer.stderr
    lost, finished = lab.tracked()
    assert finished.info.status == "FINISHED"
    assert lost.info.status == "KILLED"
    assert lost.data.tags["failure"] == "parent_lost"
    assert lost.data.params["training.epochs"] == "1000000"
    assert_epochs_are_kept(lab, lost, number=0)


def test_a_start_leaves_the_runs_of_a_living_process_alone(lab: Project) -> None:
    begun = lab.start("backend=theano", *ENDLESS)
    wait_for_epochs(lab, 2)
    answer = lab.run("backend=theano", *SMALL)
    assert answer.returncode == 0, answer.stderr
    assert statuses(lab.tracked()) == ["RUNNING", "FINISHED"]
    begun.send_signal(signal.SIGINT)
    begun.communicate(timeout=60)
    assert statuses(lab.tracked()) == ["KILLED", "FINISHED"]


@needs_containers
def test_a_start_in_another_container_of_this_host_name_leaves_a_living_run_alone(lab: Project) -> None:
    """The two see none of each other's processes, and share a folder."""
    begun = subprocess.Popen(
        [*CONTAINER, sys.executable, "-m", "backendexp", "backend=theano", *ENDLESS],
        cwd=lab.folder,
        env=lab.environment,
    )
    wait_for_epochs(lab, 2)
    answer = lab.run("backend=theano", *SMALL)
    assert answer.returncode == 0, answer.stderr
    assert statuses(lab.tracked()) == ["RUNNING", "FINISHED"]
    assert not named(lab.events(0), "ended")
    begun.kill()
    begun.wait()
    assert lab.nothing_runs()
    answer = lab.run("backend=theano", *SMALL)
    assert answer.returncode == 0, answer.stderr
    assert statuses(lab.tracked()) == ["KILLED", "FINISHED", "FINISHED"]
    assert_epochs_are_kept(lab, lab.tracked()[0], number=0)


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_AS is of POSIX")
def test_a_run_that_gets_no_memory_fails_as_out_of_memory(lab: Project) -> None:
    """The data would take 9 GiB as NumPy draws them, and the process may not have 8."""
    limit = 8 * 2**30
    sizes = [*SMALL, "data.samples=600000", "data.features=2000"]
    command = [sys.executable, "-m", "backendexp", "backend=theano", "runtime=keras2", *sizes]
    answer = subprocess.run(
        ["prlimit", f"--as={limit}", *command],
        cwd=lab.folder,
        env=lab.environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 1, answer.stderr
    assert "out_of_memory" in answer.stdout
    only_run(lab, "FAILED", "out_of_memory")
    assert lab.nothing_runs()


def save_arrays(path: Any) -> None:
    import numpy

    draw = numpy.random.default_rng(1)
    x = draw.random((64, 4)).astype("float32")
    y = draw.integers(0, 2, 64)
    numpy.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
