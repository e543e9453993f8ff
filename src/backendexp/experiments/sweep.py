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
from dataclasses import dataclass
from pathlib import Path

from backendexp import places
from backendexp.errors import TrackingError
from backendexp.experiments.base import Conclusion
from backendexp.reporting import tables
from backendexp.reporting.tables import Table
from backendexp.runs import machine, record, results, summary_run, sweep_ids
from backendexp.runs.record import RunRecord
from backendexp.runs.session import Destination, Session, source_tags
from backendexp.tracking.base import Metric, Report

_MARK = "BACKENDEXP_SWEEP"


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    id: the tag `sweep` of its runs.
    directory: the folder into which its jobs write. An earlier sweep may have written into the same folder.
    began: seconds since 1970.
    """

    id: str
    directory: Path
    began: float

    def records(self) -> list[RunRecord]:
        """The runs of the sweep in the order of their start, whichever process made them, without warm-up
        runs.
        """
        found = (record.load(directory) for directory in record.find([self.directory]))
        return [run for run in found if run.context.tags.get(sweep_ids.TAG) == self.id]


def draw_mark() -> None:
    """Choose the random mark. The process that starts a sweep calls this before anything needs the mark."""
    os.environ[_MARK] = uuid.uuid4().hex[:8]


def sweep_of(directory: str) -> Sweep:
    """The sweep whose jobs write into `directory`. Every process of the sweep gets the same id."""
    path = Path(directory).absolute()
    mark = os.environ.get(_MARK)
    if mark is None and (known := sweep_ids.id_in(path)) is not None:
        return Sweep(known, path, time.time())
    identity = f"{path.parent.name}/{path.name}-{mark or uuid.uuid4().hex[:8]}"
    path.mkdir(parents=True, exist_ok=True)
    part = path / f"{sweep_ids.FILE}.{os.getpid()}.part"
    part.write_text(identity, encoding="utf-8")
    part.replace(path / sweep_ids.FILE)
    return Sweep(identity, path, time.time())


def tags(sweep: Sweep) -> dict[str, str]:
    return {sweep_ids.TAG: sweep.id}


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
        name=f"{kind} {sweep.id}",
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
