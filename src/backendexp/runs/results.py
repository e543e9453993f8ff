"""What a run came to: its events, folded."""

import signal
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from backendexp.runs import events, measures
from backendexp.runs.events import Event
from backendexp.runs.measures import Measure

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"  # MLflow's names

_MIB = 2**20


@dataclass(frozen=True)
class Epoch:
    """number: from 1. seconds: since the end of the epoch before, or since fit began. ended: seconds
    since 1970.
    """

    number: int
    seconds: float
    loss: float
    accuracy: float
    ended: float


@dataclass(frozen=True)
class RunResult:
    """
    status: FINISHED, FAILED or KILLED.
    reason: why it did not finish: exception, non_finite_loss, out_of_memory, killed_by_signal,
        deadline, interrupted, parent_lost, worker_lost, engine_missing, keras_missing, wrong_backend.
    message: one sentence or more for a person. traceback: the worker's, when it raised.
    import_s: seconds to import keras and the engine. With fork, the import is shared by the runs of one
        worker, and each of them reports it.
    build_s: to build and compile the model and to set its weights.
    training_time_s: wall time of the whole fit, what the tutorial measured.
    evaluate_s: of evaluate, with the compilation of the test step where the engine compiles one.
    peak_bytes: greatest resident memory of the run's own process.
    cpu_s: processor time of that process, over all its threads. Divided by the wall time, it tells how many
        threads were really at work. A spawned process pays its import too.
    tiers: what ran the training steps, name to number of steps, where the engine has several ways.
    facts: of the `ready` event: keras, engine, engine_version, python, packages.
    compile_cache: empty or filled, what the engine's compiled code on disk was when the run started; None
        for an engine that keeps none.
    """

    status: str
    reason: str | None
    message: str | None
    traceback: str | None
    facts: dict[str, Any]
    start: str | None
    compile_cache: str | None
    data: dict[str, Any] | None
    weights: int | None
    weights_digest: str | None
    import_s: float | None
    build_s: float | None
    training_time_s: float | None
    evaluate_s: float | None
    loss: float | None
    accuracy: float | None
    peak_bytes: int | None
    cpu_s: float | None
    model_file: str | None
    tiers: dict[str, int] | None = None
    epochs: tuple[Epoch, ...] = field(default=())

    @property
    def first_epoch_s(self) -> float | None:
        """Seconds from the start of fit to the end of epoch 1, which also compiles the graph."""
        return self.epochs[0].seconds if self.epochs else None

    @property
    def steady_epoch_s(self) -> float | None:
        """Median wall time of epochs 2..n, in seconds; None with one epoch."""
        seconds = [epoch.seconds for epoch in self.epochs[1:]]
        return statistics.median(seconds) if seconds else None

    @property
    def remaining_epochs_s(self) -> float | None:
        """Seconds of epochs 2..n together."""
        return sum(e.seconds for e in self.epochs[1:]) if len(self.epochs) > 1 else None

    @property
    def peak_mib(self) -> float | None:
        return None if self.peak_bytes is None else self.peak_bytes / _MIB

    def value(self, measure: Measure) -> float | None:
        """The run's value of a measure; None where the run did not get that far, or it is not tracked."""
        return None if measure.source is None else getattr(self, measure.source)

    def metrics(self) -> dict[str, float]:
        """The metrics of the run under their MLflow names, without those that the run did not reach."""
        return {
            name: value
            for measure in measures.tracked()
            if (value := self.value(measure)) is not None
            for name in (measure.key, *measure.aliases)
        }


def fold(stream: Iterable[Event]) -> RunResult:
    """The result of a run whose events are `stream`, in any state that it may have ended in."""
    seen: dict[str, Event] = {}
    epochs = []
    for event in stream:
        if event["event"] == "epoch":
            epochs.append(
                Epoch(event["epoch"], event["seconds"], event["loss"], event["accuracy"], event["time"])
            )
        else:
            seen[event["event"]] = event

    def value(name: str, key: str) -> Any:
        return seen.get(name, {}).get(key)

    status, reason, message = _verdict(seen)
    return RunResult(
        status=status,
        reason=reason,
        message=message,
        traceback=value("failed", "traceback"),
        facts={key: seen["ready"][key] for key in ("keras", "engine", "engine_version", "python", "packages")}
        if "ready" in seen
        else {},
        start=value("started", "start"),
        compile_cache=value("started", "compile_cache"),
        data=seen.get("data"),
        weights=value("built", "weights"),
        weights_digest=value("built", "weights_digest"),
        import_s=value("ready", "import_s"),
        build_s=value("built", "seconds"),
        training_time_s=value("trained", "seconds"),
        evaluate_s=value("evaluated", "seconds"),
        loss=value("evaluated", "loss"),
        accuracy=value("evaluated", "accuracy"),
        peak_bytes=value("exited", "peak_bytes"),
        cpu_s=value("exited", "cpu_s"),
        model_file=value("saved", "path"),
        tiers=value("trained", "tiers"),
        epochs=tuple(epochs),
    )


def _verdict(seen: dict[str, Event]) -> tuple[str, str | None, str | None]:
    """(status, reason, message) of a run that has had these events."""
    if "finished" in seen:
        return FINISHED, None, None
    if "refused" in seen:
        return FAILED, seen["refused"]["kind"], seen["refused"]["message"]
    if "failed" in seen:
        return FAILED, seen["failed"]["kind"], seen["failed"]["message"]
    if "ended" in seen:
        reason = seen["ended"]["reason"]
        killed = reason in (events.INTERRUPTED, events.PARENT_LOST)
        return (KILLED if killed else FAILED), reason, seen["ended"]["message"]
    if "exited" in seen:
        return FAILED, *_death(seen["exited"])
    return FAILED, events.WORKER_LOST, "the worker ended without a word; see worker.log"


def signal_name(number: int) -> str:
    """ "SIGKILL"; real-time signals have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _death(exited: Event) -> tuple[str, str]:
    number = exited["signal"]
    if number is None:
        return events.WORKER_LOST, f"the worker left with code {exited['returncode']}; see worker.log"
    name = signal_name(number)
    hint = ". The kernel does that when memory runs out" if name == "SIGKILL" else "; see worker.log"
    return "killed_by_signal", f"the worker was killed by {name}{hint}"
