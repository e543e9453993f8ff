"""Sessions whose workers are scripts, and processes that are dead or run in containers."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backendexp.errors import TrackingError
from backendexp.runs import machine
from backendexp.runs.plan import RunSpec
from backendexp.runs.session import Destination, Session
from backendexp.runs.worker_pool import Worker, WorkerPool, worker_environment
from backendexp.runtimes.prepare import Interpreter
from backendexp.tracking.base import Report
from support.memory import MemoryTracker

SCRIPTS = Path(__file__).parent / "workers"


HERE = Destination("mlflow", "memory:", "backendexp", None)


MakeSession = Callable[..., Session]


class PoolOf(WorkerPool):
    """A pool whose workers run a script from tests/support/workers."""

    def __init__(self, script: str) -> None:
        super().__init__()
        self._script = SCRIPTS / f"{script}.py"
        self._started: list[Worker] = []

    def start(self, spec: RunSpec, interpreter: Interpreter) -> Worker:
        environment = worker_environment(spec, interpreter.own)
        self._started.append(Worker(interpreter.python, environment, self._script))
        return self._started[-1]

    def close(self) -> None:
        while self._started:
            self._started.pop().close()


class RefusingTracker(MemoryTracker):
    """A store that becomes unreachable. `at` is the first request that it refuses: begin or end."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    def begin(self, *arguments: object) -> str:  # type: ignore[override]
        if self.at == "begin":
            raise TrackingError("the store is away")
        return super().begin(*arguments)  # type: ignore[arg-type]

    def end(self, run_id: str, report: Report) -> None:
        raise TrackingError("the store is away")


def dead_process() -> dict[str, str]:
    """Return the tags of a dead process of this host."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    token = machine.process_token(child.pid)
    assert token is not None
    child.communicate(b"\n")
    return {**machine.tags(), "backendexp.pid": str(child.pid), "backendexp.process": token}


CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def can_unshare() -> bool:
    try:
        return subprocess.run([*CONTAINER, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


needs_containers = pytest.mark.skipif(not can_unshare(), reason="no pid namespace can be made here")
