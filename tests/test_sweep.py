"""The summary of a sweep, in a store that is in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest

import streams
from backendexp import sweep
from backendexp.errors import TrackingError
from backendexp.plan import RunSpec
from backendexp.record import RunRecord
from backendexp.session import Destination, Session
from backendexp.sweep import Sweep
from backendexp.tracking.memory import MemoryTracker

HERE = Destination("mlflow", "memory:", "backendexp", None)


@pytest.fixture
def swept(project: Path) -> Sweep:
    return sweep.sweep_of("multirun/2025-01-01/10-00-00")


@pytest.fixture
def records(swept: Sweep, make_spec: Callable[..., RunSpec]) -> list[RunRecord]:
    """Two backends one wholly after the other, and one run that failed."""
    for number, (backend, seed, stream) in enumerate(
        [
            ("tensorflow", 0, streams.whole(training_time_s=1.0)),
            ("tensorflow", 1, streams.whole(training_time_s=3.0)),
            ("jax", 0, streams.whole(training_time_s=5.0)),
            ("jax", 1, streams.killed_in_epoch_3()),
        ]
    ):
        streams.record_of(swept.directory / str(number), make_spec(backend, seed=seed), stream)
    return swept.records()


def test_sweep_is_the_same_in_every_process_that_writes_below_it(project: Path) -> None:
    one = sweep.sweep_of("multirun/2025-01-01/10-00-00")
    other = sweep.sweep_of(str(project / "multirun/2025-01-01/10-00-00"))
    assert (one.id, one.directory) == (other.id, other.directory)
    assert sweep.tags(one) == {"sweep": "2025-01-01/10-00-00"}


def test_records_are_those_below_the_directory_in_their_order(swept: Sweep, records: list[RunRecord]) -> None:
    assert [(r.spec.backend, r.spec.seed) for r in records] == [
        ("tensorflow", 0),
        ("tensorflow", 1),
        ("jax", 0),
        ("jax", 1),
    ]


def test_summary_is_a_run_of_its_own_with_medians_caveats_and_the_failures(
    swept: Sweep, records: list[RunRecord]
) -> None:
    tracker = MemoryTracker()
    session = Session(_trackers={HERE: tracker})
    metrics = {"parity/greatest_difference": 1.5}
    run_id = sweep.track_summary(session, HERE, swept, records, "sweep", metrics, "A verdict.", False)
    assert run_id is not None
    report = tracker.reports[run_id]
    assert (report.name, report.status) == ("sweep 2025-01-01/10-00-00", "FAILED")
    assert {m.key: m.value for m in report.metrics} == metrics
    note = report.tags["mlflow.note.content"]
    assert note.startswith("A verdict.\n\n| backend |")
    assert "| tensorflow | keras3 | 2 of 2 | 2 |" in note
    assert "| jax | keras3 | 1 of 2 | 5 |" in note
    assert "put backend=... last" in note
    assert "| jax | keras3 | 1 | FAILED (killed_by_signal) |" in note
    assert report.tags["sweep"] == swept.id
    assert report.tags["kind"] == "sweep"
    assert [path.read_text() for path in report.artifacts] == [note]


def test_summary_of_runs_that_all_finished_is_finished(swept: Sweep, records: list[RunRecord]) -> None:
    tracker = MemoryTracker()
    session = Session(_trackers={HERE: tracker})
    run_id = sweep.track_summary(session, HERE, swept, records[:3], "parity", {}, "", True)
    assert run_id is not None
    assert tracker.statuses[run_id] == "FINISHED"
    assert tracker.reports[run_id].artifacts == [swept.directory / "parity.md"]


def test_summary_joins_the_run_of_mlflow_run(swept: Sweep, records: list[RunRecord]) -> None:
    tracker = MemoryTracker()
    session = Session(joined="f" * 32, _trackers={HERE: tracker})
    assert sweep.track_summary(session, HERE, swept, records, "sweep", {}, "", True) == "f" * 32
    assert session.joined is None


def test_sweep_without_a_store_has_no_summary_run(swept: Sweep, records: list[RunRecord]) -> None:
    nowhere = Destination("none", "memory:", "backendexp", None)
    assert sweep.track_summary(Session(), nowhere, swept, records, "sweep", {}, "", True) is None


def test_store_that_refuses_the_summary_is_told(swept: Sweep, records: list[RunRecord]) -> None:
    class Refusing(MemoryTracker):
        def begin(self, *arguments: object) -> str:  # type: ignore[override]
            raise TrackingError("the store is away")

    session = Session(_trackers={HERE: Refusing()})
    assert sweep.track_summary(session, HERE, swept, records, "sweep", {}, "", True) is None
    assert session.untracked == ["the store is away"]
