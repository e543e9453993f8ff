"""A run that is interrupted ends as KILLED within two seconds, and keeps the epochs that it had.

These tests measure time, so nothing else may run beside them.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from support.endings import STARTED_S, assert_epochs_are_kept, only_run, wait_for_epochs
from support.projects import ENDLESS, SMALL, Project, named, reached, statuses

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("interruptible")]


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["Ctrl-C", "SIGTERM", "SIGHUP"],
)
def test_an_interrupted_run_is_killed_within_two_seconds_with_what_it_had(
    lab: Project, number: signal.Signals, code: int
) -> None:
    begun = lab.start_anew("backend=theano", *ENDLESS)
    wait_for_epochs(lab, 2)
    sent = time.monotonic()
    begun.send_signal(number)
    out, errors = begun.communicate(timeout=60)
    took = time.monotonic() - sent
    assert begun.returncode == code, errors
    assert took < 2
    run = only_run(lab, "KILLED", "interrupted")
    assert_epochs_are_kept(lab, run)
    assert "KILLED" in out
    assert "Traceback" not in errors
    assert lab.nothing_runs(within=0)


def test_a_closed_terminal_ends_a_run_as_killed_with_what_it_had(lab: Project) -> None:
    ours, theirs = os.openpty()
    begun = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-m", "backendexp", "backend=theano", *ENDLESS],
        cwd=lab.folder,
        env=lab.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.set_blocking(ours, False)

    def shown_and_trained() -> bool:
        with contextlib.suppress(BlockingIOError):
            os.read(ours, 2**16)  # a terminal that shows nothing makes the program wait
        return len(named(lab.events(), "epoch")) >= 2

    assert reached(shown_and_trained, STARTED_S)
    os.close(ours)
    assert begun.wait(timeout=60) == 129
    run = only_run(lab, "KILLED", "interrupted")
    assert "SIGHUP" in run.data.tags["mlflow.note.content"]
    assert_epochs_are_kept(lab, run)
    assert lab.nothing_runs()


def test_ctrl_c_while_keras_is_imported_leaves_a_killed_run(lab: Project) -> None:
    begun = lab.start_anew("backend=tensorflow", *ENDLESS)
    assert reached(lambda: "RUNNING" in statuses(lab.tracked()), STARTED_S)
    assert not named(lab.events(), "ready")
    sent = time.monotonic()
    begun.send_signal(signal.SIGINT)
    _, errors = begun.communicate(timeout=60)
    took = time.monotonic() - sent
    assert begun.returncode == 130, errors
    assert took < 2
    assert statuses(lab.tracked()) == ["KILLED"]
    assert lab.nothing_runs(within=0)


def test_ctrl_c_before_there_is_a_store_leaves_no_process_and_a_record(lab: Project) -> None:
    begun = lab.start_anew("backend=tensorflow", *ENDLESS)
    assert reached(lambda: lab.directories(), STARTED_S)
    begun.send_signal(signal.SIGINT)
    _, errors = begun.communicate(timeout=60)
    assert begun.returncode == 130, errors
    assert "Traceback" not in errors
    (directory,) = lab.directories()
    assert '"KILLED"' in (directory / "result.json").read_text()
    assert lab.nothing_runs(within=0)


def test_ctrl_c_while_a_run_is_being_recorded_leaves_it_finished(lab: Project) -> None:
    begun = lab.start_anew("backend=theano", *SMALL)
    assert reached(lambda: named(lab.events(), "started"), STARTED_S)
    (directory,) = lab.directories()
    assert reached(lambda: '"exited"' in (directory / "events.jsonl").read_text(), STARTED_S, every=0.001)
    begun.send_signal(signal.SIGINT)
    _, errors = begun.communicate(timeout=60)
    assert "Traceback" not in errors
    assert statuses(lab.tracked()) == ["FINISHED"]
