"""Measures whether the cost of tracking, in time and in memory, stays small as the data and the model grow.

It compares backendexp with the bare script for 1e3 to 1e6 samples with hidden layers of 64 units, and for
hidden layers of 64 to 1024 units with 1e4 samples. The large sizes train for few epochs, so that the
benchmark ends within minutes. The fewer epochs there are, the larger is the share of the fixed costs. The
target is that memory grows no faster than the data.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import measure
from measure import Cost, Workload

from backendexp.reporting.tables import Table

# The number of epochs for each number of samples. The others are compared with the first.
SAMPLES = {10**3: 20, 10**4: 5, 10**5: 2, 10**6: 1}
HIDDEN, HIDDEN_SAMPLES, HIDDEN_EPOCHS = (64, 128, 256, 512, 1024), 10**4, 5
MIB = 2**20


@dataclass(frozen=True)
class Point:
    """The measurements of one size.

    time: the wall time of backendexp divided by that of the bare script.
    process: the peak bytes of a single process, for backendexp and for the bare script.
    tree: the peak bytes of all processes together, for the same two.
    """

    workload: Workload
    time: measure.Spread
    process: tuple[float, float]
    tree: tuple[float, float]


def main() -> None:
    parser = measure.arguments(__doc__, rounds=3, backends=["tensorflow", "jax"], runtimes=["keras3"])
    parser.add_argument(
        "--most-samples",
        type=int,
        default=max(SAMPLES),
        help="leave out larger numbers of samples; default: 1000000",
    )
    parser.add_argument(
        "--most-units", type=int, default=max(HIDDEN), help="leave out wider layers; default: 1024"
    )
    asked = parser.parse_args()
    by_samples = [Workload(samples=n, epochs=e) for n, e in SAMPLES.items() if n <= asked.most_samples]
    by_units = [
        Workload(samples=HIDDEN_SAMPLES, hidden_units=(units, units), epochs=HIDDEN_EPOCHS)
        for units in HIDDEN
        if units <= asked.most_units
    ]
    sample_rows, unit_rows = [], []
    with measure.laboratory(asked.threads) as lab:
        engines = lab.engines(asked.backends, asked.runtimes)
        for engine in engines:
            measure.say(engine.title)
            project = lab.new_folder()
            # One run with the smallest size warms the caches and creates the project's database.
            for warm in (lab.bare(engine), lab.tracked(engine, project=project)):
                measure.run(warm)
            # A size that is in both lists is measured only once.
            points = {
                w: _measure(lab, engine, project, w, asked.rounds)
                for w in dict.fromkeys(by_samples + by_units)
            }
            sample_rows += [
                [*_common(engine, points[w]), *_growth(points[w], points[by_samples[0]])] for w in by_samples
            ]
            unit_rows += [_common(engine, points[w]) for w in by_units]
        common = ["backend", "runtime", "samples", "hidden", "epochs", "time / bare"]
        common += ["peak process / bare", "peak tree / bare"]
        growth = ["data, MiB", "growth, MiB", "growth / data", "growth of bare / data"]
        measure.report(
            "Growing data and growing models",
            Table([*common, *growth], sample_rows),
            asked,
            engines,
            "Peak process: the largest resident memory of one process, from the kernel. Peak tree: the "
            "largest memory of all processes together, sampled, with shared memory counted once. Growth: the "
            "peak process minus that of the first row. Data: x and y in float32, minus those of the first "
            "row. If growth / data is constant, memory grows in proportion to the data.\n\n"
            + Table(common, unit_rows).markdown(),
        )


def _measure(
    lab: measure.Laboratory, engine: measure.Engine, project: Path, workload: Workload, rounds: int
) -> Point:
    measure.say(f"{workload.samples} samples, hidden {workload.hidden_units}, {workload.epochs} epochs")
    sides = {
        "backendexp": lab.tracked(engine, workload, project=project),
        "bare": lab.bare(engine, workload),
    }
    costs = measure.interleave(sides, rounds, warm_up=False, whole_tree=True)
    return Point(
        workload,
        measure.ratios(costs, "backendexp", "bare"),
        _peaks(costs, lambda cost: cost.process_bytes),
        _peaks(costs, lambda cost: cost.tree_bytes or 0),
    )


def _peaks(costs: list[dict[str, Cost]], value: Callable[[Cost], float]) -> tuple[float, float]:
    return measure.median_of(costs, "backendexp", value), measure.median_of(costs, "bare", value)


def _common(engine: measure.Engine, point: Point) -> list[str]:
    workload = point.workload
    sizes = [f"{workload.samples:,}", str(workload.hidden_units[0]), str(workload.epochs)]
    memory = [f"{ours / bare:.2f}" for ours, bare in (point.process, point.tree)]
    return [engine.backend, engine.runtime, *sizes, str(point.time), *memory]


def _growth(point: Point, first: Point) -> list[str]:
    data = point.workload.data_bytes - first.workload.data_bytes
    if not data:
        return ["-"] * 4
    ours, bare = (now - then for now, then in zip(point.process, first.process, strict=True))
    return [f"{data / MIB:.1f}", f"{ours / MIB:.1f}", f"{ours / data:.1f}", f"{bare / data:.1f}"]


if __name__ == "__main__":
    main()
