"""The run that summarises others. Like every run, it is on disk before it is sent to the tracking store.

Its file is summary-<8 hex digits>.json in the folder of the runs. The file says where the run will be
tracked, holds everything that the store gets, and, once the store has taken it, the id of the store's run.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from backendexp import cache
from backendexp.runs.session import Destination
from backendexp.tracking import addresses
from backendexp.tracking.base import Metric, Report, Tracker

_PATTERN = "summary-" + 8 * "[0-9a-f]" + ".json"


@dataclass(frozen=True)
class SummaryRun:
    """A run that summarises others.

    file: the file that holds all of this.
    where: where the run will be tracked.
    report: what the store gets.
    joins: the MLflow run that this one continues, or None.
    tracked_run_id: the id of the store's run that holds everything, or None if there is none yet.
    """

    file: Path
    where: Destination
    report: Report
    joins: str | None
    tracked_run_id: str | None = None


def write(folder: Path, where: Destination, report: Report, joins: str | None) -> Path:
    """Write a new summary run into `folder`, which holds the report's artifacts. Returns its file."""
    summary = SummaryRun(folder / f"summary-{report.record_id[:8]}.json", where, report, joins)
    folder.mkdir(parents=True, exist_ok=True)
    _write(summary)
    return summary.file


def load(file: Path) -> SummaryRun:
    stored = json.loads(file.read_text(encoding="utf-8"))
    report = stored["report"]
    report["metrics"] = [Metric(**metric) for metric in report["metrics"]]
    report["artifacts"] = [file.parent / path for path in report["artifacts"]]
    where = Destination(**{**stored["where"], "uri": addresses.keep(stored["where"]["uri"])})
    return SummaryRun(file, where, Report(**report), stored["joins"], stored["tracked_run_id"])


def find(roots: Sequence[Path]) -> list[Path]:
    """The files of summary runs below `roots`, sorted by their paths."""
    return sorted({file for root in roots for file in root.rglob(_PATTERN)})


@contextmanager
def locked(file: Path) -> Iterator[SummaryRun]:
    """The summary run in a file. Within the `with` block, no other process uploads it."""
    from filelock import FileLock

    with FileLock(cache.lock_file(str(file.resolve()))):
        yield load(file)


def upload(summary: SummaryRun, tracker: Tracker) -> str:
    """Send the summary run to the store, and note in its file that the store has it. Returns the run's id.

    Raises TrackingError: the store did not take everything. Safe to retry: what arrived the first time is not
    stored twice.
    """
    report = summary.report
    run_id = tracker.find(report.record_id) or tracker.begin(
        report.record_id, report.name, report.start_ms, report.tags, summary.joins
    )
    tracker.end(run_id, report)
    _write(replace(summary, tracked_run_id=run_id))
    return run_id


def _write(summary: SummaryRun) -> None:
    """Write the file completely or not at all. Paths of artifacts are relative, so that the folder can be
    moved.
    """
    folder = summary.file.parent
    report: dict[str, Any] = {f.name: getattr(summary.report, f.name) for f in fields(summary.report)}
    report["metrics"] = [asdict(metric) for metric in report["metrics"]]
    report["artifacts"] = [str(path.relative_to(folder)) for path in report["artifacts"]]
    stored = {
        "where": {**asdict(summary.where), "uri": addresses.shown(summary.where.uri)},
        "joins": summary.joins,
        "tracked_run_id": summary.tracked_run_id,
        "report": report,
    }
    part = summary.file.with_suffix(".part")
    part.write_text(json.dumps(stored, indent=1), encoding="utf-8")
    part.replace(summary.file)
