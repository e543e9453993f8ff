"""Sessions train, record and track runs, here with small scripts as workers and a store in memory."""

import dis
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from backendexp.config.schema import TrackingConfig
from backendexp.errors import RuntimeUnavailable
from backendexp.runs import machine, record, session
from backendexp.runs.events import Event
from backendexp.runs.plan import RunSpec
from backendexp.runs.session import Destination, close_runs_of_dead_processes, destination
from support import streams
from support.memory import MemoryTracker
from support.projects import reached
from support.sessions import (
    CONTAINER,
    HERE,
    MakeSession,
    RefusingTracker,
    dead_process,
    needs_containers,
)

NOWHERE = Destination("none", "memory:", "backendexp", None)

MakeSpec = Callable[..., RunSpec]
TraceFunction = Callable[[FrameType, str, object], Any]


# -- runs --------------------------------------------------------------------------------------------


def test_run_is_trained_recorded_and_tracked(
    make_session: MakeSession, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1.25, 9.0, 9.0))
    tracker = MemoryTracker()
    spec = make_spec("jax", seed=3, training__epochs=4)
    done = make_session("finishes", tracker).run(
        spec, HERE, tmp_path / "out", "seed: 3\n", tags={"sweep": "a/b"}
    )
    assert done.result is not None
    assert done.result.status == "FINISHED"
    run_id = done.tracked_run_id
    assert run_id is not None
    assert tracker.statuses == {run_id: "FINISHED"}
    report = tracker.reports[run_id]
    assert report.name == "jax-keras3-seed3"
    assert report.params == spec.params()
    assert report.tags["sweep"] == "a/b"
    assert report.tags["backendexp.pid"] == str(os.getpid())
    assert report.tags["load_average"] == "1.25"
    assert tracker.tags[run_id]["backendexp.directory"] == str(done.directory)
    assert len([m for m in report.metrics if m.key == "train/loss"]) == 4


def test_run_without_a_store_stays_in_its_directory(
    make_session: MakeSession, make_spec: MakeSpec, tmp_path: Path
) -> None:
    one = make_session("finishes")
    done = one.run(make_spec("jax"), NOWHERE, tmp_path, "")
    assert done.result is not None
    assert done.result.status == "FINISHED"
    assert done.tracked_run_id is None
    assert one.untracked == []
    assert record.load(done.directory) == done


def test_name_and_joined_run_reach_the_store(
    make_session: MakeSession, make_spec: MakeSpec, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    one = make_session("finishes", tracker, joined="f" * 32)
    done = one.run(make_spec("jax"), HERE, tmp_path, "", name="mine", run_id=one.take_joined())
    assert done.tracked_run_id == "f" * 32
    assert tracker.reports["f" * 32].name == "mine"
    assert tracker.reports["f" * 32].joined
    assert one.take_joined() is None


@pytest.mark.parametrize(
    ("script", "reason", "epochs"),
    [
        ("dies_by_signal", "worker_lost", 2),
        ("reports_a_killed_run", "killed_by_signal", 1),
        ("exits_silently", "worker_lost", 0),
        ("sends_garbage", "worker_lost", 0),
        ("refuses", "engine_missing", 0),
        ("speaks_another_version", "worker_lost", 0),
    ],
)
def test_worker_that_fails_leaves_a_failed_run_in_the_store_with_its_reason(
    script: str, reason: str, epochs: int, make_session: MakeSession, make_spec: MakeSpec, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    done = make_session(script, tracker).run(make_spec("jax"), HERE, tmp_path, "")
    assert done.tracked_run_id is not None
    report = tracker.reports[done.tracked_run_id]
    assert (report.status, report.tags["failure"]) == ("FAILED", reason)
    assert f"**FAILED** ({reason})" in report.tags["mlflow.note.content"]
    assert len([m for m in report.metrics if m.key == "train/loss"]) == epochs


def test_directory_that_a_full_disk_cut_short_is_completed_when_there_is_room(
    make_session: MakeSession, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = MemoryTracker()
    one = make_session("finishes", tracker)
    append = record.EventFile.append
    with monkeypatch.context() as during:

        def append_until_it_is_full(self: record.EventFile, event: Event) -> None:
            if event["event"] == "epoch":
                during.setattr(record.EventFile, "_write", full)
                during.setattr(record, "_write", full)
            append(self, event)

        def full(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        during.setattr(record.EventFile, "append", append_until_it_is_full)
        done = one.run(make_spec("jax", seed=1), HERE, tmp_path, "")
    one.forget(done)
    assert one.records == [done]
    assert len(one.unwritten) == 1
    assert record.load(done.directory).result is None
    second = one.run(make_spec("jax", seed=2), HERE, tmp_path, "")
    assert one.unwritten == []
    kept = record.load(done.directory)
    assert kept.result == done.result
    assert kept.tracked_run_id == done.tracked_run_id
    assert list(tracker.statuses.values()) == ["FINISHED", "FINISHED"]
    one.forget(second)
    assert [run.spec.seed for run in one.records] == [1]


def test_session_continues_after_a_failed_run(
    make_session: MakeSession, make_spec: MakeSpec, tmp_path: Path
) -> None:
    one = make_session("reports_a_killed_run", MemoryTracker())
    for seed in (1, 2):
        one.run(make_spec("jax", seed=seed), HERE, tmp_path, "")
    assert [r.spec.seed for r in one.records] == [1, 2]
    assert session.failures(one.records) == 2


def test_deadline_is_recorded_as_a_failure(
    make_session: MakeSession, make_spec: MakeSpec, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    done = make_session("sleeps", tracker).run(make_spec("jax", timeout_s=2.0), HERE, tmp_path, "")
    assert done.result is not None
    assert (done.result.status, done.result.reason) == ("FAILED", "deadline")
    assert set(tracker.statuses.values()) == {"FAILED"}


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("tracker", [MemoryTracker(), None], ids=["tracked", "untracked"])
def test_ctrl_c_is_recorded_as_killed_and_raised_again(
    tracker: MemoryTracker | None,
    make_session: MakeSession,
    make_spec: MakeSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = make_session("sleeps", tracker)
    interrupt_at_first_epoch(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        one.run(make_spec("jax"), HERE if tracker else NOWHERE, tmp_path, "")
    (done,) = one.records
    assert done.result is not None
    assert (done.result.status, done.result.reason) == ("KILLED", "interrupted")
    assert done.result.epochs[-1].number == 1
    assert record.load(done.directory) == done
    if tracker is not None:
        assert tracker.statuses == {done.tracked_run_id: "KILLED"}


def interrupt_at_first_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send SIGINT to this process, as Ctrl-C does, shortly after the first epoch is reported."""
    append = record.EventFile.append

    def append_and_interrupt(self: record.EventFile, event: Event) -> None:
        append(self, event)
        if event["event"] == "epoch":
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

    monkeypatch.setattr(record.EventFile, "append", append_and_interrupt)


def test_ctrl_c_during_a_request_to_the_store_is_recorded_as_killed(
    make_session: MakeSession, make_spec: MakeSpec, tmp_path: Path
) -> None:
    class Interrupted(MemoryTracker):
        def begin(self, *arguments: object) -> str:  # type: ignore[override]
            raise KeyboardInterrupt

    one = make_session("finishes", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        one.run(make_spec("jax"), HERE, tmp_path, "")
    (done,) = one.records
    assert done.result is not None
    assert (done.result.status, done.result.message) == ("KILLED", "interrupted before it began")


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_at_any_moment_of_a_run_leaves_it_ended_in_the_store(
    make_session: MakeSession, make_spec: MakeSpec, tmp_path: Path
) -> None:
    statuses = set()
    for n in range(1, 1000):
        tracker = MemoryTracker()
        one = make_session("finishes", tracker)
        interrupted = False
        with interrupt_at_moment(n) as moments:
            try:
                one.run(make_spec("jax"), HERE, tmp_path / str(n), "")
            except KeyboardInterrupt:
                interrupted = True
        one.close()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if len(moments) < n:
            break
        assert interrupted, moments[-1]
        ends = [done.result.status for done in one.records if done.result is not None]
        assert len(ends) == len(list(tmp_path.glob(f"{n}/*/context.json"))), moments[-1]
        assert list(tracker.statuses.values()) in ([], ends), moments[-1]
        statuses.update(ends)
    assert n > 50
    assert statuses == {"FINISHED", "KILLED"}


@contextmanager
def interrupt_at_moment(n: int) -> Iterator[list[str]]:
    """Send SIGINT at the n-th moment at which CPython checks for signals in session.py, which is at the
    beginning of a function and after a call. The list contains the moments up to that one.
    """
    moments: list[str] = []
    before: dict[FrameType, str] = {}

    def trace(frame: FrameType, event: str, argument: object) -> TraceFunction | None:
        if frame.f_code.co_filename != session.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "exception":
            before.pop(frame, None)
        if event == "opcode":
            instruction = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            looks = instruction == "RESUME" or before.get(frame, "").startswith("CALL")
            before[frame] = instruction
            if looks and len(moments) < n:
                moments.append(f"{frame.f_code.co_qualname}, line {frame.f_lineno}")
                if len(moments) == n:
                    signal.raise_signal(signal.SIGINT)
        return trace

    sys.settrace(trace)
    try:
        yield moments
    finally:
        sys.settrace(None)


def test_runtime_that_cannot_be_used_leaves_no_run(
    make_session: MakeSession, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKENDEXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    one = make_session("finishes", MemoryTracker())
    with pytest.raises(RuntimeUnavailable):
        one.run(make_spec("theano", "keras2"), HERE, tmp_path / "out", "")
    assert one.records == []
    assert not (tmp_path / "out").exists()


# -- a store that cannot be reached ------------------------------------------------------------------


@pytest.mark.parametrize("at", ["begin", "end"])
def test_results_survive_a_store_that_becomes_unreachable(
    at: str, make_session: MakeSession, make_spec: MakeSpec, tmp_path: Path
) -> None:
    one = make_session("finishes", RefusingTracker(at))
    for _ in range(2):
        done = one.run(make_spec("jax"), HERE, tmp_path, "")
        assert done.result is not None
        assert done.result.status == "FINISHED"
        assert done.tracked_run_id is None
    assert one.untracked == ["the store is away"]


def test_store_that_cannot_be_reached_is_not_asked_again_by_the_next_run(
    make_session: MakeSession, make_spec: MakeSpec, tmp_path: Path
) -> None:
    nowhere = Destination("mlflow", "http://127.0.0.1:9", "backendexp", None)
    one = make_session("finishes")
    done = one.run(make_spec("jax"), nowhere, tmp_path, "")
    assert done.tracked_run_id is None
    (why,) = one.untracked
    assert "http://127.0.0.1:9" in why
    (asked_at, _), *_ = one._refused.values()
    one.run(make_spec("jax"), nowhere, tmp_path, "")
    assert next(iter(one._refused.values()))[0] == asked_at
    assert one.untracked == [why]


# -- runs of dead processes --------------------------------------------------------------------------


def begun(tracker: MemoryTracker, draft: record.RunRecord) -> str:
    tags = {**draft.context.tags, "backendexp.directory": str(draft.directory)}
    return tracker.begin(draft.context.id, draft.context.name, 0, tags, None)


def test_run_of_a_dead_process_is_closed_with_its_recorded_events(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    stream = streams.whole()[:9]
    draft = streams.record_of(tmp_path, make_spec(), stream, tags=dead_process(), finish=False)
    run_id = begun(tracker, draft)
    close_runs_of_dead_processes(tracker)
    assert tracker.statuses[run_id] == "KILLED"
    report = tracker.reports[run_id]
    assert report.tags["failure"] == "parent_lost"
    assert len([m for m in report.metrics if m.key == "train/loss"]) == 2
    assert record.load(draft.directory).tracked_run_id == run_id


def test_run_of_a_dead_process_that_had_ended_gets_its_own_status(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    done = streams.record_of(tmp_path, make_spec(), streams.whole(), tags=dead_process())
    run_id = begun(tracker, done)
    close_runs_of_dead_processes(tracker)
    assert tracker.statuses[run_id] == "FINISHED"
    assert record.load(done.directory).tracked_run_id == run_id


@pytest.mark.parametrize("ended", [False, True])
def test_run_of_a_dead_process_that_the_store_has_twice_is_closed_once(
    ended: bool, make_spec: MakeSpec, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    done = streams.record_of(tmp_path, make_spec(), streams.whole(), tags=dead_process())
    first, _ = begun(tracker, done), begun(tracker, done)
    if ended:
        tracker.end(first, record.report(done))
    close_runs_of_dead_processes(tracker)
    assert tracker.statuses == {first: "FINISHED"}
    assert record.load(done.directory).tracked_run_id == (None if ended else first)


def test_run_of_a_dead_process_without_its_directory_is_killed(tmp_path: Path) -> None:
    tracker = MemoryTracker()
    tags = {**dead_process(), "backendexp.directory": str(tmp_path / "removed")}
    run_id = tracker.begin("id", "name", 0, tags, None)
    close_runs_of_dead_processes(tracker)
    assert tracker.statuses[run_id] == "KILLED"
    assert run_id not in tracker.reports


def test_run_that_a_dead_process_left_half_written_is_closed(make_spec: MakeSpec, tmp_path: Path) -> None:
    tracker = MemoryTracker()
    draft = streams.record_of(tmp_path, make_spec(), streams.whole()[:9], tags=dead_process(), finish=False)
    with (draft.directory / "events.jsonl").open("ab") as file:
        file.write(b'{"event": "ep')
    run_id = begun(tracker, draft)
    close_runs_of_dead_processes(tracker)
    assert tracker.statuses[run_id] == "KILLED"


def test_run_of_a_living_process_is_left_alone(make_spec: MakeSpec, tmp_path: Path) -> None:
    tracker = MemoryTracker()
    draft = streams.record_of(tmp_path, make_spec(), [], tags=machine.tags(), finish=False)
    run_id = begun(tracker, draft)
    close_runs_of_dead_processes(tracker)
    assert tracker.statuses[run_id] == "RUNNING"
    assert record.load(draft.directory).result is None


def test_run_whose_pid_now_belongs_to_another_process_is_closed(tmp_path: Path) -> None:
    tracker = MemoryTracker()
    boot = machine.tags()["backendexp.process"].partition("-")[0]
    tags = {**machine.tags(), "backendexp.process": f"{boot}-1"}
    run_id = tracker.begin("id", "name", 0, tags, None)
    close_runs_of_dead_processes(tracker)
    assert tracker.statuses[run_id] == "KILLED"


# -- processes that cannot be seen from here ---------------------------------------------------------

# This script begins a run in argv[1], prints its directory, and lives until its stdin is closed.
LIVING = """
import sys, pathlib
from support import plans, streams
from backendexp.runs import machine, record
draft, file = record.begin(
    pathlib.Path(sys.argv[1]), plans.small_plan(), "", name="living", kind="mlflow", uri="memory:",
    experiment="backendexp", experiment_id=None, run_id=None, tags=machine.tags(),
)
for event in streams.whole()[:9]:
    file.append(event)
print(draft.directory, flush=True)
sys.stdin.read()
"""


@contextmanager
def living_run(root: Path, *prefix: str) -> Iterator[tuple[record.RunRecord, "subprocess.Popen[str]"]]:
    """Begin a run in another process, whose command line begins with `prefix`."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", LIVING, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(streams.__file__).parents[1])},
    )
    try:
        assert process.stdout is not None
        yield record.load(Path(process.stdout.readline().strip())), process
    finally:
        process.kill()
        process.communicate()


@needs_containers
@pytest.mark.parametrize("proc", [CONTAINER, CONTAINER[:-1]], ids=["own proc", "proc of the outer one"])
def test_run_of_a_container_with_this_host_name_lives_until_its_process_is_dead(
    proc: list[str], tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    with living_run(tmp_path, *proc) as (draft, process):
        assert draft.context.tags["backendexp.host"] == machine.host()
        run_id = begun(tracker, draft)
        before = (draft.directory / "events.jsonl").read_bytes()
        close_runs_of_dead_processes(tracker)
        assert tracker.statuses[run_id] == "RUNNING"
        assert (draft.directory / "events.jsonl").read_bytes() == before
        assert record.close_lost(draft).result is None
        process.kill()
        process.wait()
        assert reached(lambda: record.close_lost(draft).result is not None, 30)
    close_runs_of_dead_processes(tracker)
    assert tracker.statuses[run_id] == "KILLED"
    assert tracker.reports[run_id].tags["failure"] == "parent_lost"


@needs_containers
def test_run_of_a_container_whose_directory_is_not_here_is_left_alone(tmp_path: Path) -> None:
    tracker = MemoryTracker()
    with living_run(tmp_path, *CONTAINER) as (draft, _):
        tags = {**draft.context.tags, "backendexp.directory": str(tmp_path / "in another container")}
        run_id = tracker.begin("id", "name", 0, tags, None)
        close_runs_of_dead_processes(tracker)
    assert tracker.statuses[run_id] == "RUNNING"


def test_nothing_is_written_into_the_run_of_a_living_process_that_was_taken_for_dead(tmp_path: Path) -> None:
    """This happens if someone changes its tags by hand."""
    tracker = MemoryTracker()
    with living_run(tmp_path) as (draft, _):
        context = draft.directory / "context.json"
        dead = dead_process()["backendexp.process"]
        context.write_text(context.read_text().replace(draft.context.tags["backendexp.process"], dead))
        wrong = record.load(draft.directory)
        assert machine.fate(wrong.context.tags) is machine.Fate.DEAD
        run_id = begun(tracker, wrong)
        before = (draft.directory / "events.jsonl").read_bytes()
        close_runs_of_dead_processes(tracker)
        assert tracker.statuses[run_id] == "RUNNING"
        assert (draft.directory / "events.jsonl").read_bytes() == before
        assert not (draft.directory / "result.json").exists()


def test_run_of_another_host_is_left_alone() -> None:
    tracker = MemoryTracker()
    run_id = tracker.begin("id", "name", 0, {**dead_process(), "backendexp.host": "elsewhere"}, None)
    close_runs_of_dead_processes(tracker)
    assert tracker.statuses[run_id] == "RUNNING"


# -- where to track ----------------------------------------------------------------------------------


def test_runs_go_to_a_database_in_this_directory_by_default(project: Path) -> None:
    assert destination(TrackingConfig(), project) == Destination(
        "mlflow", f"sqlite:///{project}/mlflow.db", "backendexp", None
    )


def test_environment_names_store_and_experiment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "7")
    assert destination(TrackingConfig(), project) == Destination(
        "mlflow", "http://tracking:5000", "ours", "7"
    )


def test_configuration_takes_precedence_over_the_environment(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "7")
    named = TrackingConfig(uri="sqlite:///mine.db", experiment="mine")
    assert destination(named, project) == Destination("mlflow", f"sqlite:///{project}/mine.db", "mine", None)
