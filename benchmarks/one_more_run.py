"""Measures what one more run of a sweep costs beyond its own training. The target is at most 0.15 s.

The wall times of a long and a short sweep are compared. From each wall time, the benchmark subtracts the
seconds that its runs spent on data, build, fit and evaluate, as the runs recorded them. The difference
between the two remainders is divided by the difference in the number of runs. The result consists of Hydra's
job, the fork, the record, MLflow, and the work of the worker outside the recorded phases. The seconds of the
runs are subtracted first, so that a disturbance during the training of one sweep cancels out.

Noise in the start-up of the two sweeps does not cancel out: one second of it adds one second divided by the
difference in the number of runs. For this reason the same cost is also measured within the long sweep, from
the beginning of its second run to the beginning of its last. This span contains no start-up, but it also
leaves out the end of the sweep. The larger of the two costs is compared with the target.

One more sweep, which is not one of the rounds, times each stage to show where the time goes.
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
class RunOverhead:
    """What a run costs beyond its own training, as measured in one round.

    between_sweeps_s: seconds of overhead for each run, from the difference between the two sweeps.
    within_s: the same, from the long sweep alone.
    own_s: mean seconds of the training itself.
    """

    between_sweeps_s: float
    within_s: float
    own_s: float


def main() -> None:
    parser = measure.arguments(__doc__, rounds=5, backends=["jax", "tensorflow"], runtimes=["keras3"])
    parser.add_argument("--short", type=int, default=2, help="number of runs in the short sweep; default: 2")
    parser.add_argument("--long", type=int, default=22, help="number of runs in the long sweep; default: 22")
    asked = parser.parse_args()
    if not 1 <= asked.short < asked.long or asked.long < 3:
        parser.error("expected 1 <= --short < --long, and a --long of at least 3")
    costs, stages = [], []
    with measure.laboratory(asked.threads) as lab:
        engines = lab.engines(asked.backends, asked.runtimes)
        for engine in engines:
            measure.say(engine.title)
            rounds = _overheads(lab, engine, asked)
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
            f"Sweeps of {asked.short} and {asked.long} runs in turn; median and range of the rounds.\n\n"
            "Where the time goes, in one sweep with timed stages; medians of all runs but the first:\n\n"
            + Table(["backend", "runtime", "stage", "s", "/ own training"], stages).markdown(),
        )


def _overheads(
    lab: measure.Laboratory, engine: measure.Engine, asked: argparse.Namespace
) -> list[RunOverhead]:
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
        # `runs` and `seconds` now belong to the long sweep, which is the last of `projects`.
        # Its first run is left out, because that one also waits for the imports.
        period = (runs[-1].context.began - runs[1].context.began) / (len(runs) - 2)
        found = RunOverhead(
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
    """Add the seconds that the run recorded for data, build, fit and evaluate."""
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
    """Return the median seconds of each stage that is not training, over all runs but the first, which also
    waits for the imports. Together, these stages and the training fill the time between the ends of two jobs.
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
