"""Worker processes as the parent handles them: it starts them, asks them for runs, and stops them.

A worker serves one interpreter and environment, so one runtime, one backend and one number of threads. The
pool keeps workers that fork, so that the next run of the same kind needs no import.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backendexp import cache
from backendexp.config import bundled
from backendexp.errors import WorkerError
from backendexp.runs import events, results
from backendexp.runs.events import Event
from backendexp.runs.plan import RunSpec
from backendexp.runtimes import catalogue
from backendexp.runtimes.inventory import PATHS_OF_AN_INTERPRETER
from backendexp.runtimes.prepare import Interpreter
from backendexp.tracking import addresses

WORKER = Path(__file__).parents[1] / "worker" / "__main__.py"
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NPROC",  # the size of XLA's own thread pool
)
# Variables of the tracking store and of Hydra, of which the former are set when this process first uses the
# store. A worker with other variables than the first one would import Keras again. And a variable that
# TensorFlow 2 sets in a program that imports it, which changes TensorFlow 1.14.
_OF_THE_STORE = (*addresses.MLFLOW_VARIABLES, "PGCONNECT_TIMEOUT", addresses.KEPT)
_NOT_FOR_WORKERS = (*_OF_THE_STORE, "HYDRA_", "TF2_BEHAVIOR")
# The worker sends every event immediately, so none can still arrive this long after the worker was killed.
_LAST_WORDS_S = 1.0
# If only the process of a run was killed, the worker says so. On a busy machine, that takes a while.
_NOTICED_S = 5.0


@dataclass(frozen=True)
class _Kind:
    """What runs must have in common to share a worker."""

    python: str
    environment: tuple[tuple[str, str], ...]
    start: str


@dataclass(frozen=True)
class Surroundings:
    """What the environment of a worker depends on: fields of `RunSpec`."""

    backend: str
    runtime: str
    threads: int
    dtype: str = "float32"
    start: str = "fork"
    device: str = "auto"


def worker_environment(spec: RunSpec, own_interpreter: bool) -> dict[str, str]:
    """The environment of the worker for a plan, see `environment_of`."""
    around = Surroundings(
        spec.backend, spec.runtime, spec.threads, spec.training.dtype, spec.start, spec.engine.device
    )
    return environment_of(around, own_interpreter)


def environment_of(spec: Surroundings, own_interpreter: bool) -> dict[str, str]:
    """The environment of a worker.

    It is free of the user's ~/.keras, compile caches and MLflow settings.
    own_interpreter: whether the worker runs on this process's interpreter. Any other interpreter does not get
        the variables that say where this one finds its packages.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_FOR_WORKERS)}
    if not own_interpreter:
        for name in PATHS_OF_AN_INTERPRETER:
            environment.pop(name, None)
    compiled = cache.writable("compiled", spec.runtime)
    environment.update(
        {name: str(spec.threads) for name in THREAD_VARIABLES},
        KERAS_BACKEND=spec.backend,
        KERAS_HOME=str(cache.writable("keras", spec.runtime)),
        BACKENDEXP_COMPILE_CACHE=str(compiled),
        BACKENDEXP_WORKER_START=spec.start,
        BACKENDEXP_USER_FOLDER=str(Path.cwd()),
        # The log is UTF-8 whatever the terminal's encoding is, so that an engine can print anything.
        PYTHONIOENCODING="utf-8:backslashreplace",
    )
    if spec.device == "cpu":
        environment.update(CUDA_VISIBLE_DEVICES="-1", JAX_PLATFORMS="cpu", KERAS_TORCH_DEVICE="cpu")
    if spec.backend == "jax":
        if spec.threads == 1:
            flags = environment.get("XLA_FLAGS", "")
            environment["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
        if spec.dtype == "float64":
            environment["JAX_ENABLE_X64"] = "1"
    old = catalogue.RUNTIMES[spec.runtime].generation == 2
    if spec.backend == "theano" and not old:
        flags = environment.get("PYTENSOR_FLAGS", "")
        environment["PYTENSOR_FLAGS"] = f"{flags},base_compiledir={compiled}".lstrip(",")
    if spec.backend == "theano" and old:
        # Theano's keys of compiled modules contain hashes. With a random hash seed it would compile some
        # modules again in every process.
        environment["PYTHONHASHSEED"] = "0"
        environment["THEANO_FLAGS"] = f"device=cpu,floatX={spec.dtype},base_compiledir={compiled}"
    return environment


class Worker:
    """One worker process. The first `run` waits until the worker is ready, not the start of the worker, so
    that the parent can do something else while the worker imports keras.
    """

    def __init__(self, python: str, environment: dict[str, str], script: Path | None = None) -> None:
        descriptor, log = tempfile.mkstemp(prefix="backendexp-worker-", suffix=".log")
        os.close(descriptor)
        self._log = Path(log)
        self._process = subprocess.Popen(
            [python, "-u", str(script or WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**environment, "BACKENDEXP_WORKER_LOG": log},
            # Ctrl-C must not reach the worker: the parent decides how the run ends.
            start_new_session=sys.platform != "win32",
        )
        self._heard: queue.SimpleQueue[Event | WorkerError | None] = queue.SimpleQueue()
        self._ready: Event | None = None
        self._run_pid: int | None = None
        self.used = False
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._heard.put(events.parse(line))
        except WorkerError as error:
            self._heard.put(error)
        finally:
            self._heard.put(None)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def run(self, spec: RunSpec, directory: Path, hear: Callable[[Event], None]) -> None:
        """Train `spec`.

        directory: of the run.
        hear: gets every event. The last one says how the run ended.

        The plan's timeout_s limits the import, and then the run, each for itself. KeyboardInterrupt ends the
        run, becomes an event, and is raised again.
        """
        fields = spec.to_json()
        if (file := bundled.file_of(spec.data)) is not None:
            # The path differs between machines, so it is no part of the plan.
            fields["data"]["file"] = file
        self.serve({"command": "run", "spec": fields}, directory, spec.timeout_s, hear)

    def serve(
        self, order: dict[str, Any], directory: Path, timeout_s: float | None, hear: Callable[[Event], None]
    ) -> None:
        """Send an order, see `worker.contract`, and pass on the events until its process has ended.

        directory, timeout_s, hear: as for `run`.
        """
        self.used = True
        try:
            if self._ready is None:
                self._ready = self._until("ready", "refused", None, timeout_s=timeout_s, hear=hear)
            else:
                hear(self._ready)
            if self._ready is None or self._ready["event"] != "ready":
                return
            with contextlib.suppress(OSError):  # on a full disk, the result matters more than the log
                (directory / "worker.log").write_bytes(self._log.read_bytes())
            self._send({**order, "directory": str(directory)})
            self._until("exited", None, timeout_s=timeout_s, hear=hear)
        except KeyboardInterrupt as interrupt:
            self._kill_run()
            self._drain(hear)
            hear(events.ended(events.INTERRUPTED, f"interrupted by {_name_of(interrupt)}"))
            raise

    def _send(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((json.dumps(order) + "\n").encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the worker has died, and its last events are in the queue

    def _until(
        self, *names: str | None, timeout_s: float | None, hear: Callable[[Event], None]
    ) -> Event | None:
        """Pass events to `hear` until one of `names` arrives, and return that one. Returns None if the worker
        ends first, or if the time is up.

        timeout_s: None for no limit.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            try:
                # On Windows, Ctrl-C does not interrupt a wait without a timeout.
                event = self._heard.get(timeout=_at_most(deadline, 3600.0))
            except queue.Empty:
                if deadline is not None and time.monotonic() >= deadline:
                    self._kill_run()
                    self._drain(hear)
                    hear(events.ended(events.DEADLINE, f"stopped at its deadline: timeout_s={timeout_s:g}"))
                    return None
                continue
            if isinstance(event, WorkerError):
                self._process.kill()
                self._process.wait()  # otherwise it would count as alive, and get the next run
                hear(events.ended(events.WORKER_LOST, str(event)))
                return None
            if event is None:
                hear(events.ended(events.WORKER_LOST, self._last_words()))
                return None
            if event["event"] == "started":
                self._run_pid = event["pid"]
            elif event["event"] == "exited":
                self._run_pid = None
            hear(event)
            if event["event"] in names:
                return event

    def _last_words(self) -> str:
        try:
            code = self._process.wait(timeout=_LAST_WORDS_S)
        except subprocess.TimeoutExpired:  # it has closed its pipe, but is still running
            self._process.kill()
            code = self._process.wait()
        how = f"was killed by {results.signal_name(-code)}" if code < 0 else f"left with code {code}"
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return "\n".join([f"the worker {how}. Its last lines:", *lines[-8:]])

    def _kill_run(self) -> None:
        """Kill the process of the run. If the worker has no run under way, kill the worker itself."""
        if self._run_pid is None or self._run_pid == self._process.pid:
            self._process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(self._run_pid, signal.SIGKILL)

    def _drain(self, hear: Callable[[Event], None]) -> None:
        """Pass on the events that the worker had sent before it was killed, up to the end of the run."""
        deadline = time.monotonic() + _NOTICED_S
        while True:
            try:
                event = self._heard.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                # What it says later would count for the next run.
                self._process.kill()
                self._process.wait()
                return
            if event is None or isinstance(event, WorkerError):
                return
            hear(event)
            if event["event"] == "exited":
                self._run_pid = None
                return

    def close(self) -> None:
        """Stop the worker, and a run that is under way in it."""
        assert self._process.stdin is not None
        if self._ready is None:  # it is importing, and would notice the closed pipe only seconds later
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):  # a dead worker has not read its last order
            self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.unlink(missing_ok=True)


class WorkerPool:
    """The workers of this process, one for each kind of run."""

    def __init__(self) -> None:
        self._workers: dict[_Kind, Worker] = {}

    def start(self, spec: RunSpec, interpreter: Interpreter) -> Worker:
        """The worker for a plan: an existing one, or a new one, which imports keras in the background."""
        environment = worker_environment(spec, interpreter.own)
        kind = _Kind(interpreter.python, tuple(sorted(environment.items())), spec.start)
        worker = self._workers.get(kind)
        if worker is not None and ((spec.start == "spawn" and worker.used) or not worker.alive):
            worker.close()
            worker = None
        if worker is None:
            worker = self._workers[kind] = Worker(interpreter.python, environment)
        return worker

    def close(self) -> None:
        while self._workers:
            self._workers.popitem()[1].close()


def _at_most(deadline: float | None, seconds: float) -> float:
    if deadline is None:
        return seconds
    return max(0.0, min(seconds, deadline - time.monotonic()))


def _name_of(interrupt: KeyboardInterrupt) -> str:
    return str(interrupt) or "Ctrl-C"
