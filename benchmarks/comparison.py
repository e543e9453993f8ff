"""Measures how long `backendexp compare` takes for a store of 200 runs, and for one of 5,000.

The runs are invented, and written to a new SQLite database through MLflow's client. They are of four
backends, and have the params, tags, metrics and 20 epochs of real runs. The benchmark measures one process
after its imports, from connecting to the store to the report in every format, and shows the median of the
rounds for each stage. The target is at most 5 s for 200 runs, and 5,000 runs must work. The column `command`
is the time of the whole command `backendexp compare`, including its imports.
"""

import argparse
import gc
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import measure
import numpy as np

from backendexp import experiments
from backendexp.config.schema import Config
from backendexp.reporting.tables import Table
from backendexp.runs import machine
from backendexp.runs.plan import RunSpec, plan_run

TARGET_S, TARGET_RUNS = 5.0, 200
SWEEP = "2026-11-22/10-00-00"
BACKENDS = {"tensorflow": 1.0, "theano": 0.9, "jax": 0.8, "torch": 1.1}
STAGES = ("read", "analyse", "markdown", "csv", "json", "html")
RUN_MS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="+", default=[200, 5000], help="default: 200 5000")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--clocked", metavar="URI", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.clocked:
        print(json.dumps(clock(asked.clocked)))
        return
    rows = []
    for count in asked.runs:
        with tempfile.TemporaryDirectory(prefix="backendexp-bench-") as folder:
            uri = f"sqlite:///{folder}/mlflow.db"
            measure.say(f"writing {count} runs")
            fill(uri, count)
            rows.append(_row(count, uri, Path(folder), asked.rounds))
    titles = [
        "runs",
        *(f"{stage} s" for stage in STAGES),
        "together s",
        f"at most {TARGET_S:g} s",
        "command s",
    ]
    print(f"\n### Comparing tracked runs\n\n{Table([*titles, 'peak MiB'], rows).markdown()}\n")
    print(
        f"- {measure.this_machine()}; {platform.platform()}\n"
        f"- median of {asked.rounds} rounds, each in a new process; {measure.load()}\n"
        f"- commit {machine.git_commit(str(Path(__file__).parent)) or 'unknown'}, {time.strftime('%Y-%m-%d')}"
    )


def _row(count: int, uri: str, folder: Path, rounds: int) -> list[str]:
    clocked, commands = [], []
    for number in range(1, rounds + 1):
        measure.say(f"{count} runs, round {number}/{rounds}")
        answer = subprocess.run(
            [sys.executable, __file__, "--clocked", uri], capture_output=True, text=True, check=True
        )
        clocked.append(json.loads(answer.stdout))
        words = ["compare", f"tracking.uri={uri}", "--output", "comparison.md"]
        side = measure.Side(
            [sys.executable, "-m", "backendexp", *words], measure.own_environment(), lambda: folder
        )
        commands.append(measure.run(side))
    taken = [statistics.median(own[stage] for own in clocked) for stage in STAGES]
    together = statistics.median(sum(own.values()) for own in clocked)
    verdict = measure.met(together, TARGET_S) if count <= TARGET_RUNS else "-"
    command_s = statistics.median(cost.wall_s for cost in commands)
    peak = max(cost.process_bytes for cost in commands) / 2**20
    numbers = [*(f"{seconds:.2f}" for seconds in taken), f"{together:.2f}"]
    return [f"{count:,}", *numbers, verdict, f"{command_s:.1f}", f"{peak:.0f}"]


def clock(uri: str) -> dict[str, float]:
    """Return the seconds that each stage takes, after importing everything that the stages need."""
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    from backendexp.analysis import pipeline, tracked_runs
    from backendexp.reporting import report, text

    taken: dict[str, float] = {}
    gc.disable()  # because the command does so too

    def timed(stage: str, work: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        began = time.perf_counter()
        result = work(*arguments, **settings)
        taken[stage] = time.perf_counter() - began
        return result

    found = timed("read", tracked_runs.of_sweeps, uri, "backendexp", [SWEEP])
    comparison = timed("analyse", pipeline.analyse, found, title="benchmark")
    for stage, write in (
        ("markdown", text.markdown),
        ("csv", text.csv),
        ("json", text.to_json),
        ("html", report.html),
    ):
        timed(stage, write, comparison)
    return taken


def fill(uri: str, count: int) -> None:
    """Write `count` finished runs of one sweep that ran one after the other, with times that vary by about
    10%.
    """
    from mlflow.entities import Metric, Param, RunTag

    from backendexp.tracking.mlflow_connection import connect

    client = connect(uri)
    experiment = client.create_experiment("backendexp", artifact_location=Path.cwd().as_uri())
    draw = np.random.default_rng(0)
    plan = _plan()
    for number in range(count):
        backend, factor = list(BACKENDS.items())[number % len(BACKENDS)]
        seed = number // len(BACKENDS)
        spec = replace(plan, backend=backend, seed=seed)
        began = 1_700_000_000_000 + number * RUN_MS
        seconds = factor * float(np.exp(draw.normal(0, 0.1)))
        values = {
            "training_time_s": 2 * seconds,
            "loss": 0.7 + float(draw.normal(0, 0.01)),
            "accuracy": round(0.5 + float(draw.normal(0, 0.05)), 2),
            "time/import_s": 4 + seconds,
            "time/build_s": 0.2 * seconds,
            "time/first_epoch_s": seconds,
            "time/steady_epoch_s": 0.05 * seconds,
            "time/remaining_epochs_s": seconds,
            "time/evaluate_s": 0.1 * seconds,
            "time/cpu_s": 3 * seconds,
            "memory/peak_mib": 300 * factor,
        }
        run = client.create_run(experiment, began, _tags(backend, seed), f"{backend}-keras3-seed{seed}")
        metrics = [Metric(name, value, began, 0) for name, value in values.items()]
        metrics += [
            Metric(f"train/{name}", 0.7 - 0.01 * epoch + float(draw.normal(0, 0.01)), began, epoch)
            for epoch in range(1, spec.training.epochs + 1)
            for name in ("loss", "accuracy", "epoch_s")
        ]
        params = [Param(key, value) for key, value in spec.params().items()]
        tags = [RunTag("compile_cache", "filled"), RunTag("start", "fork")]
        client.log_batch(run.info.run_id, metrics, params, tags, synchronous=True)
        client.set_terminated(run.info.run_id, "FINISHED", began + RUN_MS - 1000)


def _plan() -> RunSpec:
    experiments.add_settings()
    config = Config(threads=2)
    config.data.samples, config.data.features, config.data.test_samples = 1000, 20, 100
    return plan_run(config)


def _tags(backend: str, seed: int) -> dict[str, str]:
    return {
        "sweep": SWEEP,
        "role": "timed",
        "block": str(seed + 1),
        "backend": backend,
        "runtime": "keras3",
        "plan": f"{seed:012x}",
        "keras_version": "3.15.1",
        "engine": backend.title(),
        "engine_version": "1.0",
        "python_version": "3.11.7",
        "cpu_model": "A CPU",
        "cores": "2",
        "backendexp.host": "here",
        "load_average": "0.50",
        "weights_digest": f"{seed:064x}",
        "git_commit": "0" * 40,
    }


if __name__ == "__main__":
    main()
