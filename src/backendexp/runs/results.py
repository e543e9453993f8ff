"""The result of a run, which is computed from its events."""

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
    """An epoch of training.

    number: counted from 1.
    seconds: since the end of the previous epoch; for epoch 1, since fit began.
    metrics: the metrics of training besides the loss, by their names.
    ended: seconds since 1970.
    """

    number: int
    seconds: float
    loss: float
    metrics: dict[str, float]
    ended: float

    def tracked(self) -> dict[str, float]:
        """The values that MLflow gets for each epoch, under their names there."""
        metrics = {f"train/{name}": value for name, value in self.metrics.items()}
        return {measures.TRAIN_LOSS: self.loss, **metrics, "train/epoch_s": self.seconds}


@dataclass(frozen=True)
class RunResult:
    """The result of a run. A value that the run did not reach is None.

    status: FINISHED, FAILED or KILLED.
    reason: why the run did not finish: exception, user_code, non_finite_loss, out_of_memory,
        killed_by_signal, deadline, interrupted, parent_lost, host_lost, worker_lost, engine_missing,
        keras_missing or wrong_backend.
    message: why the run did not finish, in one sentence or more.
    traceback: the worker's traceback, if it raised an exception.
    facts: from the `ready` event: keras, engine, engine_version, python, packages.
    start: fork or spawn.
    compile_cache: whether the engine's compiled code on disk was "empty" or "filled" when the run started;
        None for an engine that keeps no such code.
    data: from the `data` event: digest, shapes, bytes and labels.
    weights: the number of the model's weights. weights_digest: of the initial weights.
    import_s: seconds to import keras and the engine. With fork, the runs of one worker share its import, and
        each of them reports it.
    build_s: seconds to build and compile the model and to set its weights.
    training_time_s: the wall time of the whole fit, which is what the tutorial measured, in seconds.
    evaluate_s: seconds of evaluate, including the compilation of the test step if the engine compiles one.
    loss: of evaluate on the test data. qualities: the other metrics of evaluate, by their names.
    peak_bytes: the greatest resident memory of the run's own process.
    cpu_s: processor time of that process over all its threads, in seconds. Divided by the wall time, it shows
        how many threads were working. For a spawned process it includes the import.
    model_file: the path of the trained model, if it was saved.
    notes: sentences of the worker that the user should read.
    random_layers: the layers that drew random numbers in training; None if the run did not say.
    unlike_layers: what Keras 2 computes differently from Keras 3, a sentence for each such layer.
    unlike_engine: which formula of the engine is not that of Keras 3, if one is known.
    tiers: how many training steps each of the engine's ways to run them has run, if it has several ways.
    inference: from the `predicted` event: samples_per_s, latency_s and latency_p95_s.
    device: from the `device` event: kind, name and peak_bytes.
    epochs: the epochs that ended.
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
    qualities: dict[str, float]
    peak_bytes: int | None
    cpu_s: float | None
    model_file: str | None
    tiers: dict[str, int] | None = None
    notes: tuple[str, ...] = ()
    random_layers: tuple[str, ...] | None = None
    unlike_layers: tuple[str, ...] = ()
    unlike_engine: str | None = None
    inference: dict[str, float] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)
    epochs: tuple[Epoch, ...] = field(default=())

    @property
    def samples_per_s(self) -> float | None:
        """How many samples of the test data the model predicts in a second, once it is warm."""
        return self.inference.get("samples_per_s")

    @property
    def latency_ms(self) -> float | None:
        """The median time of predicting one sample, in milliseconds."""
        seconds = self.inference.get("latency_s")
        return None if seconds is None else 1000 * seconds

    @property
    def latency_p95_ms(self) -> float | None:
        """The time within which 95 of 100 predictions of one sample ended, in milliseconds."""
        seconds = self.inference.get("latency_p95_s")
        return None if seconds is None else 1000 * seconds

    @property
    def gpu_peak_mib(self) -> float | None:
        """The greatest use of the GPU's memory; None without a GPU."""
        peak = self.device.get("peak_bytes")
        return None if peak is None else peak / _MIB

    @property
    def quality_keys(self) -> tuple[str, ...]:
        """The names of the qualities in MLflow, as `measures.qualities` takes them."""
        return tuple(f"test/{name}" for name in self.qualities)

    @property
    def first_epoch_s(self) -> float | None:
        """Seconds from the start of fit to the end of epoch 1, which includes compiling the graph."""
        return self.epochs[0].seconds if self.epochs else None

    @property
    def steady_epoch_s(self) -> float | None:
        """The median wall time of epochs 2 to n, in seconds; None if there is only one epoch."""
        seconds = [epoch.seconds for epoch in self.epochs[1:]]
        return statistics.median(seconds) if seconds else None

    @property
    def remaining_epochs_s(self) -> float | None:
        """The wall time of epochs 2 to n together, in seconds; None if there is only one epoch."""
        return sum(e.seconds for e in self.epochs[1:]) if len(self.epochs) > 1 else None

    @property
    def train_samples(self) -> int | None:
        """The number of samples that the run trained on."""
        shapes = self.data["shapes"] if self.data else {}
        return next((shape[0] for name, shape in shapes.items() if name.startswith("x_train")), None)

    @property
    def peak_mib(self) -> float | None:
        return None if self.peak_bytes is None else self.peak_bytes / _MIB

    def value(self, measure: Measure) -> float | None:
        """The run's value of a measure; None where the run did not get that far, or it is not tracked."""
        if measure.metric is not None:
            return self.qualities.get(measure.metric)
        return None if measure.source is None else getattr(self, measure.source)

    def metrics(self) -> dict[str, float]:
        """The metrics of the run under their MLflow names, without those that the run did not reach."""
        return {
            name: value
            for measure in (*measures.tracked(), *measures.qualities(self.quality_keys))
            if (value := self.value(measure)) is not None
            for name in (measure.key, *measure.aliases)
        }


def fold(stream: Iterable[Event]) -> RunResult:
    """The result of a run with these events, however the run ended."""
    seen: dict[str, Event] = {}
    epochs = []
    for event in stream:
        if event["event"] == "epoch":
            epochs.append(
                Epoch(event["epoch"], event["seconds"], event["loss"], metrics_of(event), event["time"])
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
        qualities=metrics_of(seen.get("evaluated", {})),
        peak_bytes=value("exited", "peak_bytes"),
        cpu_s=value("exited", "cpu_s"),
        model_file=value("saved", "path"),
        tiers=value("trained", "tiers"),
        notes=tuple(value("built", "notes") or ()),
        random_layers=None if (random := value("built", "random_layers")) is None else tuple(random),
        unlike_layers=tuple(value("built", "unlike_layers") or ()),
        unlike_engine=value("built", "unlike_engine"),
        inference=seen.get("predicted", {}),
        device=seen.get("device", {}),
        epochs=tuple(epochs),
    )


def metrics_of(event: Event) -> dict[str, float]:
    """The metrics of an event. An older worker knew accuracy alone."""
    metrics: dict[str, float] = event.get("metrics", {})
    return {**metrics, "accuracy": event["accuracy"]} if "accuracy" in event else metrics


def _verdict(seen: dict[str, Event]) -> tuple[str, str | None, str | None]:
    """(status, reason, message) of a run.

    seen: its events by name.
    """
    if "finished" in seen:
        return FINISHED, None, None
    if "refused" in seen:
        return FAILED, seen["refused"]["kind"], seen["refused"]["message"]
    if "failed" in seen:
        return FAILED, seen["failed"]["kind"], seen["failed"]["message"]
    if "ended" in seen:
        reason = seen["ended"]["reason"]
        killed = reason in (events.INTERRUPTED, events.PARENT_LOST, events.HOST_LOST)
        return (KILLED if killed else FAILED), reason, seen["ended"]["message"]
    if "exited" in seen:
        return FAILED, *_death(seen["exited"])
    return FAILED, events.WORKER_LOST, "the worker ended without a word; see worker.log"


def signal_name(number: int) -> str:
    """The name of a signal, such as "SIGKILL". Real-time signals have only numbers."""
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
