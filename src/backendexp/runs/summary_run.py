"""The run that sums others up: on disk before the tracking store is asked, as `record` has it for the others.

summary-<8 hex digits>.json, in the folder of the runs: where it is to be tracked, all that the store is told,
and, once the store has taken it, the run that holds it.
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
    """file: where all of this stands. joins: the run of MLflow that it continues, or None.
    tracked_run_id: the store's run that holds all of it, or None.
    """

    file: Path
    where: Destination
    report: Report
    joins: str | None
    tracked_run_id: str | None = None


def write(folder: Path, where: Destination, report: Report, joins: str | None) -> Path:
    """The file of a new one in `folder`, which holds the report's artifacts."""
    summary = SummaryRun(folder / f"summary-{report.record_id[:8]}.json", where, report, joins)
    folder.mkdir(parents=True, exist_ok=True)
    _write(summary)
    return summary.file


def load(file: Path) -> SummaryRun:
    told = json.loads(file.read_text(encoding="utf-8"))
    report = told["report"]
    report["metrics"] = [Metric(**metric) for metric in report["metrics"]]
    report["artifacts"] = [file.parent / path for path in report["artifacts"]]
    where = Destination(**{**told["where"], "uri": addresses.keep(told["where"]["uri"])})
    return SummaryRun(file, where, Report(**report), told["joins"], told["tracked_run_id"])


def find(roots: Sequence[Path]) -> list[Path]:
    """The files of the summaries below `roots`, by name of their folder."""
    return sorted({file for root in roots for file in root.rglob(_PATTERN)})


@contextmanager
def locked(file: Path) -> Iterator[SummaryRun]:
    """What the file holds, while no other process uploads it."""
    from filelock import FileLock

    with FileLock(cache.lock_file(str(file.resolve()))):
        yield load(file)


def upload(summary: SummaryRun, tracker: Tracker) -> str:
    """Tell the store, and keep that it was told. Returns the run's id.

    Raises TrackingError: the store did not take it. What it took is not there twice when it is told again.
    """
    report = summary.report
    run_id = tracker.find(report.record_id) or tracker.begin(
        report.record_id, report.name, report.start_ms, report.tags, summary.joins
    )
    tracker.end(run_id, report)
    _write(replace(summary, tracked_run_id=run_id))
    return run_id


def _write(summary: SummaryRun) -> None:
    """Whole or not at all. Paths of artifacts are relative, so that the folder can be moved."""
    folder = summary.file.parent
    report: dict[str, Any] = {f.name: getattr(summary.report, f.name) for f in fields(summary.report)}
    report["metrics"] = [asdict(metric) for metric in report["metrics"]]
    report["artifacts"] = [str(path.relative_to(folder)) for path in report["artifacts"]]
    told = {
        "where": {**asdict(summary.where), "uri": addresses.shown(summary.where.uri)},
        "joins": summary.joins,
        "tracked_run_id": summary.tracked_run_id,
        "report": report,
    }
    part = summary.file.with_suffix(".part")
    part.write_text(json.dumps(told, indent=1), encoding="utf-8")
    part.replace(summary.file)
