"""A tracking store that keeps everything in this process."""

from collections.abc import Mapping

from backendexp.tracking.base import NO_TAGS, OpenRun, Report

RECORD_TAG = "backendexp.record"


class MemoryTracker:
    """A tracker in memory. `runs` has the status, tags, params and metrics of each run by its id."""

    uri = "memory:"
    experiment_id = "0"

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.reports: dict[str, Report] = {}

    def begin(
        self, record_id: str, name: str, start_ms: int, tags: dict[str, str], run_id: str | None
    ) -> str:
        run_id = run_id or f"run-{len(self.statuses)}"
        self.statuses[run_id] = "RUNNING"
        self.tags[run_id] = {**tags, RECORD_TAG: record_id}
        return run_id

    def end(self, run_id: str, report: Report) -> None:
        held = self.reports.get(run_id)
        if held and held.status in ("FINISHED", "FAILED") and held.end_ms != report.end_ms:
            return
        self.reports[run_id] = report
        self.statuses[run_id] = report.status

    def find(self, record_id: str) -> str | None:
        found = [run for run, tags in self.tags.items() if tags[RECORD_TAG] == record_id]
        over = [run for run in found if self.statuses[run] != "RUNNING"]
        return next(iter([*over, *found]), None)

    def open_runs(self, host: str) -> list[OpenRun]:
        return [
            OpenRun(run, self.tags[run])
            for run, status in self.statuses.items()
            if status == "RUNNING" and self.tags[run].get("backendexp.host") == host
        ]

    def all(self) -> list[OpenRun]:
        return [
            OpenRun(run, self.tags[run], self.tags[run][RECORD_TAG])
            for run, status in self.statuses.items()
            if status == "RUNNING"
        ]

    def kill(self, run_id: str, tags: Mapping[str, str] = NO_TAGS) -> None:
        self.statuses[run_id] = "KILLED"
        self.tags[run_id].update(tags)

    def discard(self, run_id: str) -> None:
        del self.statuses[run_id]
        del self.tags[run_id]
