"""A Hydra sweep: checked whole before it starts, told whole when it ends.

Its id is its folder's name and a mark that is drawn when it starts, so that no other has it: neither one of
another machine that was started in the same second, nor a later one in the same folder. Processes that a
launcher starts for jobs inherit the mark in their environment; those that were there before find it in the
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
    """id: tag of its runs. directory: where its jobs write, and maybe an earlier sweep's have written. began:
    seconds since 1970.
    """

    id: str
    directory: Path
    began: float

    def records(self) -> list[RunRecord]:
        """The runs of the sweep, from whatever process they were made by, in the order of their start.
        Warm-up runs are not among them.
        """
        found = (record.load(directory) for directory in record.find([self.directory]))
        return [run for run in found if run.context.tags.get(sweep_ids.TAG) == self.id]


def draw_mark() -> None:
    """For the process that starts a sweep, before anything else asks for it."""
    os.environ[_MARK] = uuid.uuid4().hex[:8]


def sweep_of(directory: str) -> Sweep:
    """The sweep whose jobs write below `directory`; the same in every process of the sweep."""
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
    """What a sweep came to. planned: how many runs it was to have, 0 where nobody knew."""
    note = markdown(records)
    said = tables_and_caveats(records)
    if len(records) < planned:
        said.append(f"Note: the sweep ended after {len(records)} of {planned} runs.")
    return Conclusion("sweep", said, note, artifacts=[write_page(folder, "sweep", note)])


def tables_and_caveats(records: Sequence[RunRecord]) -> list[str | Table]:
    """For the terminal: every run, the medians, and what to know before believing them."""
    runs = list(records)
    notes = (f"Note: {line}" for line in tables.caveats(runs))
    return [tables.run_table(runs), tables.median_table(runs), *notes]


def markdown(records: Sequence[RunRecord], verdict: str = "") -> str:
    """The same as a note of a summary run. verdict: stands above the tables."""
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
    """A run of its own that sums the others up, with the conclusion's note as its description. It is on disk,
    in the sweep's directory, whatever becomes of the store.

    Medians are no metrics of a sweep: the UI would draw a chart of one bar for each, among the runs' own.
    good: every run finished, and what was to be shown is shown.
    Returns its run id, or None when there is no store to take it.
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
        with summary_run.locked(file) as told:
            return told.tracked_run_id or summary_run.upload(told, tracker)
    except TrackingError as error:
        session.untracked.append(str(error))
        return None
