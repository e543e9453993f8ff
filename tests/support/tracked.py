"""Tracked runs with known effects, like those that a sweep or a comparison leaves in a store."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from backendexp.analysis.findings import TrackedRun
from backendexp.runs import measures
from backendexp.runs.measures import Kind

MEASURES = tuple(m for m in measures.compared(keys=["accuracy"]) if not m.optional)
TIMES = tuple(measure for measure in measures.compared(Kind.TIME) if not measure.optional)
QUALITIES = measures.compared(Kind.QUALITY, keys=["accuracy"])
(MEMORY,) = (measure for measure in measures.compared(Kind.MEMORY) if not measure.optional)
BEGAN_MS = 1_700_000_000_000
# The time from the beginning of a run to that of the next, and how much of it the run takes.
STEP_MS, RUN_MS = 10_000, 8_000
PARAMS = {
    "controls.batch_order": "True",
    "controls.initial_weights": "True",
    "data.kind": "random",
    "data.samples": "1000",
    "data.test_samples": "100",
    "model.dropout": "0.5",
    "parity.probe": "0",
    "runtime.python": "None",
    "runtime.start": "spawn",
    "threads": "2",
    "training.batch_size": "128",
    "training.epochs": "20",
    "training.optimizer": "rmsprop",
}
TAGS = {
    "backendexp.host": "lab",
    "cores": "2",
    "cpu_model": "AMD EPYC 7B13",
    "keras_version": "3.15.1",
    "python_version": "3.11.7",
}
# The seconds and the MiB of the baseline.
TYPICAL = {
    "time/import_s": 4.0,
    "time/build_s": 0.2,
    "time/compilation_s": 0.5,
    "training_time_s": 2.0,
    "time/steady_epoch_s": 0.05,
    "time/evaluate_s": 0.1,
    "memory/peak_mib": 300.0,
}


def run_of(backend: str = "tensorflow", seed: int = 0, at: int = 0, **fields: Any) -> TrackedRun:
    """Return a finished run, the `at`th of its machine, with these params, tags and values besides the
    usual.
    """
    runtime = fields.get("runtime", "keras3")
    own: dict[str, Mapping[str, Any]] = {name: fields.pop(name, {}) for name in ("params", "tags", "values")}
    named = {"backend.name": backend, "runtime.name": runtime, "seed": str(seed)}
    digests = {"data_digest": f"data of {seed}", "weights_digest": f"weights of {seed}"}
    engine = {"engine": backend.title(), "engine_version": "1.0"}
    began = BEGAN_MS + at * STEP_MS
    run = TrackedRun(
        run_id=f"id{at}",
        name=f"{backend}-{runtime}-seed{seed}",
        status="FINISHED",
        reason=None,
        sweep="2026-11-22/10-00-00",
        role="timed",
        backend=backend,
        runtime=runtime,
        seed=seed,
        block=None,
        position=None,
        parallel=False,
        load=0.5,
        began_ms=began,
        ended_ms=began + RUN_MS,
        params={**PARAMS, **named, **own["params"]},
        tags={**TAGS, **engine, **digests, **own["tags"]},
        values={**TYPICAL, "loss": 0.69, "accuracy": 0.5, **own["values"]},
    )
    return replace(run, **fields)


def sweep_runs(
    factors: Mapping[str, float],
    blocks: int = 10,
    noise: float = 0.02,
    quality: Mapping[str, float] | None = None,
    seed: int = 0,
    **fields: Any,
) -> list[TrackedRun]:
    """Return a sweep over seeds, in which every backend runs once for each seed, in turn.

    factors: for each backend, what its times and its memory are multiplied by.
    noise: the standard deviation of the logarithm of a time.
    quality: for each backend, what is added to its accuracy.
    seed: the seed of the noise.
    fields: the fields of every run, as in `run_of`.
    """
    draw = np.random.default_rng(seed)
    runs = []
    for block in range(blocks):
        for backend, factor in factors.items():
            measured: dict[str, float] = {
                m.key: TYPICAL[m.key] * factor * float(np.exp(draw.normal(0, noise)))
                for m in (*TIMES, MEMORY)
            }
            shift = (quality or {}).get(backend, 0.0)
            measured["accuracy"] = round(0.5 + shift + float(draw.normal(0, 0.02)), 2)
            measured["loss"] = 0.69 - shift + float(draw.normal(0, 0.005))
            values = {**measured, **fields.get("values", {})}
            runs.append(run_of(backend, block, len(runs), **{**fields, "values": values}))
    return runs


def moved(runs: Sequence[TrackedRun], by: int, **fields: Any) -> list[TrackedRun]:
    """Return the same runs with other ids, and so many steps later."""
    return [
        replace(
            run,
            run_id=f"{run.run_id}+{by}",
            began_ms=run.began_ms + by * STEP_MS,
            ended_ms=None if run.ended_ms is None else run.ended_ms + by * STEP_MS,
            **fields,
        )
        for run in runs
    ]


def changed(runs: Sequence[TrackedRun], number: int, **fields: Any) -> list[TrackedRun]:
    """Return the runs with other fields in the `number`th. Its params, tags and values are extended, not
    replaced.
    """
    run = runs[number]
    for name in ("params", "tags", "values"):
        if name in fields:
            fields[name] = {**getattr(run, name), **fields[name]}
    return [replace(run, **fields) if at == number else other for at, other in enumerate(runs)]
