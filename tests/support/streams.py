"""Event streams and records of runs, like those of a real worker and session, but made without them."""

from collections.abc import Iterable
from pathlib import Path

from backendexp.runs import record
from backendexp.runs.events import Event
from backendexp.runs.plan import RunSpec
from backendexp.runs.record import RunRecord

BEGAN = 1_700_000_000.0
SHAPES = {"x_train": [256, 8], "y_train": [256, 1], "x_test": [64, 8], "y_test": [64, 1]}


def ready() -> Event:
    return {
        "event": "ready",
        "time": BEGAN,
        "version": 1,
        "pid": 10,
        "backend": "jax",
        "keras": "3.15.1",
        "engine": "JAX",
        "engine_version": "0.10.2",
        "python": "3.11.7",
        "import_s": 4.0,
        "packages": {"numpy": "2.4.6"},
    }


def epochs(losses: Iterable[float], seconds: float = 0.5) -> list[Event]:
    return [
        {
            "event": "epoch",
            "time": BEGAN + 10 + number * seconds,
            "epoch": number,
            "seconds": seconds,
            "loss": loss,
            "metrics": {"accuracy": 0.5},
        }
        for number, loss in enumerate(losses, 1)
    ]


def exited(returncode: int | None = 0, signal: int | None = None) -> Event:
    return {
        "event": "exited",
        "time": BEGAN + 30,
        "pid": 11,
        "returncode": returncode,
        "signal": signal,
        "peak_bytes": 200 * 2**20,
        "cpu_s": 2.5,
    }


def whole(
    losses: Iterable[float] = (0.7, 0.6, 0.5),
    data_digest: str = "d" * 64,
    weights_digest: str = "w" * 64,
    compile_cache: str | None = None,
    seconds: float = 0.5,
    training_time_s: float = 1.5,
    accuracy: float = 0.75,
    metrics: dict[str, float] | None = None,
) -> list[Event]:
    """Return all events that a worker sends in a successful run.

    metrics: the metrics of evaluate, in place of accuracy.
    """
    losses = list(losses)

    def at(offset: float, event: str, **fields: object) -> Event:
        return {"event": event, "time": BEGAN + offset, **fields}

    return [
        ready(),
        at(1, "started", pid=11, start="fork", compile_cache=compile_cache),
        at(1, "phase", name="data"),
        at(2, "data", seconds=0.01, digest=data_digest, shapes=SHAPES, bytes=11520),
        at(2, "phase", name="build"),
        at(3, "built", seconds=0.2, weights=297, weights_digest=weights_digest),
        at(3, "phase", name="fit"),
        *epochs(losses, seconds),
        at(20, "trained", seconds=training_time_s),
        at(20, "phase", name="evaluate"),
        at(21, "evaluated", seconds=0.1, loss=losses[-1], metrics=metrics or {"accuracy": accuracy}),
        at(22, "finished"),
        exited(),
    ]


def killed_in_epoch_3() -> list[Event]:
    """Return the events of a run whose process was killed after it had reported two epochs."""
    stream = whole((0.7, 0.6))
    last = [event["event"] for event in stream].index("trained")
    return [*stream[:last], exited(returncode=None, signal=9)]


def of_one_class(stream: list[Event]) -> list[Event]:
    """Return the same stream, but with 1 as every training label."""
    ones, coins = ({"low": low, "high": 1.0, "zeros_and_ones": True} for low in (1.0, 0.0))
    labels = {"labels": {"y_train": ones, "y_test": coins}}
    return [event | labels if event["event"] == "data" else event for event in stream]


def record_of(
    root: Path,
    spec: RunSpec,
    stream: Iterable[Event],
    uri: str = "memory:",
    experiment: str = "backendexp",
    run_id: str | None = None,
    tags: dict[str, str] | None = None,
    finish: bool = True,
) -> RunRecord:
    """Create the directory of a run with these events. Unless `finish` is set, the run still looks
    unfinished.
    """
    draft, file = record.begin(
        root,
        spec,
        "seed: 0\n",
        name="a name",
        kind="mlflow",
        uri=uri,
        experiment=experiment,
        experiment_id=None,
        run_id=run_id,
        tags=tags or {},
    )
    for event in stream:
        file.append(event)
    file.close()
    return record.finish(draft) if finish else draft
