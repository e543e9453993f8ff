"""A Hydra sweep: checked whole before it starts, told whole when it ends."""

import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from backendexp import machine, record, results, summary
from backendexp.errors import TrackingError
from backendexp.record import RunRecord
from backendexp.session import Destination, Session, source_tags
from backendexp.tracking.base import Metric, Report

_TAG = "sweep"


@dataclass(frozen=True)
class Sweep:
    """id: tag of its runs. directory: where its jobs write. began: seconds since 1970."""

    id: str
    directory: Path
    began: float

    def records(self) -> list[RunRecord]:
        """The runs of the sweep, from whatever process they were made by, in the order of their start."""
        return [record.load(directory) for directory in record.find([self.directory])]


def sweep_of(directory: str) -> Sweep:
    """The sweep whose jobs write below `directory`; the same in every process of the sweep."""
    path = Path(directory).absolute()
    return Sweep(f"{path.parent.name}/{path.name}", path, time.time())


def tags(sweep: Sweep) -> dict[str, str]:
    return {_TAG: sweep.id}


def track_summary(
    session: Session,
    where: Destination,
    sweep: Sweep,
    records: list[RunRecord],
    kind: str,
    metrics: dict[str, float],
    verdict: str,
    good: bool,
) -> str | None:
    """A run of its own that sums the others up, with the tables as its description.

    Medians are no metrics of it: the UI would draw a chart of one bar for each, among the runs' own.
    verdict: stands above the table. good: every run finished, and what was to agree does.
    Returns its run id, or None when there is no store to take it.
    """
    tracker = session.tracker(where)
    if tracker is None:
        return None
    ended_ms = round(time.time() * 1000)
    text = _markdown(records, verdict)
    page = sweep.directory / f"{kind}.md"
    page.write_text(text)
    identity = uuid.uuid4().hex
    run_tags = {**machine.tags(), **source_tags(), **tags(sweep), "kind": kind, "mlflow.note.content": text}
    report = Report(
        record_id=identity,
        name=f"{kind} {sweep.id}",
        status=results.FINISHED if good else results.FAILED,
        start_ms=round(sweep.began * 1000),
        end_ms=ended_ms,
        params={},
        tags=run_tags,
        metrics=[Metric(name, value, ended_ms, 0) for name, value in metrics.items()],
        dataset=None,
        artifacts=[page],
    )
    try:
        run_id = tracker.begin(identity, report.name, report.start_ms, run_tags, session.take_joined())
        tracker.end(run_id, report)
    except TrackingError as error:
        session.untracked.append(str(error))
        return None
    return run_id


def _markdown(records: list[RunRecord], verdict: str) -> str:
    parts = [verdict, summary.median_table(records).markdown(), *summary.caveats(records)]
    return "\n\n".join([*filter(None, parts), summary.run_table(records).markdown()]) + "\n"
