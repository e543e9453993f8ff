"""What one more run of a sweep costs beyond its own training. Target: at most 0.15 s.

(wall time of a long sweep - wall time of a short one) / (runs between them), less the seconds that those runs
spent on data, build, fit and evaluate by their own clocks. What is left is Hydra's job, the fork, the record,
MLflow, and what the worker does outside its clocks. The runs' own seconds are taken from each sweep's wall
time before the two are subtracted: a disturbance that meets the training of one sweep then cancels out.

The start-up of the two sweeps does not cancel out: a second of noise in it is a second divided by the runs
between them. So the same is also read within the long sweep, from the begin of its second run to the begin of
its last, which holds no start-up but leaves out what the end of a sweep costs a run. The dearer of the two is
what the target is held against.

A further sweep, with a clock around each stage, tells where it goes; it is not one of the rounds.
"""

import argparse
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import measure

from backendexp.reporting.tables import Table
from backendexp.runs import events, record
from backendexp.runs.record import RunRecord

TARGET_S = 0.15


@dataclass(frozen=True)
class Beyond:
    """Of one round. between_sweeps_s, within_s: seconds a run beyond its training, from two sweeps and from
    the long one alone. own_s: mean seconds of the training.
    """

    between_sweeps_s: float
    within_s: float
    own_s: float


def main() -> None:
    parser = measure.arguments(__doc__, rounds=5, backends=["jax", "tensorflow"], runtimes=["keras3"])
    parser.add_argument("--short", type=int, default=2, help="runs of the short sweep; default: 2")
    parser.add_argument("--long", type=int, default=22, help="runs of the long sweep; default: 22")
    asked = parser.parse_args()
    if not 1 <= asked.short < asked.long or asked.long < 3:
        parser.error("expected 1 <= --short < --long, and --long from 3")
    costs, stages = [], []
    with measure.laboratory(asked.threads) as lab:
        engines = lab.engines(asked.backends, asked.runtimes)
        for engine in engines:
            measure.say(engine.title)
            rounds = _beyond_training(lab, engine, asked)
            shares = measure.Spread([max(r.between_sweeps_s, r.within_s) / r.own_s for r in rounds])
            between = statistics.median(r.between_sweeps_s for r in rounds)
            within = statistics.median(r.within_s for r in rounds)
            costs.append([engine.backend, engine.runtime, str(shares)])
            costs[-1] += [
                _seconds([r.between_sweeps_s for r in rounds]),
                _seconds([r.within_s for r in rounds]),
            ]
            costs[-1] += [measure.met(max(between, within), TARGET_S)]
            costs[-1] += [f"{statistics.median(r.own_s for r in rounds):.2f}"]
            stages += _stage_rows(lab, engine, asked.long)
        titles = ["backend", "runtime", "beyond / own training", "beyond, s", "within a sweep, s"]
        titles += [f"at most {TARGET_S}", "own data, build, fit, evaluate, s"]
        measure.report(
            "What one more run costs beyond its own training",
            Table(titles, costs),
            asked,
            engines,
            f"Sweeps of {asked.short} and {asked.long} runs in turn; median of the rounds, and its range.\n\n"
            "Where it goes, from one sweep with clocks, medians of its runs but the first:\n\n"
            + Table(["backend", "runtime", "stage", "s", "/ own training"], stages).markdown(),
        )


def _beyond_training(
    lab: measure.Laboratory, engine: measure.Engine, asked: argparse.Namespace
) -> list[Beyond]:
    sweeps = {"short": asked.short, "long": asked.long}
    projects = {name: lab.new_folder() for name in sweeps}
    sides = {
        name: lab.tracked(engine, extra=["-m", f"seed=range({runs})"], project=projects[name])
        for name, runs in sweeps.items()
    }
    measure.say("warm-up, not recorded")
    for side in sides.values():
        measure.run(side)
    measured = []
    for number in range(1, asked.rounds + 1):
        known = {name: set(record.find([project])) for name, project in projects.items()}
        in_turn = sides if number % 2 else dict(reversed(sides.items()))
        (costs,) = measure.interleave(in_turn, rounds=1, warm_up=False)
        rest = {}
        for name, project in projects.items():
            runs = [record.load(folder) for folder in record.find([project]) if folder not in known[name]]
            seconds = [_own_seconds(run) for run in runs]
            rest[name] = costs[name].wall_s - sum(seconds)
        # `runs` and `seconds` are now the long sweep's, the last of `projects`.
        # The first run of a sweep also waits for the imports.
        period = (runs[-1].context.began - runs[1].context.began) / (len(runs) - 2)
        found = Beyond(
            between_sweeps_s=(rest["long"] - rest["short"]) / (asked.long - asked.short),
            within_s=period - statistics.mean(seconds[1:-1]),
            own_s=statistics.mean(seconds),
        )
        measured.append(found)
        measure.say(f"round {number}/{asked.rounds}: {found}")
    return measured


def _seconds(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _own_seconds(run: RunRecord) -> float:
    """Of data, build, fit and evaluate, as the run recorded them."""
    result = run.result
    assert result is not None
    assert result.data is not None
    phases = (result.data["seconds"], result.build_s, result.training_time_s, result.evaluate_s)
    return sum(seconds for seconds in phases if seconds is not None)


def _stage_rows(lab: measure.Laboratory, engine: measure.Engine, runs: int) -> list[list[str]]:
    folder = lab.new_folder()
    spans = folder / "spans.json"
    script = Path(__file__).with_name("clocked.py")
    sweep = ["-m", f"seed=range({runs})"]
    command = [sys.executable, str(script), str(spans), *sweep, *lab.overrides(engine)]
    measure.run(measure.Side(command, measure.own_environment(), lambda: folder))
    records = [record.load(found) for found in record.find([folder])]
    own = statistics.median(_own_seconds(run) for run in records[1:])
    stages = _stages(json.loads(spans.read_text()), records)
    return [
        [engine.backend, engine.runtime, stage, f"{seconds:.3f}", f"{seconds / own:.3f}"]
        for stage, seconds in stages.items()
    ]


def _stages(spans: list[tuple[str, float, float]], records: list[RunRecord]) -> dict[str, float]:
    """Median seconds of each stage that is not the run's own training, over all runs but the first, which
    also waits for the imports. Together they are what lies between the ends of two jobs.
    """
    by_stage: dict[str, list[tuple[float, float]]] = {}
    for stage, began, ended in spans:
        by_stage.setdefault(stage, []).append((began, ended))
    collected: dict[str, list[float]] = {}
    for number in range(1, len(records)):
        (job_began, job_ended), (run_began, run_ended) = by_stage["job"][number], by_stage["run"][number]
        worker_began, worker_ended = by_stage["worker"][number]
        times = {e["event"]: e["time"] for e in events.read(records[number].directory / "events.jsonl")}
        took = {
            name: by_stage[name][number][1] - by_stage[name][number][0]
            for name in ("mlflow begin", "mlflow end", "record begin", "record finish")
        }
        inside = times["finished"] - times["started"] - _own_seconds(records[number])
        known = {
            "Hydra, between jobs": job_began - by_stage["job"][number - 1][1],
            "config and plan": (job_ended - job_began) - (run_ended - run_began),
            **took,
            "order and fork": times["started"] - worker_began,
            "in the run, outside its clocks": inside,
            "the run's exit": worker_ended - times["finished"],
        }
        named_in_run = sum(took.values()) + (worker_ended - worker_began)
        known["rest of the session"] = (run_ended - run_began) - named_in_run
        for stage, seconds in known.items():
            collected.setdefault(stage, []).append(seconds)
    medians = {stage: statistics.median(values) for stage, values in collected.items()}
    return {**medians, "together": sum(medians.values())}


if __name__ == "__main__":
    main()
