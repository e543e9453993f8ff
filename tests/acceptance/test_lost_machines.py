"""A machine that is lost: its runs are closed when somebody says that it will not come back."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.endings import wait_for_epochs
from support.projects import ENDLESS, Project, reached, statuses
from support.sessions import CONTAINER, needs_containers

pytestmark = [pytest.mark.slow, needs_containers]

# A container has a host name of its own, and this process cannot see whether its processes live.
NODE = "node7"
MACHINE = [*CONTAINER, "--uts", "sh", "-c", f'hostname {NODE}; exec "$@"', "sh"]


def test_run_of_a_lost_machine_is_closed_once_it_shows_no_sign_of_life(lab: Project) -> None:
    process = subprocess.Popen(
        [*MACHINE, sys.executable, "-m", "backendexp", "backend=theano", *ENDLESS],
        cwd=lab.folder,
        env=lab.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_epochs(lab, 2)
        (directory,) = lab.directories()
        events = directory / "events.jsonl"
        last = events.stat().st_mtime
        alive = lab.run("sync", "--close", NODE)
        assert alive.returncode == 1
        assert "not closed, because its process gave a sign of life" in alive.stderr
        # Such signs come every ten seconds, from the process that keeps the record, even if nothing happens.
        trainers = [one for one in lab.processes() if "worker/__main__.py" in " ".join(one.cmdline())]
        assert trainers
        for trainer in trainers:
            trainer.suspend()
        assert reached(lambda: gives_a_sign_without_an_event(events), 90)
    finally:
        process.kill()
        process.wait()
    assert statuses(lab.tracked()) == ["RUNNING"]

    os.utime(events, (last - 600, last - 600))
    closed = lab.run("sync", "--close", NODE)
    assert closed.returncode == 0, closed.stderr
    assert f"closed as KILLED: the machine {NODE} did not come back" in closed.stdout
    (run,) = lab.tracked()
    assert (run.info.status, run.data.tags["failure"]) == ("KILLED", "host_lost")
    assert len(lab.history(run, "train/loss")) >= 2


def gives_a_sign_without_an_event(events: Path) -> bool:
    """Whether the time of the file is renewed while its size stays. It grows as long as events are written
    that the stopped processes had sent before.
    """
    size, old = events.stat().st_size, time.time() - 600
    os.utime(events, (old, old))
    assert reached(lambda: events.stat().st_mtime > old + 300, 30)
    return events.stat().st_size == size
