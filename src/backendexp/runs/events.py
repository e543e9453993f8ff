"""The events of a run, as they arrive from the worker and as they are stored in the run's events.jsonl.

`worker/contract.py` lists them. The parent adds an event of its own, `ended`, if it was not the worker that
ended the run. So the file alone shows how the run went.
"""

import json
import sys
import time
from io import FileIO
from pathlib import Path
from typing import Any

from backendexp.errors import WorkerError
from backendexp.runs.heartbeat import Heartbeat

Event = dict[str, Any]

VERSION = 1

# Why the parent ended a run, or found that it had ended.
DEADLINE = "deadline"
INTERRUPTED = "interrupted"
PARENT_LOST = "parent_lost"
HOST_LOST = "host_lost"
WORKER_LOST = "worker_lost"


def ended(reason: str, message: str) -> Event:
    return {"event": "ended", "time": time.time(), "reason": reason, "message": message}


def tell_the_end(heard: list[Event]) -> bool:
    """Whether events tell how their run ended. On a full disk, its result may be missing all the same.

    Then no other end may be added: the metrics of the run have the time of its end, and with another time the
    store would have them twice.
    """
    return any(event["event"] in ("ended", "exited") for event in heard)


def parse(line: bytes) -> Event:
    """Raises WorkerError: the line is not an event of this version of the contract."""
    try:
        event = json.loads(line)
        name = event["event"]
    except (ValueError, TypeError, KeyError) as error:
        raise WorkerError(f"a worker sent {line[:200]!r}, which is not an event") from error
    if name == "ready" and event.get("version") != VERSION:
        raise WorkerError(
            f"a worker speaks version {event.get('version')} of the contract, and this is version {VERSION}"
        )
    return dict(event)


class BeingWritten(Exception):
    """Another process is writing these events, so that process is alive."""


class EventFile:
    """Appends events to a file. Each is written immediately, so that they are kept if the parent is killed.

    The file is locked until it is closed, so that no other process writes into it. The system unlocks it when
    the process ends, however that happens. If a kill has cut off the last line of the file, that line is
    removed first.

    Between `beat` and `close`, it shows to other machines that this process is alive, see `heartbeat`.

    locked: whether the file is locked; some file systems have no locks.
    failure: why nothing more can be written, for example because the disk is full; else None.
    unwritten: the events that could not be written, which only this process has.
    Raises BeingWritten: another process has the file open.
    """

    def __init__(self, path: Path) -> None:
        self.failure: OSError | None = None
        self.unwritten: list[Event] = []
        self.locked = False
        self._path = path
        self._heartbeat: Heartbeat | None = None
        self._file: FileIO | None = None
        try:
            self._file = path.open("a+b", buffering=0)
            self.locked = _lock(self._file.fileno())
            self._file.seek(0)
            self._file.truncate(self._file.read().rfind(b"\n") + 1)
        except BeingWritten:
            self.close()
            raise
        except OSError as error:
            self.failure = error

    def append(self, event: Event) -> None:
        if self.failure is None:
            try:
                self._write((json.dumps(event) + "\n").encode())
            except OSError as error:
                self.failure = error
        if self.failure is not None:
            self.unwritten.append(event)

    def _write(self, line: bytes) -> None:
        assert self._file is not None
        while line:  # if the disk is nearly full, only a part may be written
            line = line[self._file.write(line) :]

    def beat(self) -> None:
        self._heartbeat = Heartbeat(self._path)

    def close(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.stop()
        if self._file is not None:
            self._file.close()


if sys.platform == "win32":
    import msvcrt
    import os

    def _lock(descriptor: int) -> bool:
        # The locked byte is far behind the events, because on Windows other processes cannot read it.
        os.lseek(descriptor, 2**30, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BeingWritten from error
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        """Lock the file. False if the file system has no locks, as some network file systems have none.

        filelock would make a second file for its lock, which would become an artifact of the run.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BeingWritten from error
        except OSError:
            return False
        return True


def read(path: Path) -> list[Event]:
    """The events in a file. If a kill has cut off the last line, that line is left out."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    return [parse(line) for line in lines[:-1] if line.strip()]
