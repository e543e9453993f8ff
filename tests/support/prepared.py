"""Runs commands of backendexp in processes that need not import MLflow, SQLAlchemy and itself again.

That takes two seconds of the processor for each command. A process that has imported them is forked for each
command, and the command runs in it from beginning to end. How a start without that goes is seen in the tests
that start a process in another way: `mlflow run`, interrupts, and the commands in tests/cli.
"""

import atexit
import contextlib
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
from typing import Any, NamedTuple

_SCRIPT = Path(__file__).with_name("prepared_process.py")
# The interpreter reads these before anything runs, so a forked process cannot have others.
_OF_THE_INTERPRETER = ("PYTHON", "LC_", "LANG", "LD_")

Answer = subprocess.CompletedProcess[str]


class Command(NamedTuple):
    """`python -m MODULE ARGUMENTS` in a folder."""

    module: str
    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]

    @property
    def words(self) -> list[str]:
        return [sys.executable, "-m", self.module, *self.arguments]

    @property
    def can_be_forked(self) -> bool:
        same = _of_the_interpreter(self.environment) == _of_the_interpreter(os.environ)
        return self.module == "backendexp" and same and hasattr(os, "fork")


def _of_the_interpreter(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_OF_THE_INTERPRETER)}


def start(command: Command) -> "subprocess.Popen[str] | Forked":
    """Start a command. A signal to its group reaches no other process of the tests."""
    return Forked(command) if command.can_be_forked else started_anew(command)


def started_anew(command: Command) -> "subprocess.Popen[str]":
    """Start a command as a user does, with all its imports."""
    return subprocess.Popen(
        command.words,
        cwd=command.folder,
        env=command.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(command: Command, timeout: float) -> Answer:
    """Run a command and wait for it to end.

    Raises subprocess.TimeoutExpired: it was still running after `timeout` seconds, and was killed.
    """
    process = start(command)
    try:
        said = process.communicate(timeout)
    except BaseException:
        process.kill()
        raise
    assert process.returncode is not None
    return Answer(command.words, process.returncode, *said)


class Forked:
    """A command in a forked process, with the methods of subprocess.Popen that the tests use."""

    def __init__(self, command: Command) -> None:
        self.args = command.words
        self.returncode: int | None = None
        self.pid, self._answer = _process().fork(command)

    def poll(self) -> int | None:
        ended = self._answer / "ended"
        if self.returncode is None and ended.exists():
            self.returncode = int(ended.read_text(encoding="utf-8"))
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            time.sleep(0.02)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        out, errors = ((self._answer / stream).read_text(encoding="utf-8") for stream in ("stdout", "stderr"))
        return out, errors

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Process:
    """The process that is forked. It ends with this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, _SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        atexit.register(self._end)

    def _end(self) -> None:
        self._process.communicate()  # it ends with its input
        self._answers.cleanup()

    def fork(self, command: Command) -> tuple[int, Path]:
        """Fork a process for the command. Returns its id and the folder of what it prints."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        answer = Path(tempfile.mkdtemp(dir=self._answers.name))
        order: dict[str, Any] = {
            "arguments": command.arguments,
            "folder": str(command.folder),
            "environment": command.environment,
            "answer": str(answer),
            "ignored": [number for number in (signal.SIGINT, signal.SIGHUP) if _is_ignored(number)],
        }
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline()), answer


def _is_ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN


@functools.cache
def _process() -> _Process:
    return _Process()
