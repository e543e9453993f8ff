"""A task is what a launcher runs in another process: a job of a sweep, or a block of an experiment."""

import json
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from backendexp.errors import UserError
from backendexp.runs import machine

# The folder, inside that of the sweep, with a file for every task.
JOBS = ".jobs"
_CANCELLED = "cancelled"
# Variables that a scheduler may not pass on to the processes of its jobs.
_PASSED_ON = ("MLFLOW_", "BACKENDEXP_", "PYTHONPATH", "PGCONNECT_TIMEOUT", "XLA_FLAGS", "PYTENSOR_FLAGS")
# The signals by which schedulers end jobs. Slurm sends SIGUSR2 before a time limit. Windows has only SIGTERM.
_ENDINGS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR2", "SIGINT") if hasattr(signal, name)
]


_SLURMS_SIGNALS = {
    "SIGUSR2": "before a job reaches its time limit (timeout_min)",
    "SIGTERM": "when a job is cancelled, is preempted or has reached its time limit",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    value: what it returned; None if it did not return.
    why: why it did not return, in words; None if it did.
    notes: what its process has to say about the tracking of its runs.
    """

    value: float | None = None
    why: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A job that another process runs.

    number: counted from 0.
    title: says which one it is, such as "seed=3".
    folder: its runs are in this folder.
    sweep: the folder of the sweep, which all machines must share.
    call: runs it; returns its value and the notes of `Outcome`.
    cwd: the working directory, because the relative paths of the settings start there.
    environment: variables that the process must have.
    """

    number: int
    title: str
    folder: Path
    sweep: Path
    call: Callable[[], tuple[float, tuple[str, ...]]]
    cwd: Path = field(default_factory=Path.cwd)
    environment: Mapping[str, str] = field(default_factory=dict)


def passed_on() -> dict[str, str]:
    """The variables of this process that the processes of jobs must have too."""
    return {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}


def execute(task: Task) -> Outcome:
    """Run a task in the process that a scheduler has made for it.

    Raises KeyboardInterrupt: the scheduler ended the job. The run that was under way is recorded by then.
    """
    os.environ.update(task.environment)
    here = socket.gethostname()
    try:
        os.chdir(task.cwd)
    except OSError as error:
        return Outcome(why=f"{here} cannot enter {task.cwd} ({error.strerror}): every machine must share it")
    if not task.sweep.is_dir():
        return Outcome(
            why=f"{here} does not have the folder of the sweep, {task.sweep}: every machine must share it. "
            "Choose a shared one with hydra.sweep.dir"
        )
    if (task.sweep / JOBS / _CANCELLED).exists():
        return Outcome(why="it was cancelled before it began")
    with _interruptible():
        _note_process(task)
        try:
            value, notes = task.call()
        except UserError as error:
            return Outcome(why=str(error))
        except Exception:
            return Outcome(why=traceback.format_exc().strip())
    return Outcome(value, None, notes)


def allow(sweep: Path) -> None:
    """Let the jobs of a sweep begin, also if those of an earlier start were cancelled."""
    folder = sweep / JOBS
    folder.mkdir(parents=True, exist_ok=True)
    for old in (folder / _CANCELLED, *folder.glob("[0-9]*.json")):
        old.unlink(missing_ok=True)


def forbid(sweep: Path) -> None:
    """Let no further job of a sweep begin. A scheduler may have handed over jobs that have not begun."""
    (sweep / JOBS / _CANCELLED).touch()


def _note_process(task: Task) -> None:
    """Write down which process runs the task, so that the parent can end it."""
    folder = task.sweep / JOBS
    part = folder / f"{task.number}.{os.getpid()}.part"
    part.write_text(json.dumps(machine.tags()), encoding="utf-8")
    part.replace(folder / f"{task.number}.json")


def process_of(task: Task) -> dict[str, str] | None:
    """The tags of the process that runs the task, see `machine.tags`. None if no process has begun it."""
    file = task.sweep / JOBS / f"{task.number}.json"
    try:
        found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turn the signals by which schedulers end jobs into KeyboardInterrupt, which records the run."""
    if threading.current_thread() is not threading.main_thread():  # Python sets handlers only in this thread
        yield
        return
    before: dict[int, Any] = {number: signal.signal(number, _end) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    why = _SLURMS_SIGNALS.get(name) if "SLURM_JOB_ID" in os.environ else None
    raise KeyboardInterrupt(f"{name}, which Slurm sends {why}" if why else name)
