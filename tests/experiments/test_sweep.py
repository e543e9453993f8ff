"""The summary of a sweep is tracked, here in a store in memory."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backendexp.errors import TrackingError
from backendexp.experiments import sweep
from backendexp.experiments.base import Conclusion
from backendexp.experiments.sweep import Sweep
from backendexp.runs import record, summary_run, sweep_ids
from backendexp.runs.plan import RunSpec
from backendexp.runs.record import RunRecord
from backendexp.runs.session import Destination, Session
from support import streams
from support.memory import MemoryTracker

HERE = Destination("mlflow", "memory:", "backendexp", None)
CONCLUSION = Conclusion("sweep", [], "A note.")


@pytest.fixture
def swept(project: Path) -> Sweep:
    return sweep.sweep_of("multirun/2025-01-01/10-00-00")


@pytest.fixture
def records(swept: Sweep, make_spec: Callable[..., RunSpec]) -> list[RunRecord]:
    """Record two backends, one entirely after the other, with one failed run."""
    for number, (backend, seed, stream) in enumerate(
        [
            ("tensorflow", 0, streams.whole(training_time_s=1.0)),
            ("tensorflow", 1, streams.whole(training_time_s=3.0)),
            ("jax", 0, streams.whole(training_time_s=5.0)),
            ("jax", 1, streams.killed_in_epoch_3()),
        ]
    ):
        streams.record_of(
            swept.directory / str(number), make_spec(backend, seed=seed), stream, tags=sweep.tags(swept)
        )
    return swept.records()


# This script prints the id of the sweep in the folder argv[1]. With argv[2], its process starts the sweep.
TELLS_ID = """
import sys
from backendexp.experiments import sweep
if len(sys.argv) > 2:
    sweep.draw_mark()
print(sweep.sweep_of(sys.argv[1]).id)
"""
FOLDER = "multirun/2025-01-01/10-00-00"


def told_id(*arguments: str, env: dict[str, str] | None = None) -> str:
    command = [sys.executable, "-c", TELLS_ID, *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process start a sweep."""
    monkeypatch.setenv("BACKENDEXP_SWEEP", "")
    sweep.draw_mark()


@pytest.mark.usefixtures("started")
def test_sweep_is_the_same_in_every_process_of_its_jobs(project: Path) -> None:
    one = sweep.sweep_of(FOLDER)
    other = sweep.sweep_of(str(project / FOLDER))
    assert (one.id, one.directory) == (other.id, other.directory)
    assert sweep.tags(one) == {"sweep": one.id}
    assert re.fullmatch("2025-01-01/10-00-00-[0-9a-f]{8}", one.id)
    assert sweep_ids.name_of(one.id) == "2025-01-01/10-00-00"
    assert told_id(FOLDER) == one.id
    # A process that existed before the sweep, as on a cluster.
    assert told_id(FOLDER, env={k: v for k, v in os.environ.items() if k != "BACKENDEXP_SWEEP"}) == one.id


@pytest.mark.usefixtures("started")
def test_two_sweeps_into_one_folder_are_distinct(project: Path, make_spec: Callable[..., RunSpec]) -> None:
    first = sweep.sweep_of(FOLDER)
    streams.record_of(first.directory / "0", make_spec("jax"), streams.whole(), tags=sweep.tags(first))
    second_id = told_id(FOLDER, "starts")
    assert second_id != first.id
    assert sweep_ids.name_of(second_id) == sweep_ids.name_of(first.id)
    assert sweep_ids.id_in(first.directory) == second_id
    second = sweep.Sweep(second_id, first.directory, 0.0)
    ours = streams.record_of(
        first.directory / "0", make_spec("jax"), streams.whole(), tags={"sweep": second_id}
    )
    assert [run.directory for run in second.records()] == [ours.directory]
    assert len(first.records()) == 1
    # The processes of the first sweep still find their own sweep.
    assert told_id(FOLDER) == first.id


def test_simultaneous_sweeps_of_two_machines_have_different_ids(tmp_path: Path) -> None:
    ids = {told_id(str(tmp_path / machine / FOLDER), "starts") for machine in ("a", "b")}
    assert len(ids) == 2
    assert {sweep_ids.name_of(identity) for identity in ids} == {"2025-01-01/10-00-00"}


def test_names_of_sweeps_of_earlier_versions_are_their_ids() -> None:
    assert sweep_ids.name_of("2025-01-01/10-00-00") == "2025-01-01/10-00-00"
    assert sweep_ids.name_of("ci/before") == "ci/before"


def test_records_are_those_below_the_directory_in_their_order(swept: Sweep, records: list[RunRecord]) -> None:
    assert [(r.spec.backend, r.spec.seed) for r in records] == [
        ("tensorflow", 0),
        ("tensorflow", 1),
        ("jax", 0),
        ("jax", 1),
    ]


def test_summary_is_a_separate_run_with_medians_caveats_and_failures(
    swept: Sweep, records: list[RunRecord]
) -> None:
    tracker = MemoryTracker()
    session = Session(_trackers={HERE: tracker})
    run_id = sweep.track_summary(
        session, HERE, swept, sweep.conclusion_of(swept.directory, records, 4), False
    )
    assert run_id is not None
    report = tracker.reports[run_id]
    assert (report.name, report.status) == (f"sweep {swept.id}", "FAILED")
    assert report.metrics == []
    note = report.tags["mlflow.note.content"]
    assert note.startswith("| backend |")
    assert "| tensorflow | keras3 | 2 of 2 | 2 |" in note
    assert "| jax | keras3 | 1 of 2 | 5 |" in note
    assert "put backend=... last" in note
    assert "| jax | keras3 | 1 | FAILED (killed_by_signal) |" in note
    assert report.tags["sweep"] == swept.id
    assert report.tags["kind"] == "sweep"
    assert [path.read_text() for path in report.artifacts] == [note]


def test_verdict_stands_above_the_tables_of_a_note(records: list[RunRecord]) -> None:
    assert sweep.markdown(records, "A verdict.").startswith("A verdict.\n\n| backend |")


def test_summary_has_the_params_metrics_and_artifacts_of_its_conclusion(swept: Sweep) -> None:
    tracker = MemoryTracker()
    session = Session(_trackers={HERE: tracker})
    concluded = Conclusion(
        "parity",
        [],
        "A note.",
        params={"scale.repeats": "3"},
        metrics={"parity/greatest_difference": 1.5},
        by_size={"jax/training_time_s_by_samples": {1000: 0.5, 10_000: 4.0}},
        artifacts=[sweep.write_page(swept.directory, "parity", "A note.")],
    )
    run_id = sweep.track_summary(session, HERE, swept, concluded, True)
    assert run_id is not None
    assert tracker.statuses[run_id] == "FINISHED"
    report = tracker.reports[run_id]
    assert report.params == {"scale.repeats": "3"}
    assert [(m.key, m.value, m.step) for m in report.metrics] == [
        ("parity/greatest_difference", 1.5, 0),
        ("jax/training_time_s_by_samples", 0.5, 1000),
        ("jax/training_time_s_by_samples", 4.0, 10_000),
    ]
    assert report.tags["kind"] == "parity"
    assert report.artifacts == [swept.directory / "parity.md"]
    assert not report.joined


def test_summary_joins_the_run_of_mlflow_run(swept: Sweep) -> None:
    tracker = MemoryTracker()
    session = Session(joined="f" * 32, _trackers={HERE: tracker})
    assert sweep.track_summary(session, HERE, swept, CONCLUSION, True) == "f" * 32
    assert session.joined is None
    # MLflow has already logged params to it.
    assert tracker.reports["f" * 32].joined


def test_sweep_without_a_store_has_no_summary_run(swept: Sweep) -> None:
    nowhere = Destination("none", "memory:", "backendexp", None)
    assert sweep.track_summary(Session(), nowhere, swept, CONCLUSION, True) is None


def test_store_that_refuses_the_summary_is_reported(swept: Sweep) -> None:
    class Refusing(MemoryTracker):
        def begin(self, *arguments: object) -> str:  # type: ignore[override]
            raise TrackingError("the store is away")

    session = Session(_trackers={HERE: Refusing()})
    assert sweep.track_summary(session, HERE, swept, CONCLUSION, True) is None
    assert session.untracked == ["the store is away"]
    (file,) = summary_run.find([swept.directory])
    assert summary_run.load(file).tracked_run_id is None


def test_summary_is_on_disk_as_the_store_has_it(swept: Sweep) -> None:
    tracker = MemoryTracker()
    run_id = sweep.track_summary(Session(_trackers={HERE: tracker}), HERE, swept, CONCLUSION, True)
    (file,) = summary_run.find([swept.directory.parent])
    kept = summary_run.load(file)
    assert (kept.where, kept.tracked_run_id) == (HERE, run_id)
    assert kept.report == tracker.reports[str(run_id)]


def test_interrupted_sweep_is_reported_as_incomplete(swept: Sweep, records: list[RunRecord]) -> None:
    cut = "Note: the sweep ended after 4 of 6 runs."
    assert cut in sweep.conclusion_of(swept.directory, records, 6).said
    assert cut not in sweep.conclusion_of(swept.directory, records, 4).said
    assert cut not in sweep.conclusion_of(swept.directory, records, 0).said


def test_warm_up_runs_are_not_part_of_a_sweep(swept: Sweep, make_spec: Callable[..., RunSpec]) -> None:
    tags = sweep.tags(swept)
    warm = streams.record_of(swept.directory / "warm-up", make_spec("jax"), streams.whole(), tags=tags)
    counted = streams.record_of(swept.directory, make_spec("jax"), streams.whole(), tags=tags)
    assert [r.directory for r in swept.records()] == [counted.directory]
    assert record.find([warm.directory.parent]) == [warm.directory]
