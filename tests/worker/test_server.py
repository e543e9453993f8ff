"""The real worker on a real engine imports once, and then serves runs that end in various ways."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backendexp.runs import results
from backendexp.runs.events import Event
from backendexp.runs.plan import RunSpec
from backendexp.runs.results import RunResult
from backendexp.runs.worker_pool import WORKER, Worker, worker_environment
from backendexp.worker import server

MakeSpec = Callable[..., RunSpec]


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """A worker that has imported Keras on Theano and forks a child for every run."""
    from backendexp.runs import plan
    from support.plans import small_config

    config = small_config()
    config.backend.name = "theano"
    one = Worker(sys.executable, worker_environment(plan.plan_run(config), own_interpreter=True))
    yield one
    one.close()


def run(
    worker: Worker, spec: RunSpec, directory: Path, hear: Callable[[Event], None] = lambda event: None
) -> RunResult:
    heard: list[Event] = []

    def keep(event: Event) -> None:
        heard.append(event)
        hear(event)

    worker.run(spec, directory, keep)
    return results.fold(heard)


@pytest.mark.slow
def test_equal_plans_give_equal_losses_in_separate_processes(
    worker: Worker, make_spec: MakeSpec, tmp_path: Path
) -> None:
    pids: list[int] = []

    def note(event: Event) -> None:
        if event["event"] == "started":
            pids.append(event["pid"])

    spec = make_spec("theano", model__dropout=0.5)
    first, second = (run(worker, spec, tmp_path, note) for _ in range(2))
    assert (first.status, second.status) == ("FINISHED", "FINISHED")
    assert [e.loss for e in first.epochs] == [e.loss for e in second.epochs]
    assert first.weights_digest == second.weights_digest
    assert len({*pids, worker._process.pid}) == 3
    assert first.start == "fork"
    assert first.facts["engine"] == "PyTensor"
    assert first.peak_bytes is not None
    assert first.peak_bytes > 2**20


@pytest.mark.slow
def test_loss_that_is_not_finite_fails_the_run_with_its_epoch(
    worker: Worker, make_spec: MakeSpec, tmp_path: Path
) -> None:
    spec = make_spec(
        "theano",
        training__learning_rate=1e6,
        training__optimizer="sgd",
        training__loss="mean_squared_error",
        model__output_activation="linear",
    )
    result = run(worker, spec, tmp_path)
    assert (result.status, result.reason) == ("FAILED", "non_finite_loss")
    assert "training diverged. Lower training.learning_rate" in (result.message or "")


@pytest.mark.slow
def test_exception_of_keras_fails_the_run_with_its_traceback(
    worker: Worker, make_spec: MakeSpec, tmp_path: Path
) -> None:
    spec = make_spec("theano")
    unchecked = replace(spec, training=replace(spec.training, optimizer="rsmprop"))
    result = run(worker, unchecked, tmp_path)
    assert (result.status, result.reason) == ("FAILED", "exception")
    assert "rsmprop" in (result.message or "")
    assert (result.traceback or "").startswith("Traceback (most recent call last):")


@pytest.mark.slow
def test_killed_child_leaves_its_epochs_and_a_worker_that_serves_the_next_run(
    worker: Worker, make_spec: MakeSpec, tmp_path: Path
) -> None:
    pids: list[int] = []

    def kill_at_first_epoch(event: Event) -> None:
        if event["event"] == "started":
            pids.append(event["pid"])
        if event["event"] == "epoch" and event["epoch"] == 1:
            os.kill(pids[0], signal.SIGKILL)

    lost = run(worker, make_spec("theano", training__epochs=10**6), tmp_path, kill_at_first_epoch)
    assert (lost.status, lost.reason) == ("FAILED", "killed_by_signal")
    assert "SIGKILL" in (lost.message or "")
    assert lost.epochs[-1].number == len(lost.epochs) >= 1
    assert run(worker, make_spec("theano"), tmp_path).status == "FINISHED"


def test_worker_that_keras_gives_another_backend_refuses(make_spec: MakeSpec, tmp_path: Path) -> None:
    """A keras.json, or a package that sets the backend, can cause this."""
    (tmp_path / "keras.py").write_text(
        "__version__ = '3.15.1'\nclass backend:\n    @staticmethod\n    def backend(): return 'tensorflow'\n"
    )
    spec = make_spec("jax")
    environment = worker_environment(spec, own_interpreter=True) | {"PYTHONPATH": str(tmp_path)}
    one = Worker(sys.executable, environment)
    result = run(one, spec, tmp_path)
    one.close()
    assert (result.status, result.reason) == ("FAILED", "wrong_backend")
    assert "asked for backend 'jax', but keras 3.15.1" in (result.message or "")
    assert "runs on 'tensorflow'" in (result.message or "")


def test_worker_whose_parent_was_killed_during_the_import_leaves_no_log(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    (tmp_path / "keras.py").write_text("raise ImportError('no', name='jaxlib')\n")
    log = tmp_path / "worker.log"
    log.touch()
    environment = worker_environment(make_spec("jax"), own_interpreter=True)
    environment |= {"PYTHONPATH": str(tmp_path), "BACKENDEXP_WORKER_LOG": str(log)}
    one = subprocess.Popen(
        [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert one.stdin is not None
    assert one.stdout is not None
    one.stdin.close()
    one.stdout.close()
    assert one.wait(timeout=60) == 1
    assert not log.exists()


def test_what_an_engine_prints_goes_to_the_log_and_not_to_the_parent(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    (tmp_path / "keras.py").write_text(
        "import os, sys\n"
        "print('printed at import')\n"
        "os.write(1, b'written at import\\n')\n"
        "os.write(2, b'a warning at import\\n')\n"
        "raise ImportError('no', name='jaxlib')\n"
    )
    spec = make_spec("jax")
    environment = worker_environment(spec, own_interpreter=True) | {"PYTHONPATH": str(tmp_path)}
    one = Worker(sys.executable, environment)
    result = run(one, spec, tmp_path)
    printed = one._log.read_text()
    one.close()
    assert (result.status, result.reason) == ("FAILED", "engine_missing")
    for text in ("printed at import", "written at import", "a warning at import"):
        assert text in printed


def test_lines_are_cut_where_they_end_and_not_where_they_arrive() -> None:
    read, write = os.pipe()
    lines = server._Lines(read)
    os.write(write, b'{"a": 1}\n{"b"')
    assert lines.read() == [{"a": 1}]
    os.write(write, b": 2}\n\n")
    assert lines.read() == [{"b": 2}]
    os.close(write)
    assert lines.read() is None
    os.close(read)
