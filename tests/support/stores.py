"""Tracking stores with runs in them, written by the code that tracks real runs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backendexp.runs import record
from backendexp.runs.events import Event
from backendexp.runs.plan import RunSpec
from backendexp.runs.record import RunRecord
from backendexp.tracking.base import Report
from backendexp.tracking.mlflow_tracker import MlflowTracker
from support import streams
from support.plans import small_plan

EPOCHS = 3
# Tags of the machine, which all runs of a store have in common.
MACHINE = {"cpu_model": "A CPU", "cores": "2", "backendexp.host": "here"}


@dataclass
class Store:
    """An SQLite store and the run directories beside it. `records` are in the order in which they were
    tracked.
    """

    folder: Path
    empty: bytes
    experiment: str = "backendexp"
    records: list[RunRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "mlflow.db").write_bytes(self.empty)
        self.tracker = MlflowTracker(self.uri, self.experiment, None, self.folder)

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    def sweep(
        self,
        sweep: str,
        times: Mapping[str, float],
        seeds: Iterable[int] = range(5),
        tags: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        """Track a run of each backend for each seed.

        times: the training_time_s of each backend, which varies by a few percent between seeds.
        settings: the settings of `spec_of`.
        """
        noise = np.random.default_rng(0)
        for seed in seeds:
            for backend, seconds in times.items():
                spec = spec_of(backend, seed=seed, **settings)
                taken = seconds * float(np.exp(noise.normal(0, 0.02)))
                self.track(spec, events_of(spec, taken), {"sweep": sweep, **(tags or {})})

    def track(self, spec: RunSpec, events: Iterable[Event], tags: Mapping[str, str]) -> RunRecord:
        """Track a run with these events, as a session does."""
        done = streams.record_of(
            self.folder / "runs", spec, events, self.uri, self.experiment, tags={**MACHINE, **tags}
        )
        run_id = self.begin(done)
        self.tracker.end(run_id, record.report(done))
        done.mark_tracked(run_id)
        self.records.append(done)
        return done

    def begin(self, run: RunRecord) -> str:
        """Begin a run that does not end."""
        context = run.context
        tags = {**context.tags, **record.plan_tags(run.spec)}
        return self.tracker.begin(context.id, context.name, round(context.began * 1000), tags, None)

    def sum_up(self, sweep: str, kind: str) -> None:
        """Track the run that sums up a sweep."""
        tags = {"sweep": sweep, "kind": kind}
        run_id = self.tracker.begin(f"{kind} {sweep}", f"{kind} {sweep}", 1, tags, None)
        self.tracker.end(run_id, Report("", "", "FINISHED", 1, 2, {}, tags, [], None, []))

    def run_ids(self, sweep: str) -> list[str]:
        return [str(r.tracked_run_id) for r in self.records if r.context.tags["sweep"] == sweep]

    def delete(self, sweep: str) -> None:
        for run_id in self.run_ids(sweep):
            self.tracker._client.delete_run(run_id)


def spec_of(backend: str, **settings: Any) -> RunSpec:
    """Return a small plan with these settings of the configuration, such as training__epochs=2."""
    return small_plan(backend, **{"training__epochs": EPOCHS, **settings})


def events_of(spec: RunSpec, seconds: float, accuracy: float = 0.5, digest: str = "d") -> list[Event]:
    """Return the events of a run that trained for `seconds`. Its first epoch took half of that time."""
    epochs = spec.training.epochs
    losses = [0.7 / (number + 1) for number in range(epochs)]
    stream = streams.whole(
        losses,
        data_digest=digest * 64,
        seconds=seconds / 2 / max(1, epochs - 1),
        training_time_s=seconds,
        accuracy=accuracy,
    )
    for event in stream:
        if event["event"] == "epoch" and event["epoch"] == 1:
            event["seconds"] = seconds / 2
    return stream
