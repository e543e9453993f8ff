"""The tracker in memory behaves as every tracker must."""

from backendexp.tracking.base import Report
from support.memory import MemoryTracker


def report(status: str) -> Report:
    return Report("record", "name", status, 1, 2, {"a": "1"}, {"t": "1"}, [], None, [])


def test_run_is_running_until_it_is_ended() -> None:
    tracker = MemoryTracker()
    run_id = tracker.begin("record", "name", 1, {"backendexp.host": "here"}, None)
    assert [run.run_id for run in tracker.open_runs("here")] == [run_id]
    assert tracker.open_runs("elsewhere") == []
    tracker.end(run_id, report("FINISHED"))
    assert tracker.open_runs("here") == []
    assert tracker.statuses == {run_id: "FINISHED"}
    assert tracker.reports[run_id].params == {"a": "1"}


def test_run_is_found_by_its_record() -> None:
    tracker = MemoryTracker()
    first = tracker.begin("record-1", "name", 1, {}, None)
    second = tracker.begin("record-2", "name", 1, {}, "joined")
    assert (tracker.find("record-1"), tracker.find("record-2")) == (first, second)
    assert second == "joined"
    assert tracker.find("record-3") is None


def test_killed_run_is_no_longer_open() -> None:
    tracker = MemoryTracker()
    run_id = tracker.begin("record", "name", 1, {"backendexp.host": "here"}, None)
    tracker.kill(run_id)
    assert tracker.statuses == {run_id: "KILLED"}
    assert tracker.open_runs("here") == []
