import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from backendexp.runs import record, results
from backendexp.runs.plan import RunSpec
from support import streams
from support.sessions import dead_process

MakeSpec = Callable[..., RunSpec]


def test_begin_makes_a_directory_that_holds_the_plan_before_the_run(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    spec = make_spec("jax", seed=3)
    draft = streams.record_of(tmp_path, spec, [], tags={"sweep": "a/b"}, finish=False)
    assert draft.directory.parent == tmp_path
    assert draft.directory.name.startswith("jax-keras3-seed3-")
    assert RunSpec.from_json(json.loads((draft.directory / "spec.json").read_text())) == spec
    assert json.loads((draft.directory / "context.json").read_text())["tags"] == {"sweep": "a/b"}
    assert (draft.directory / "config.yaml").read_text() == "seed: 0\n"


def test_equal_plans_get_directories_and_ids_of_their_own(make_spec: MakeSpec, tmp_path: Path) -> None:
    first, second = (streams.record_of(tmp_path, make_spec(), []) for _ in range(2))
    assert first.directory != second.directory
    assert first.context.id != second.context.id


def test_record_is_read_back_as_it_was_finished(make_spec: MakeSpec, tmp_path: Path) -> None:
    done = streams.record_of(tmp_path, make_spec("jax"), streams.whole())
    assert record.load(done.directory) == done
    assert done.result is not None
    assert done.result.status == results.FINISHED


def test_run_under_way_has_no_result(make_spec: MakeSpec, tmp_path: Path) -> None:
    draft = streams.record_of(tmp_path, make_spec(), streams.whole()[:8], finish=False)
    assert record.load(draft.directory).result is None


def test_result_json_can_be_read_without_mlflow(make_spec: MakeSpec, tmp_path: Path) -> None:
    done = streams.record_of(tmp_path, make_spec(), streams.killed_in_epoch_3())
    result = json.loads((done.directory / "result.json").read_text())
    assert (result["status"], result["reason"]) == ("FAILED", "killed_by_signal")
    assert "SIGKILL" in result["message"]
    assert result["metrics"]["time/first_epoch_s"] == 0.5
    assert json.loads((done.directory / "environment.json").read_text())["keras"] == "3.15.1"


def test_worker_that_never_became_ready_leaves_no_environment(make_spec: MakeSpec, tmp_path: Path) -> None:
    done = streams.record_of(tmp_path, make_spec(), [])
    assert not (done.directory / "environment.json").exists()
    assert (done.directory / "result.json").exists()


def test_find_returns_the_runs_of_all_folders_oldest_first(make_spec: MakeSpec, tmp_path: Path) -> None:
    made = [
        streams.record_of(tmp_path / folder, make_spec(), streams.whole()).directory
        for folder in ("b/0", "a/1", "b/2")
    ]
    for age, directory in enumerate(reversed(made)):
        os.utime(directory / "context.json", (1e9 - age, 1e9 - age))
    assert record.find([tmp_path / "a", tmp_path / "b"]) == made
    assert record.find([tmp_path / "a"]) == [made[1]]
    assert record.find([tmp_path / "nowhere"]) == []


def test_lost_run_whose_events_are_complete_ends_when_it_ended(make_spec: MakeSpec, tmp_path: Path) -> None:
    """A full disk may take the last event and not the result."""
    draft = streams.record_of(tmp_path, make_spec(), streams.whole(), tags=dead_process(), finish=False)
    before = draft.events
    closed = record.close_lost(draft)
    assert closed.result is not None
    assert closed.result.status == results.FINISHED
    assert record.load(draft.directory).events == before


def test_lost_run_is_closed_as_killed_and_keeps_its_epochs(make_spec: MakeSpec, tmp_path: Path) -> None:
    draft = streams.record_of(tmp_path, make_spec(), streams.whole()[:9], tags=dead_process(), finish=False)
    lost = record.close_lost(draft)
    assert lost.result is not None
    assert (lost.result.status, lost.result.reason) == ("KILLED", "parent_lost")
    assert lost.result.epochs[-1].number == 2
    assert record.load(draft.directory) == lost


def test_run_whose_parent_was_killed_while_it_wrote_can_be_closed(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    draft = streams.record_of(tmp_path, make_spec(), streams.whole()[:9], tags=dead_process(), finish=False)
    with (draft.directory / "events.jsonl").open("ab") as file:
        file.write(b'{"event": "epoch", "ti')
    lost = record.close_lost(draft)
    assert lost.result is not None
    assert (lost.result.status, lost.result.reason) == ("KILLED", "parent_lost")
    assert len(lost.result.epochs) == 2


def test_report_holds_all_of_a_finished_run(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec("jax", seed=5)
    done = streams.record_of(tmp_path, spec, streams.whole((0.7, 0.6, 0.5)), tags={"sweep": "a/b"})
    (done.directory / "worker.log").write_text("what the engine printed\n")
    report = record.report(done)
    assert (report.record_id, report.name, report.status) == (done.context.id, "a name", "FINISHED")
    assert report.params == spec.params()
    assert report.tags == {
        "sweep": "a/b",
        "backend": "jax",
        "runtime": "keras3",
        "plan": spec.id,
        "keras_version": "3.15.1",
        "engine": "JAX",
        "engine_version": "0.10.2",
        "python_version": "3.11.7",
        "start": "fork",
        "weights_digest": "w" * 64,
        "metrics": "accuracy",
        "train_samples": "256",
    }
    history = [(m.step, m.value) for m in report.metrics if m.key == "train/loss"]
    assert history == [(1, 0.7), (2, 0.6), (3, 0.5)]
    totals = {m.key: m.value for m in report.metrics if not m.key.startswith("train/")}
    assert done.result is not None
    assert totals == done.result.metrics()
    assert report.end_ms == round((streams.BEGAN + 30) * 1000)
    assert {m.timestamp_ms for m in report.metrics if m.key == "loss"} == {report.end_ms}
    assert report.dataset is not None
    assert (report.dataset.name, report.dataset.path) == ("random-seed5", None)
    assert report.dataset.shapes["x_train"] == (256, 8)
    assert report.artifacts == [done.directory]
    assert {path.name for path in done.directory.iterdir()} == {
        "config.yaml",
        "context.json",
        "environment.json",
        "events.jsonl",
        "result.json",
        "spec.json",
        "worker.log",
    }
    assert not report.joined


def test_report_of_a_failed_run_says_why_in_its_note(make_spec: MakeSpec, tmp_path: Path) -> None:
    failed = {
        "event": "failed",
        "time": streams.BEGAN + 12,
        "kind": "exception",
        "message": "ValueError: no",
        "traceback": "Traceback (most recent call last):\nValueError: no\n",
    }
    done = streams.record_of(tmp_path, make_spec(), [*streams.whole()[:9], failed, streams.exited(1)])
    report = record.report(done)
    assert report.status == "FAILED"
    assert report.tags["failure"] == "exception"
    note = report.tags["mlflow.note.content"]
    assert note.startswith("**FAILED** (exception): ValueError: no\n\n```\nTraceback (most recent")
    assert len([m for m in report.metrics if m.key == "train/loss"]) == 2


def test_finished_run_has_no_note(make_spec: MakeSpec, tmp_path: Path) -> None:
    done = streams.record_of(tmp_path, make_spec(), streams.whole())
    assert "mlflow.note.content" not in record.report(done).tags


def test_run_without_events_can_be_reported(make_spec: MakeSpec, tmp_path: Path) -> None:
    done = streams.record_of(tmp_path, make_spec(), [])
    report = record.report(done)
    assert (report.status, report.metrics, report.dataset) == ("FAILED", [], None)
    assert report.end_ms == report.start_ms


def test_dataset_of_a_file_is_named_after_it(project: Path, make_spec: MakeSpec) -> None:
    np.savez(
        project / "mine.npz",
        x_train=np.zeros((6, 3)),
        y_train=np.zeros(6),
        x_test=np.zeros((2, 3)),
        y_test=np.zeros(2),
    )
    none = {"data__samples": None, "data__features": None, "data__test_samples": None}
    spec = make_spec(data__kind="npz", data__path="mine.npz", **none)
    dataset = record.report(streams.record_of(project, spec, streams.whole())).dataset
    assert dataset is not None
    assert (dataset.name, dataset.path) == ("mine.npz", str(project / "mine.npz"))


def test_run_that_continues_one_of_the_store_says_so(make_spec: MakeSpec, tmp_path: Path) -> None:
    done = streams.record_of(tmp_path, make_spec(), streams.whole(), run_id="f" * 32)
    assert record.report(done).joined


def test_tracked_run_is_remembered(make_spec: MakeSpec, tmp_path: Path) -> None:
    done = streams.record_of(tmp_path, make_spec(), streams.whole())
    assert done.tracked_run_id is None
    done.mark_tracked("run-7")
    assert record.load(done.directory).tracked_run_id == "run-7"


def test_nothing_half_written_is_left_beside_the_files(make_spec: MakeSpec, tmp_path: Path) -> None:
    done = streams.record_of(tmp_path, make_spec(), streams.whole())
    assert not list(done.directory.glob("*.part"))
