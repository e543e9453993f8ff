"""A Hydra sweep: its id, its runs, the conclusion when it ends, and the run that summarises it.

A sweep's id is the name of its folder and a random mark, so that no other sweep has the same id: neither a
sweep on another machine that started in the same second, nor a later one in the same folder. Processes that a
launcher starts for jobs inherit the mark in their environment. Processes that existed before find it in the
folder.
"""

import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backendexp import cache, places
from backendexp.errors import TrackingError, UserError
from backendexp.experiments.base import Conclusion
from backendexp.reporting import tables
from backendexp.reporting.tables import Table
from backendexp.runs import given_up, machine, record, results, starts, summary_run, sweep_ids
from backendexp.runs.record import RunRecord
from backendexp.runs.session import Destination, Session, source_tags
from backendexp.runs.starts import Earlier, Key, Start
from backendexp.tracking.base import Metric, Report

_MARK = "BACKENDEXP_SWEEP"


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    id: the tag `sweep` of its runs.
    directory: the folder into which its jobs write. An earlier sweep may have written into the same folder.
    began: seconds since 1970.
    start: the number of this start of the sweep.
    """

    id: str
    directory: Path
    began: float
    start: int = 1

    def records(self) -> list[RunRecord]:
        """The runs of the sweep that count, in the order of their start, whichever process made them, without
        warm-up runs.
        """
        return starts.counted_records(self.all_records())

    def all_records(self) -> list[RunRecord]:
        """All runs of the sweep, also those that later ones have replaced."""
        return self.runs_in(self.directory)

    def runs_in(self, folder: Path) -> list[RunRecord]:
        """The runs of the sweep in one folder, such as that of a job."""
        found = (record.load(directory) for directory in record.find([folder]))
        return [run for run in found if run.context.tags.get(sweep_ids.TAG) == self.id]


def draw_mark() -> None:
    """Choose the random mark. The process that starts a sweep calls this before anything needs the mark."""
    os.environ[_MARK] = uuid.uuid4().hex[:8]


def sweep_of(directory: str) -> Sweep:
    """The sweep whose jobs write into `directory`. Every process of the sweep gets the same id."""
    path = Path(directory).absolute()
    mark = os.environ.get(_MARK)
    known = sweep_ids.id_in(path)
    if known is not None and (mark is None or known.endswith(f"-{mark}")):
        return Sweep(known, path, time.time())
    identity = f"{path.parent.name}/{path.name}-{mark or uuid.uuid4().hex[:8]}"
    path.mkdir(parents=True, exist_ok=True)
    part = path / f"{sweep_ids.FILE}.{os.getpid()}.part"
    part.write_text(identity, encoding="utf-8")
    part.replace(path / sweep_ids.FILE)
    return Sweep(identity, path, time.time())


def begin(
    directory: str, start: Start, keys: set[Key] | None, must_continue: bool = False, adds: bool = True
) -> tuple[Sweep, Earlier]:
    """Begin a sweep, or continue the last one in the folder if this start plans all that it has run.

    start: its number is chosen here.
    keys: of all the planned runs, or None if they are not known.
    must_continue: whether a start that cannot continue the sweep is an error.
    adds: whether the start may add runs. One that does not is not noted in the folder.
    Returns the sweep, and what its earlier starts have done.
    Raises UserError: the sweep must be continued, and there is none, it is still under way, or the settings
    leave out runs that it has made.
    """
    path = Path(directory).absolute()
    known, past = sweep_ids.id_in(path), starts.read(path)
    counted: list[RunRecord] = []
    if not _locked(path):
        why: str | None = "holds a sweep that is under way in another process"
    elif known is None or not past:
        why = "holds no sweep that can be continued"
    else:
        runs = [_closed(run) for run in Sweep(known, path, start.began).all_records()]
        counted = starts.counted_records(runs)
        why = _why_not_continued(runs, counted, keys)
    if why is not None and must_continue:
        raise UserError(f"{directory} {why}")
    if why is not None or known is None:
        fresh = sweep_of(directory)
        starts.write(path, [replace(start, number=1)])
        return fresh, Earlier()
    os.environ[_MARK] = known.rpartition("-")[2]
    swept = Sweep(known, path, start.began, len(past) + 1)
    earlier = Earlier(counted, start.rule)
    if adds:
        starts.write(path, [*past, replace(start, number=swept.start)])
    return swept, earlier


@dataclass(frozen=True)
class Joined:
    """What a process that runs a job knows of the sweep that another process has begun.

    earlier: what earlier starts, and earlier tries of this job, have done.
    open_tries: the runs that an earlier try of this job has left open. Its process is lost.
    planned: the number of jobs.
    """

    sweep: Sweep
    earlier: Earlier
    open_tries: tuple[RunRecord, ...]
    planned: int


def join(directory: str, job: Path) -> Joined:
    """Join a sweep that another process has begun, in order to run a job of it.

    job: the folder of the job.
    """
    swept = sweep_of(directory)
    past = starts.read(swept.directory)
    if not past:
        return Joined(swept, Earlier(), (), 0)
    last = past[-1]
    # Only a later start needs the runs of other jobs, which may be many.
    known = swept.all_records() if last.number > 1 else swept.runs_in(job)
    before = [run for run in known if starts.number_of(run.context.tags) < last.number]
    # A scheduler may start a job again if it has lost the job's machine.
    tries = [run for run in swept.runs_in(job) if starts.number_of(run.context.tags) == last.number]
    earlier = Earlier(starts.counted_records(before), last.rule, tries)
    opened = tuple(run for run in tries if run.result is None)
    return Joined(replace(swept, start=last.number), earlier, opened, last.planned)


def end(swept: Sweep) -> None:
    """From now on, another process may continue the sweep."""
    lock = _locks.pop(swept.directory, None)
    if lock is not None:
        lock.release()


# The locks of the sweeps that this process has begun, by their folders.
_locks: dict[Path, Any] = {}


def _locked(path: Path) -> bool:
    """Lock a sweep's folder. Returns False if another process has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(cache.lock_file(str(path)))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    _locks[path] = lock
    return True


def _closed(run: RunRecord) -> RunRecord:
    """The run with its result. It has none if its process lives, or may live."""
    return run if run.result is not None else record.close_lost(run)


def _why_not_continued(
    runs: Sequence[RunRecord], counted: Sequence[RunRecord], keys: set[Key] | None
) -> str | None:
    """Why a sweep cannot be continued, or None if it can.

    runs: all that it has made. counted: those that count. keys: as in `begin`.
    """
    alive = next((run for run in runs if run.result is None), None)
    if alive is not None:
        return f"holds a sweep that is under way: {alive.directory}{given_up.hint(alive)}"
    if keys is None:
        return "holds a sweep whose jobs are chosen while it runs, so they cannot be skipped"
    others = [run for run in counted if starts.key_of_record(run) not in keys]
    if others:
        return f"holds {len(others)} runs that these settings leave out, such as {others[0].spec.title}"
    return None


def tags(sweep: Sweep) -> dict[str, str]:
    own = {sweep_ids.TAG: sweep.id}
    return own if sweep.start == 1 else {**own, starts.START: str(sweep.start)}


def conclusion_of(folder: Path, records: Sequence[RunRecord], planned: int) -> Conclusion:
    """The conclusion of an ordinary sweep.

    folder: of the sweep; the page is written into it.
    planned: the number of runs that the sweep should have had, or 0 if it is not known.
    """
    note = markdown(records)
    said = tables_and_caveats(records)
    if len(records) < planned:
        said.append(f"Note: the sweep ended after {len(records)} of {planned} runs.")
    return Conclusion("sweep", said, note, artifacts=[write_page(folder, "sweep", note)])


def tables_and_caveats(records: Sequence[RunRecord]) -> list[str | Table]:
    """What the terminal shows: every run, the medians, and what to know before believing them."""
    runs = list(records)
    notes = (f"Note: {line}" for line in tables.caveats(runs))
    return [tables.run_table(runs), tables.median_table(runs), *notes]


def markdown(records: Sequence[RunRecord], verdict: str = "") -> str:
    """The same as the note of a summary run.

    verdict: text that stands above the tables.
    """
    runs = list(records)
    parts = [verdict, tables.median_table(runs).markdown(), *tables.caveats(runs)]
    return "\n\n".join([*filter(None, parts), tables.run_table(runs).markdown()]) + "\n"


def write_page(folder: Path, kind: str, note: str) -> Path:
    page = folder / f"{kind}.md"
    page.write_text(note, encoding="utf-8")
    return page


def track_summary(
    session: Session, where: Destination, sweep: Sweep, conclusion: Conclusion, good: bool
) -> str | None:
    """Make a run that summarises the others, with the conclusion's note as its description. It is written
    into the sweep's directory first, so that it is not lost if the store does not take it.

    good: whether every run finished, and the experiment could show what it was meant to show.
    Returns the id of the run in the store, or None if no store took it.

    The medians of a sweep are not metrics of this run, because the UI would draw a chart of one bar for each,
    among the charts of the runs.
    """
    ended_ms = round(time.time() * 1000)
    kind = conclusion.kind
    identity = uuid.uuid4().hex
    note = {"mlflow.note.content": conclusion.note}
    run_tags = {**machine.tags(), **source_tags(), **tags(sweep), "kind": kind, **note}
    joined = session.take_joined()
    report = Report(
        record_id=identity,
        name=f"{kind} {sweep.id}" if sweep.start == 1 else f"{kind} {sweep.id}, start {sweep.start}",
        status=results.FINISHED if good else results.FAILED,
        start_ms=round(sweep.began * 1000),
        end_ms=ended_ms,
        params=dict(conclusion.params),
        tags=run_tags,
        metrics=[
            *(Metric(name, value, ended_ms, 0) for name, value in conclusion.metrics.items()),
            *(
                Metric(name, value, ended_ms, size)
                for name, values in conclusion.by_size.items()
                for size, value in values.items()
            ),
        ],
        dataset=None,
        artifacts=list(conclusion.artifacts),
        joined=joined is not None,
    )
    try:
        file = summary_run.write(sweep.directory, where, report, joined)
    except OSError as error:
        session.untracked.append(places.sentence(error, sweep.directory, places.RUNS))
        return None
    tracker = session.tracker(where)
    if tracker is None:
        return None
    try:
        with summary_run.locked(file) as summary:
            return summary.tracked_run_id or summary_run.upload(summary, tracker)
    except TrackingError as error:
        session.untracked.append(str(error))
        return None
