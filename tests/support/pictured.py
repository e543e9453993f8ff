"""Comparisons made by the real analysis, which contain everything that a figure or a report can show."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from backendexp.analysis.findings import Comparison, TrackedRun
from backendexp.analysis.pipeline import analyse
from support.tracked import changed, run_of, sweep_runs

FACTORS = {"tensorflow": 1.0, "jax": 1.03, "theano": 0.62}
EPOCHS = 20
OUT_OF_MEMORY: dict[str, Any] = {
    "status": "FAILED",
    "reason": "out_of_memory",
    "loss_by_epoch": (),
    "quality_by_epoch": (),
}


def timed_runs(
    factors: Mapping[str, float] = FACTORS, blocks: int = 10, noise: float = 0.04, **fields: Any
) -> list[TrackedRun]:
    """Return runs in randomised blocks, with learning curves on random labels and times that add up."""
    draw = np.random.default_rng(7)
    runs = []
    for number, run in enumerate(sweep_runs(factors, blocks, noise, **fields)):
        steady = run.values["time/steady_epoch_s"] * 0.25
        compilation = run.values["time/compilation_s"]
        fit = compilation + steady * EPOCHS
        values = {**run.values, "time/steady_epoch_s": steady, "training_time_s": fit}
        values["accuracy"] = float(draw.binomial(100, 0.5)) / 100
        epochs = np.arange(EPOCHS)
        runs.append(
            replace(
                run,
                block=run.seed + 1,
                position=number % len(factors) + 1,
                values=values,
                loss_by_epoch=tuple(map(float, 0.72 * np.exp(-epochs / 60) + draw.normal(0, 0.006, EPOCHS))),
                quality_by_epoch=tuple(map(float, 0.5 + epochs / 200 + draw.normal(0, 0.012, EPOCHS))),
            )
        )
    return runs


def on_keras2(runs: Sequence[TrackedRun]) -> list[TrackedRun]:
    """Return the same runs, made a day later on the tutorial's Keras."""
    return [
        replace(
            run,
            run_id=f"old-{run.run_id}",
            runtime="keras2",
            began_ms=run.began_ms + 10**8,
            ended_ms=run.began_ms + 10**8 + 1000,
            params={**run.params, "runtime.name": "keras2"},
            tags={**run.tags, "keras_version": "2.3.1"},
        )
        for run in runs
    ]


def parity_runs(backends: tuple[str, ...] = tuple(FACTORS)) -> list[TrackedRun]:
    """Return parity runs. The first backend is the reference and has a rounding probe. The others agree with
    it up to rounding.
    """
    losses = tuple(float(loss) for loss in 0.7 * np.exp(-np.arange(EPOCHS) / 30))
    settings: dict[str, Any] = {"role": "parity"}
    params = {"model.dropout": "0.0", "training.optimizer": "sgd"}
    runs = []
    for number, backend in enumerate(backends):
        drifted = tuple(loss + number * 4e-8 * epoch / EPOCHS for epoch, loss in enumerate(losses))
        runs.append(run_of(backend, 0, 9_000 + number, **settings, params=params, loss_by_epoch=drifted))
    probed = tuple(loss + 1e-8 for loss in losses)
    probe = {**params, "parity.probe": "1"}
    runs.append(run_of(backends[0], 0, 9_100, **settings, params=probe, loss_by_epoch=probed))
    return runs


def with_troubles(runs: list[TrackedRun]) -> list[TrackedRun]:
    """Make one run an outlier, and another a run that failed before training."""
    slow = next(n for n, run in enumerate(runs) if run.backend == "theano" and run.seed == 3)
    failed = next(n for n, run in enumerate(runs) if run.backend == "jax" and run.seed == 5)
    values = {"time/steady_epoch_s": runs[slow].values["time/steady_epoch_s"] * 3}
    runs = changed(runs, slow, values=values)
    runs = changed(runs, failed, **OUT_OF_MEMORY)
    early = {key: runs[failed].values[key] for key in ("time/import_s", "time/build_s")}
    return [replace(run, values=early) if number == failed else run for number, run in enumerate(runs)]


def pictured(**settings: Any) -> Comparison:
    """Return a comparison of three backends in ten blocks, on random labels, with every problem that is
    reported.
    """
    runs = [*with_troubles(timed_runs()), *parity_runs()]
    return analyse(runs, title="tensorflow, jax and theano on keras3, 2026-11-22/10-00-00", **settings)
