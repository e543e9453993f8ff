"""Closes the runs of a machine that will not come back.

Nothing shows whether a process on another machine is dead, so its runs stay open until somebody who knows
says so. Even then, a run that shows a sign of life is not closed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backendexp import cache
from backendexp.errors import TrackingError, UserError
from backendexp.runs import events, heartbeat, machine, record
from backendexp.runs.events import BeingWritten, EventFile
from backendexp.runs.machine import HOST, Fate
from backendexp.runs.record import RunRecord
from backendexp.spelling import nearest
from backendexp.tracking.base import OpenRun, OpenRuns


class StillAlive(Exception):
    """The run must not be closed, because its process lives, or may live. The message is a clause."""


@dataclass
class Outcome:
    """What was done with the open runs of a machine.

    closed: a sentence for each run that was closed. refused: one for each run that was not.
    to_upload: directories of runs which are closed on disk, but perhaps not in the store yet.
    alive: whether a run of the machine showed a sign of life.
    """

    closed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    to_upload: list[Path] = field(default_factory=list)
    alive: bool = False


def remedy(host: str) -> str:
    """The command that closes the runs of a machine, with its condition."""
    return f"If the machine {host} will not come back, close its runs with: backendexp sync --close {host}"


def hint(run: RunRecord) -> str:
    """What to append to a sentence about an open run: nothing if this process sees that its process lives."""
    host = _host(run.context.tags)
    return f". {remedy(host)}" if host and machine.fate(run.context.tags) is not Fate.LIVES else ""


def close(host: str, known: Sequence[RunRecord], in_stores: Sequence[tuple[OpenRuns, OpenRun]]) -> Outcome:
    """Close the open runs of a machine, first those whose directories are here, then those in the stores.

    known: the runs whose directories are here, open or not. in_stores: the open runs of all machines, each
        with its store.
    Raises UserError: the machine has no open runs.
    """
    _check(host, [_host(run.context.tags) for run in known if run.result is None], in_stores)
    outcome = Outcome()
    here = {run.context.id: run for run in known}
    elsewhere = []
    for store, run in in_stores:
        if _host(run.tags) == host and run.record_id not in here:
            found = _directory_of(run)
            if found is None:
                elsewhere.append((store, run))
            else:
                here[run.record_id] = found
                outcome.to_upload.append(found.directory)
    for one in here.values():
        if one.result is None and _host(one.context.tags) == host:
            _close_here(one, host, outcome)
    for store, run in elsewhere:
        _close_there(store, run, host, outcome)
    return outcome


def _host(tags: dict[str, str]) -> str:
    return tags.get(HOST, "")


def _check(host: str, on_disk: Iterable[str], in_stores: Iterable[tuple[OpenRuns, OpenRun]]) -> None:
    """Raises UserError: no open run belongs to the machine."""
    hosts = sorted({*on_disk, *(_host(run.tags) for _, run in in_stores)} - {""})
    if host not in hosts:
        there = f"Machines with open runs: {', '.join(hosts)}" if hosts else "No machine has open runs"
        raise UserError(f"no open run belongs to the machine {host!r}. {nearest(host, hosts)}{there}")


def _directory_of(run: OpenRun) -> RunRecord | None:
    """The record of a store's run, if the directory in which it was made can be read from here."""
    directory = Path(run.tags.get("backendexp.directory", ""))
    if not (directory / "context.json").is_file():
        return None
    found = record.load(directory)
    return found if found.context.id == run.record_id else None


def _close_here(run: RunRecord, host: str, outcome: Outcome) -> None:
    from filelock import FileLock

    with FileLock(cache.lock_file(str(run.directory.resolve()))):
        try:
            done = close_record(run, host)
        except StillAlive as reason:
            outcome.alive = True
            outcome.refused.append(f"{run.directory}: not closed, because {reason}")
            return
        except OSError as error:
            outcome.refused.append(f"{run.directory}: not closed: {error}")
            return
    assert done.result is not None
    outcome.closed.append(f"{run.directory}: closed as {done.result.status}: {done.result.message}")


def close_record(run: RunRecord, host: str) -> RunRecord:
    """Close a run on disk, and return it with its result. It keeps the events that it had.

    host: the machine of the run, which is known not to come back.
    Raises StillAlive: its process lives, or may live. OSError: its directory cannot be written.
    """
    lost = record.close_lost(run)
    if lost.result is not None:
        return lost
    if machine.fate(run.context.tags) is Fate.LIVES:
        pid = run.context.tags["backendexp.pid"]
        raise StillAlive(f"its process, {pid}, lives on this machine")
    age = heartbeat.age_s(run.directory / record.EVENTS)
    if age < heartbeat.FRESH_S:
        raise StillAlive(
            f"its process gave a sign of life {max(age, 0):.0f} s ago. A run can be closed "
            f"{heartbeat.FRESH_S / 60:.0f} minutes after the last one"
        )
    try:
        file = EventFile(run.directory / record.EVENTS)
    except BeingWritten:
        raise StillAlive("its process has its events open") from None
    try:
        if record.is_over(run.directory):
            return record.load(run.directory)
        if not events.tell_the_end(run.events):
            file.append(events.ended(events.HOST_LOST, _message(host)))
        if file.failure is not None:
            raise file.failure
        return record.finish(run, file)
    finally:
        file.close()


def _close_there(store: OpenRuns, run: OpenRun, host: str, outcome: Outcome) -> None:
    """Close a run in the store alone."""
    name = f"run {run.run_id} in {store.uri}"
    fate = machine.fate(run.tags)
    if host == machine.host() and fate is not Fate.DEAD:
        outcome.refused.append(
            f"{name}: not closed, because its process may live: this machine is called {host} too, and the "
            "run's directory cannot be read from here. If you know that it is dead, use another machine"
        )
    elif outcome.alive:
        outcome.refused.append(
            f"{name}: not closed, because other runs of {host} show signs of life, and the run's directory "
            "cannot be read from here"
        )
    else:
        reason, message = (events.HOST_LOST, _message(host))
        if fate is Fate.DEAD:
            reason, message = events.PARENT_LOST, record.PARENT_LOST_MESSAGE
        try:
            store.kill(run.run_id, record.tags_of_killed(reason, message))
        except TrackingError as error:
            outcome.refused.append(f"{name}: not closed: {error}")
            return
        outcome.closed.append(
            f"{name}: closed as KILLED in the store alone, because its directory cannot be read from here: "
            f"{message}"
        )


def _message(host: str) -> str:
    return f"the machine {host} did not come back"
