"""The parent's side of the contract, tested with real processes that keep or break it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendexp import cache
from backendexp.cli import main
from backendexp.runs import results, worker_pool
from backendexp.runs.events import Event
from backendexp.runs.plan import RunSpec
from backendexp.runs.results import RunResult
from backendexp.runs.worker_pool import Worker, WorkerPool, worker_environment
from backendexp.runtimes.prepare import Interpreter
from support.sessions import SCRIPTS

MakeSpec = Callable[..., RunSpec]
Start = Callable[[str], Worker]


@pytest.fixture
def start(make_spec: MakeSpec) -> Iterator[Start]:
    """A function: start("sleeps") starts tests/support/workers/sleeps.py. All workers are closed after the
    test.
    """
    started: list[Worker] = []

    def start(script: str) -> Worker:
        environment = worker_environment(make_spec("jax"), own_interpreter=True)
        started.append(Worker(sys.executable, environment, SCRIPTS / f"{script}.py"))
        return started[-1]

    yield start
    for worker in started:
        worker.close()


def heard_of(worker: Worker, spec: RunSpec, directory: Path) -> tuple[list[Event], RunResult]:
    heard: list[Event] = []
    worker.run(spec, directory, heard.append)
    return heard, results.fold(heard)


def names(heard: list[Event]) -> list[str]:
    return [event["event"] for event in heard]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass within 30 s"
        time.sleep(0.01)


def test_finished_run_sends_all_events_from_ready_to_exited(
    start: Start, make_spec: MakeSpec, tmp_path: Path
) -> None:
    heard, result = heard_of(start("finishes"), make_spec("jax", training__epochs=4), tmp_path)
    assert names(heard)[:2] == ["ready", "started"]
    assert names(heard)[-2:] == ["finished", "exited"]
    assert result.status == "FINISHED"
    assert [epoch.number for epoch in result.epochs] == [1, 2, 3, 4]
    assert result.loss == 0.25


def test_second_run_of_a_worker_gets_the_ready_event_again(
    start: Start, make_spec: MakeSpec, tmp_path: Path
) -> None:
    worker = start("finishes")
    first, _ = heard_of(worker, make_spec("jax", training__epochs=1), tmp_path)
    second, result = heard_of(worker, make_spec("jax", training__epochs=2), tmp_path)
    assert second[0] == first[0]
    assert len(result.epochs) == 2
    assert worker.alive


def test_what_the_engine_printed_at_import_is_in_the_log_of_every_run(
    start: Start, make_spec: MakeSpec, tmp_path: Path
) -> None:
    worker = start("finishes")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        heard_of(worker, make_spec("jax"), tmp_path / name)
        assert (tmp_path / name / "worker.log").exists()


def test_worker_killed_mid_epoch_leaves_a_failed_run_with_its_last_epoch(
    start: Start, make_spec: MakeSpec, tmp_path: Path
) -> None:
    worker = start("dies_by_signal")
    heard, result = heard_of(worker, make_spec("jax"), tmp_path)
    assert names(heard)[-1] == "ended"
    assert (result.status, result.reason) == ("FAILED", "worker_lost")
    assert "the worker was killed by SIGKILL" in (result.message or "")
    assert [epoch.loss for epoch in result.epochs] == [0.5, 0.4]
    assert not worker.alive


def test_forked_run_that_was_killed_leaves_its_worker_for_the_next_run(
    start: Start, make_spec: MakeSpec, tmp_path: Path
) -> None:
    worker = start("reports_a_killed_run")
    for _ in range(2):
        _, result = heard_of(worker, make_spec("jax"), tmp_path)
        assert (result.status, result.reason) == ("FAILED", "killed_by_signal")
        assert "SIGKILL. The kernel does that when memory runs out" in (result.message or "")
        assert result.epochs[-1].number == 1
    assert worker.alive


def test_worker_that_exits_silently_is_reported_with_its_code_and_its_last_lines(
    start: Start, make_spec: MakeSpec, tmp_path: Path
) -> None:
    heard, result = heard_of(start("exits_silently"), make_spec("jax"), tmp_path)
    assert names(heard) == ["ended"]
    assert (result.status, result.reason) == ("FAILED", "worker_lost")
    assert result.message == (
        "the worker left with code 7. Its last lines:\na line before\nIllegal instruction in libengine"
    )


def test_garbage_on_the_pipe_ends_the_run_and_the_worker(
    start: Start, make_spec: MakeSpec, tmp_path: Path
) -> None:
    worker = start("sends_garbage")
    _, result = heard_of(worker, make_spec("jax"), tmp_path)
    assert (result.status, result.reason) == ("FAILED", "worker_lost")
    assert "WARNING: the engine prints here" in (result.message or "")
    assert "which is not an event" in (result.message or "")
    wait_for(lambda: not worker.alive)


def test_refusal_is_reported_to_every_run_that_is_asked_of_the_worker(
    start: Start, make_spec: MakeSpec, tmp_path: Path
) -> None:
    worker = start("refuses")
    for _ in range(2):
        heard, result = heard_of(worker, make_spec("jax"), tmp_path)
        assert names(heard) == ["refused"]
        assert (result.status, result.reason) == ("FAILED", "engine_missing")
        assert result.message == "backend 'jax' cannot be imported: No module named 'jax'"


def test_worker_of_another_version_is_not_asked_to_run(
    start: Start, make_spec: MakeSpec, tmp_path: Path
) -> None:
    worker = start("speaks_another_version")
    heard, result = heard_of(worker, make_spec("jax"), tmp_path)
    assert names(heard) == ["ended"]
    assert result.message == "a worker speaks version 99 of the contract, and this is version 1"
    wait_for(lambda: not worker.alive)


def test_worker_without_a_version_ends_the_run_without_hanging(
    start: Start, make_spec: MakeSpec, tmp_path: Path
) -> None:
    _, result = heard_of(start("says_no_version"), make_spec("jax", timeout_s=3.0), tmp_path)
    assert (result.status, result.reason) == ("FAILED", "worker_lost")


def test_deadline_ends_a_run_that_hangs_and_keeps_its_epochs(
    start: Start, make_spec: MakeSpec, tmp_path: Path
) -> None:
    worker = start("sleeps")
    began = time.monotonic()
    _, result = heard_of(worker, make_spec("jax", timeout_s=2.0), tmp_path)
    assert time.monotonic() - began < 30
    assert (result.status, result.reason) == ("FAILED", "deadline")
    assert result.message == "stopped at its deadline: timeout_s=2"
    assert result.epochs[-1].number == 1
    wait_for(lambda: not worker.alive)


def test_deadline_ends_an_import_that_hangs(start: Start, make_spec: MakeSpec, tmp_path: Path) -> None:
    worker = start("sleeps_at_import")
    heard, result = heard_of(worker, make_spec("jax", timeout_s=0.5), tmp_path)
    assert names(heard) == ["ended"]
    assert result.reason == "deadline"
    wait_for(lambda: not worker.alive)


def test_deadline_just_after_the_end_of_a_run_does_not_crash(
    start: Start, make_spec: MakeSpec, tmp_path: Path
) -> None:
    _, result = heard_of(start("loses_its_run"), make_spec("jax", timeout_s=2.0), tmp_path)
    assert (result.status, result.reason) == ("FAILED", "deadline")


def test_worker_that_goes_silent_but_keeps_running_is_ended(
    start: Start, make_spec: MakeSpec, tmp_path: Path
) -> None:
    began = time.monotonic()
    _, result = heard_of(start("falls_silent"), make_spec("jax", timeout_s=3.0), tmp_path)
    assert time.monotonic() - began < 15
    assert result.status == "FAILED"


def test_worker_that_reads_no_orders_is_lost_and_can_be_closed(make_spec: MakeSpec, tmp_path: Path) -> None:
    environment = worker_environment(make_spec("jax"), own_interpreter=True)
    worker = Worker(sys.executable, environment, SCRIPTS / "reads_no_orders.py")
    _, result = heard_of(worker, make_spec("jax"), tmp_path)
    assert (result.status, result.reason) == ("FAILED", "worker_lost")
    worker.close()
    assert not worker.alive


@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")],
)
@pytest.mark.usefixtures("interruptible")
def test_interrupt_ends_the_run_is_recorded_and_raised_again(
    number: signal.Signals, name: str, start: Start, make_spec: MakeSpec, tmp_path: Path
) -> None:
    worker = start("sleeps")
    heard: list[Event] = []
    handlers = {signal.SIGTERM: main._terminate, signal.SIGHUP: main._terminate}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}

    def hear(event: Event) -> None:
        heard.append(event)
        if event["event"] == "epoch":
            threading.Timer(0.2, os.kill, (os.getpid(), number)).start()

    try:
        with pytest.raises(KeyboardInterrupt):
            worker.run(make_spec("jax"), tmp_path, hear)
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)
    result = results.fold(heard)
    assert (result.status, result.reason) == ("KILLED", "interrupted")
    assert result.message == f"interrupted by {name}"
    assert result.epochs[-1].number == 1
    wait_for(lambda: not worker.alive)


def test_closing_a_worker_ends_its_process_and_removes_its_log(make_spec: MakeSpec, tmp_path: Path) -> None:
    environment = worker_environment(make_spec("jax"), own_interpreter=True)
    worker = Worker(sys.executable, environment, SCRIPTS / "sleeps_at_import.py")
    log = worker._log
    assert log.exists()
    worker.close()
    assert not worker.alive
    assert not log.exists()


# -- environment -------------------------------------------------------------------------------------


def test_environment_fixes_backend_and_threads_of_every_engine(make_spec: MakeSpec) -> None:
    environment = worker_environment(make_spec("jax", threads=3), own_interpreter=True)
    assert environment["KERAS_BACKEND"] == "jax"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        assert environment[name] == "3"


def test_users_keras_and_mlflow_settings_do_not_reach_the_worker(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "a" * 32)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://example.invalid")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", "/home/user/.keras")
    monkeypatch.setenv("A_SETTING_OF_THE_USER", "stays")
    monkeypatch.setenv("TF2_BEHAVIOR", "1")  # TensorFlow 2 sets this in a program that imports it
    environment = worker_environment(make_spec("tensorflow"), own_interpreter=True)
    assert not [name for name in environment if name.startswith(("MLFLOW_", "TF2_"))]
    assert environment["KERAS_BACKEND"] == "tensorflow"
    assert environment["KERAS_HOME"] == str(cache.folder("keras", "keras3"))
    assert environment["A_SETTING_OF_THE_USER"] == "stays"


def test_another_interpreter_is_kept_from_our_python_paths(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/somewhere")
    other = worker_environment(make_spec("theano", "keras2"), own_interpreter=False)
    assert not {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"} & set(other)
    own = worker_environment(make_spec("jax"), own_interpreter=True)
    assert own["PYTHONPATH"] == "/somewhere"


def test_jax_gets_double_precision_and_one_thread_when_they_are_asked_for(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/tmp/x")
    spec = make_spec("jax", threads=1, training__dtype="float64")
    environment = worker_environment(spec, own_interpreter=True)
    assert environment["JAX_ENABLE_X64"] == "1"
    assert environment["XLA_FLAGS"] == "--xla_dump_to=/tmp/x --xla_cpu_multi_thread_eigen=false"
    assert "JAX_ENABLE_X64" not in worker_environment(make_spec("jax"), own_interpreter=True)


def test_theano_compiles_into_our_cache_in_the_dtype_of_the_plan(make_spec: MakeSpec) -> None:
    spec = make_spec("theano", "keras2", training__dtype="float64")
    flags = worker_environment(spec, own_interpreter=False)["THEANO_FLAGS"]
    assert flags == f"device=cpu,floatX=float64,base_compiledir={cache.folder('compiled', 'keras2')}"


def test_pytensor_compiles_into_our_cache_and_keeps_the_flags_of_the_user(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = cache.folder("compiled", "keras3")
    monkeypatch.delenv("PYTENSOR_FLAGS", raising=False)
    flags = worker_environment(make_spec("theano"), own_interpreter=True)["PYTENSOR_FLAGS"]
    assert flags == f"base_compiledir={compiled}"
    monkeypatch.setenv("PYTENSOR_FLAGS", "cxx=")
    flags = worker_environment(make_spec("theano"), own_interpreter=True)["PYTENSOR_FLAGS"]
    assert flags == f"cxx=,base_compiledir={compiled}"


# -- pool --------------------------------------------------------------------------------------------


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    """A pool whose workers run tests/support/workers/finishes.py, which is ready immediately."""
    monkeypatch.setattr(worker_pool, "WORKER", SCRIPTS / "finishes.py")
    pool = WorkerPool()
    yield pool
    pool.close()


OWN = Interpreter(sys.executable, own=True)


def test_runs_of_one_kind_share_a_worker(pool: WorkerPool, make_spec: MakeSpec) -> None:
    first = pool.start(make_spec("jax", seed=1), OWN)
    assert pool.start(make_spec("jax", seed=2, training__epochs=5), OWN) is first


@pytest.mark.parametrize(
    ("backend", "fields"),
    [("tensorflow", {}), ("jax", {"threads": 2}), ("jax", {"training__dtype": "float64"})],
)
def test_runs_that_need_another_environment_get_another_worker(
    backend: str, fields: dict[str, object], pool: WorkerPool, make_spec: MakeSpec
) -> None:
    first = pool.start(make_spec("jax"), OWN)
    second = pool.start(make_spec(backend, **fields), OWN)
    assert second is not first
    assert first.alive


def test_dead_worker_is_replaced(pool: WorkerPool, make_spec: MakeSpec, tmp_path: Path) -> None:
    first = pool.start(make_spec("jax"), OWN)
    first._process.kill()
    first._process.wait()
    second = pool.start(make_spec("jax"), OWN)
    assert second is not first
    assert heard_of(second, make_spec("jax"), tmp_path)[1].status == "FINISHED"


def test_worker_that_broke_the_contract_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch, make_spec: MakeSpec, tmp_path: Path
) -> None:
    """Ending it takes a moment, in which the next run may begin."""
    monkeypatch.setattr(worker_pool, "WORKER", SCRIPTS / "sends_garbage.py")
    pool = WorkerPool()
    try:
        for _ in range(5):
            worker = pool.start(make_spec("jax"), OWN)
            _, result = heard_of(worker, make_spec("jax"), tmp_path)
            assert "WARNING: the engine prints here" in (result.message or "")
    finally:
        pool.close()


def test_spawned_runs_never_share_a_process(pool: WorkerPool, make_spec: MakeSpec) -> None:
    spec = make_spec("jax", runtime__start="spawn")
    first = pool.start(spec, OWN)
    assert pool.start(spec, OWN) is first  # it was started early and has not been used yet
    first.used = True
    second = pool.start(spec, OWN)
    assert second is not first
    assert not first.alive


def test_closed_pool_leaves_no_process(pool: WorkerPool, make_spec: MakeSpec) -> None:
    started = [pool.start(make_spec(backend), OWN) for backend in ("jax", "tensorflow")]
    pool.close()
    assert not any(worker.alive for worker in started)


@given(st.floats(0.1, 1e6), st.floats(0, 1e6))
def test_waits_never_exceed_the_deadline(seconds: float, left: float) -> None:
    wait = worker_pool._at_most(time.monotonic() + left, seconds)
    assert 0 <= wait <= min(seconds, left)
    assert worker_pool._at_most(None, seconds) == seconds


# -- refusals of the real worker ---------------------------------------------------------------------


def test_interpreter_without_keras_is_refused_by_the_worker_itself(
    bare_python: str, make_spec: MakeSpec, tmp_path: Path
) -> None:
    spec = make_spec("jax")
    worker = Worker(bare_python, worker_environment(spec, own_interpreter=False))
    _, result = heard_of(worker, spec, tmp_path)
    worker.close()
    assert (result.status, result.reason) == ("FAILED", "keras_missing")
    assert f"backend 'jax' cannot be imported by {bare_python}: No module named 'keras'" in (
        result.message or ""
    )
