"""The faults. Each takes what it is to strike, and returns whether it could be done."""

import random
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

import psutil
from fault_lab import PATIENCE_S, Gate, Lab, Server


class Target(Protocol):
    """A sweep and what it stands on. command: the process of backendexp. gate: before the server, if there is
    one. database: the SQLite file of the store, or of its server.
    """

    lab: Lab
    draw: random.Random
    server: Server | None
    gate: Gate | None
    command: subprocess.Popen[bytes] | None
    database: Path

    def worker(self) -> psutil.Process | None: ...

    def pause(self) -> None:
        """Wait while a fault lasts."""


def _kill_worker(target: Target) -> bool:
    return _kill(target.worker())


def _kill_run(target: Target) -> bool:
    worker = target.worker()
    with suppress(psutil.Error):
        return worker is not None and _kill(next(iter(worker.children()), None))
    return False


def _kill(process: psutil.Process | None) -> bool:
    with suppress(psutil.Error):
        if process is not None:
            process.kill()
            return True
    return False


def _signal_parent(number: int) -> Callable[[Target], bool]:
    def send(target: Target) -> bool:
        assert target.command is not None
        target.command.send_signal(number)
        return True

    return send


def _refuse(target: Target) -> bool:
    if target.gate is None:
        return False
    target.gate.refuse()
    target.pause()
    target.gate.admit()
    return True


def _answer_late(target: Target) -> bool:
    if target.gate is None:
        return False
    target.gate.late_s = target.draw.uniform(0.5, 2) * PATIENCE_S
    target.pause()
    target.gate.late_s = 0.0
    return True


def _lose_answers(target: Target) -> bool:
    if target.gate is None:
        return False
    target.gate.loses_answers = True
    target.pause()
    target.gate.loses_answers = False
    return True


def _restart_server(target: Target) -> bool:
    if target.server is None:
        return False
    target.server.stop()
    target.pause()
    target.server.start()
    return True


def _lock_store(target: Target) -> bool:
    if target.server is not None or not target.database.exists():
        return False
    with closing(sqlite3.connect(target.database, timeout=1, isolation_level=None)) as held:
        try:
            held.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return False
        target.pause()
        held.execute("ROLLBACK")
    return True


def _fill_disk(target: Target) -> bool:
    if not target.lab.mounted:
        return _limit_files(target)
    ballast = target.lab.disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            for size in (2**20, 2**10, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"x" * size)
        target.pause()
    finally:
        ballast.unlink(missing_ok=True)
    return True


def _limit_files(target: Target) -> bool:
    if not hasattr(psutil.Process, "rlimit") or target.command is None:
        return False
    with suppress(psutil.Error):
        process = psutil.Process(target.command.pid)
        before = process.rlimit(psutil.RLIMIT_FSIZE)
        process.rlimit(psutil.RLIMIT_FSIZE, (0, before[1]))
        target.pause()
        process.rlimit(psutil.RLIMIT_FSIZE, before)
        return True
    return True


Strike = Callable[[Target], bool]

OF_SERVERS: dict[str, Strike] = {
    "server refuses connections": _refuse,
    "server answers late": _answer_late,
    "answers of the server are lost": _lose_answers,
    "server is stopped and started": _restart_server,
}
OF_FILES: dict[str, Strike] = {"database is locked": _lock_store}
KINDS: dict[str, Strike] = {
    "kill -9 of the worker": _kill_worker,
    "kill -9 of a run": _kill_run,
    "kill -9 of backendexp": _signal_parent(signal.SIGKILL),
    "SIGTERM to backendexp": _signal_parent(signal.SIGTERM),
    "Ctrl-C to backendexp": _signal_parent(signal.SIGINT),
    **OF_SERVERS,
    **OF_FILES,
    "disk is full": _fill_disk,
}
