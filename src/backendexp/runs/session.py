"""A session is the work of one process: its workers, its tracking stores, and the runs that it has made."""

import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from backendexp import places
from backendexp.config.schema import TrackingConfig
from backendexp.errors import TrackingError
from backendexp.runs import events, machine, record, results
from backendexp.runs.events import Event
from backendexp.runs.machine import Fate
from backendexp.runs.plan import RunSpec
from backendexp.runs.progress import Progress, progress_for
from backendexp.runs.record import RunRecord
from backendexp.runs.worker_pool import WorkerPool
from backendexp.runtimes import prepare
from backendexp.tracking import addresses
from backendexp.tracking.base import Tracker
from backendexp.tracking.mlflow_connection import absolute_uri, default_uri
from backendexp.tracking.stores import open_tracker

DEFAULT_EXPERIMENT = "backendexp"
# If a store could not be reached, the first run that begins this much later tries again.
_ASK_AGAIN_S = 60.0
# Windows has neither SIGHUP nor SIGUSR2, which Slurm sends before the time limit of a job.
_ENDINGS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2") if hasattr(signal, name)
]


@dataclass(frozen=True)
class Destination:
    """Where runs are tracked.

    kind: mlflow, or none for runs that stay in their directories.
    uri: without a password, see `tracking.addresses`.
    experiment, experiment_id: see `record.Context`.
    """

    kind: str
    uri: str
    experiment: str
    experiment_id: str | None


def destination(tracking: TrackingConfig, folder: Path) -> Destination:
    """Where runs are tracked, by MLflow's rules: the configuration overrides the environment, and the
    environment overrides the defaults.

    folder: relative addresses start from here.
    """
    uri = tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri(folder)
    by_id = os.environ.get("MLFLOW_EXPERIMENT_ID") if tracking.experiment is None else None
    name = tracking.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
    return Destination(tracking.kind, addresses.keep(absolute_uri(uri, folder)), name, by_id)


@dataclass
class Session:
    """The work of one process.

    joined: the MLflow run that `mlflow run` has made; the first run, or the summary run, continues it.
    records: the runs that this process has made, in their order, except those that it was told to forget.
    untracked: why the store does not have all of them.
    unwritten: why their directories do not have all of them.
    """

    joined: str | None = None
    records: list[RunRecord] = field(default_factory=list)
    untracked: list[str] = field(default_factory=list)
    unwritten: list[str] = field(default_factory=list)
    _pool: WorkerPool = field(default_factory=WorkerPool)
    _trackers: dict[Destination, Tracker] = field(default_factory=dict)
    _refused: dict[Destination, tuple[float, str]] = field(default_factory=dict)
    # Where the runs are tracked that are not completely in their directories, by these directories.
    _cut_short: dict[Path, Destination] = field(default_factory=dict)

    def take_joined(self) -> str | None:
        joined, self.joined = self.joined, None
        return joined

    def start_worker(self, spec: RunSpec) -> None:
        """Start the worker of a plan, so that it imports keras while this process does something else."""
        self._pool.start(spec, prepare.prepare(spec, lambda text: None))

    def run(
        self,
        spec: RunSpec,
        where: Destination,
        root: Path,
        config_yaml: str,
        name: str | None = None,
        tags: dict[str, str] | None = None,
        run_id: str | None = None,
    ) -> RunRecord:
        """Train `spec` in a worker and track the run. The record is on disk even if the store fails.

        root: the run's directory is made below it.
        config_yaml: the resolved configuration, which is kept in the run's directory.
        name: of the run; None makes one of the backend, the runtime and the seed.
        tags: besides the tags of the plan and of the machine.
        run_id: the MLflow run that this run continues, or None.
        Raises KeyboardInterrupt after the run was recorded as KILLED. RuntimeUnavailable: the runtime cannot
        be built or used; then no run was made.
        """
        self._write_again()
        with progress_for(spec) as progress, _Interrupts() as interrupts:
            interrupts.take_effect()
            interpreter = prepare.prepare(spec, progress.say)
            interrupts.postponed = True
            draft, file = record.begin(
                root,
                spec,
                config_yaml,
                name=name or spec.name,
                kind=where.kind,
                uri=where.uri,
                experiment=where.experiment,
                experiment_id=where.experiment_id,
                run_id=run_id,
                tags={**machine.tags(), **machine.load(), **source_tags(), **(tags or {})},
            )
            tracked_as: str | None = None
            ended = False

            def hear(event: Event) -> None:
                nonlocal ended
                file.append(event)
                ended = ended or events.tell_the_end([event])
                progress.hear(event)

            try:
                interrupts.take_effect()
                # The worker imports keras while this process imports mlflow. It trains only when both are
                # finished, so that nothing else runs while a phase is being timed.
                worker = self._pool.start(spec, interpreter)
                progress.say(f"importing Keras on {spec.backend}")
                tracker = self.tracker(where)
                if tracker is not None:
                    interrupts.postponed = True
                    tracked_as = self._begin_tracking(tracker, draft)
                    interrupts.take_effect()
                worker.run(spec, draft.directory, hear)
            except KeyboardInterrupt:
                interrupts.postponed = True
                if not ended:
                    file.append(events.ended(events.INTERRUPTED, "interrupted before it began"))
                raise
            finally:
                # This is not a method call, because Python may handle a signal when a call begins. Then the
                # run would stay RUNNING.
                interrupts.postponed = True
                try:
                    done = record.finish(draft, file)
                    if done.failure is not None:
                        self._note_unwritten(done, done.failure)
                        self._cut_short[done.directory] = where
                    self.records.append(done)
                    self._end_tracking(done, where, tracked_as, progress)
                finally:
                    file.close()
        return done

    def tracker(self, where: Destination) -> Tracker | None:
        """The store, which is connected when it is first used. None if runs are not tracked, or if the store
        cannot be reached now.
        """
        if where.kind == "none":
            return None
        if where not in self._trackers:
            refused_at, why = self._refused.get(where, (0.0, ""))
            if refused_at and time.monotonic() - refused_at < _ASK_AGAIN_S:
                self._note(why)
                return None
            try:
                tracker = open_tracker(where.uri, where.experiment, where.experiment_id, Path.cwd())
                close_runs_of_dead_processes(tracker)
            except TrackingError as error:
                self._refused[where] = (time.monotonic(), str(error))
                self._note(str(error))
                return None
            self._trackers[where] = tracker
            # The garbage collector looks at everything only when the new objects are a quarter of the old
            # ones. Those of mlflow are so many that the garbage of a thousand jobs would stay until then.
            gc.freeze()
        return self._trackers[where]

    def _begin_tracking(self, tracker: Tracker, draft: RunRecord) -> str | None:
        tags = {
            **draft.context.tags,
            **record.plan_tags(draft.spec),
            "backendexp.directory": str(draft.directory.absolute()),
        }
        start_ms = round(draft.context.began * 1000)
        try:
            return tracker.begin(draft.context.id, draft.context.name, start_ms, tags, draft.context.run_id)
        except TrackingError as error:
            self._note(str(error))
            return None

    def _end_tracking(
        self, done: RunRecord, where: Destination, run_id: str | None, progress: Progress
    ) -> None:
        if run_id is None:
            return
        progress.say("recording")
        self._send(done, where, run_id)

    def _send(self, done: RunRecord, where: Destination, run_id: str) -> None:
        """Send everything of a run that is over to its run in the store."""
        try:
            self._trackers[where].end(run_id, record.report(done))
        except TrackingError as error:
            self._note(str(error))
            return
        failure = done.mark_tracked(run_id)
        if failure is not None:
            self._note_unwritten(done, failure)

    def close_lost(self, run: RunRecord, where: Destination, why: str) -> RunRecord:
        """Close a run whose process has ended without recording that, on disk and in the store.

        why: why the process ended, in words. The caller knows that it has.
        Returns the record with its result; without one if a process still writes into its directory.
        """
        closed = record.close_dead(run, why)
        tracker = None if closed.result is None else self.tracker(where)
        if tracker is None:
            return closed
        try:
            run_id = tracker.find(closed.context.id) or self._begin_tracking(tracker, closed)
        except TrackingError as error:
            self._note(str(error))
            return closed
        if run_id is not None:
            self._send(closed, where, run_id)
        return closed

    def _write_again(self) -> None:
        """Complete the directories that were cut short, as far as there is room by now."""
        for number, before in enumerate(self.records) if self._cut_short else ():
            where = self._cut_short.get(before.directory)
            if where is None:
                continue
            whole = self.records[number] = record.write_again(before)
            if whole.failure is not None or whole.unwritten:
                continue
            del self._cut_short[whole.directory]
            self.unwritten = [why for why in self.unwritten if str(whole.directory) not in why]
            if whole.tracked_run_id is not None:  # its files in the store are cut short too
                self._send(whole, where, whole.tracked_run_id)

    def forget(self, done: RunRecord) -> None:
        """Drop a record, unless its directory holds less than the record. So the memory of a long sweep does
        not grow with its runs.
        """
        if done.directory not in self._cut_short and done.is_whole_on_disk:
            self.records.remove(done)

    def _note_unwritten(self, done: RunRecord, error: OSError) -> None:
        why = places.sentence(error, done.directory, places.RUNS)
        if not any(str(done.directory) in known for known in self.unwritten):
            self.unwritten.append(why)

    def _note(self, why: str) -> None:
        if why not in self.untracked:
            self.untracked.append(why)

    def close(self) -> None:
        self._pool.close()
        self._write_again()


class _Interrupts:
    """Handles Ctrl-C, SIGTERM and SIGHUP during one run.

    An interrupt takes effect immediately through its own handler. While `postponed` is true, which it is at
    first, it takes effect at the next `take_effect`, or at the end. So a run that is over is recorded as what
    it was, and if the store has begun a run, this process knows its id. While one interrupt is waiting, the
    next one takes effect immediately.
    """

    def __init__(self) -> None:
        self.postponed = True
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._waiting: int | None = None

    def __enter__(self) -> "_Interrupts":
        if threading.current_thread() is threading.main_thread():  # Python sets handlers only in this thread
            for number in _ENDINGS:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self.take_effect()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.postponed and self._waiting is None:
            self._waiting = number
        else:
            self._handlers[number](number, frame)

    def take_effect(self) -> None:
        """From now on, interrupts take effect immediately. Raises KeyboardInterrupt if one was postponed."""
        self.postponed = False
        if self._waiting is not None:
            number, self._waiting = self._waiting, None
            self._handlers[number](number, None)


def close_runs_of_dead_processes(tracker: Tracker) -> None:
    """Close the runs of this host that the store has as RUNNING although their process is dead.

    Such a process was killed. Runs whose directory still exists keep the events that they had. A run whose
    process may be alive is not changed, see `machine.fate`.
    """
    for run in tracker.open_runs(machine.host()):
        directory = Path(run.tags.get("backendexp.directory", ""))
        if not (directory / "context.json").exists():
            if machine.fate(run.tags) is Fate.DEAD:
                why = record.tags_of_killed(events.PARENT_LOST, record.PARENT_LOST_MESSAGE)
                tracker.kill(run.run_id, why)
            continue
        lost = record.close_lost(record.load(directory))
        if lost.result is None:
            continue
        if tracker.find(lost.context.id) not in (run.run_id, None):
            tracker.discard(run.run_id)
        else:
            tracker.end(run.run_id, record.report(lost))
            lost.mark_tracked(run.run_id)


def source_tags() -> dict[str, str]:
    """Who ran which code, in MLflow's own tags (https://mlflow.org/docs/latest/tracking/#system-tags)."""
    tags = {"mlflow.user": machine.user(), "mlflow.source.name": "backendexp"}
    tags["mlflow.source.type"] = "LOCAL"
    commit = machine.git_commit(str(Path.cwd()))
    if commit is not None:
        tags.update({"git_commit": commit, "mlflow.source.git.commit": commit})
    return tags


def failures(records: list[RunRecord]) -> int:
    return sum(r.result is None or r.result.status != results.FINISHED for r in records)
