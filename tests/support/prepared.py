"""Runs commands of backendexp in processes that need not import MLflow, SQLAlchemy and others again.

That takes two seconds of the processor for each command. A process that has imported them is forked for each
command, and the command runs in it from beginning to end. How a start without that goes is seen in the tests
that start a process in another way: `mlflow run`, interrupts, and the commands in tests/cli.
"""

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_SCRIPT = Path(__file__).with_name("prepared_process.py")
# The interpreter reads these before anything runs, so a forked process cannot have others.
_OF_THE_INTERPRETER = ("PYTHON", "LC_", "LANG", "LD_")

Answer = subprocess.CompletedProcess[str]


def run(
    module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> Answer:
    """Do what subprocess.run does for `python -m MODULE ARGUMENTS`.

    Raises subprocess.TimeoutExpired: the process was still running after `timeout` seconds, and was killed.
    """
    command = [sys.executable, "-m", module, *arguments]
    can_be_forked = module == "backendexp" and hasattr(os, "fork")
    if not can_be_forked or _of_the_interpreter(environment) != _of_the_interpreter(os.environ):
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout
        )
    with tempfile.TemporaryDirectory() as name:
        answer = Path(name)
        order = {"arguments": arguments, "folder": str(folder), "environment": environment, "answer": name}
        pid = _process().start(order)
        deadline = time.monotonic() + timeout
        while not (answer / "ended").exists():
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(command, timeout)
            time.sleep(0.02)
        said = [(answer / stream).read_text(encoding="utf-8") for stream in ("stdout", "stderr")]
        return Answer(command, int((answer / "ended").read_text(encoding="utf-8")), *said)


def _of_the_interpreter(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_OF_THE_INTERPRETER)}


class _Process:
    """The process that is forked. It ends with this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, _SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        atexit.register(self._process.communicate)  # it ends with its input

    def start(self, order: Mapping[str, object]) -> int:
        """Start a process and return its id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())


@functools.cache
def _process() -> _Process:
    return _Process()
