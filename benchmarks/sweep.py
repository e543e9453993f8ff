"""Measures what the fork server saves, by comparing a sweep of many seeds with a shell loop of as many bare
scripts.

The sweep is `backendexp -m seed=range(20) backend=tensorflow` on Keras 3. The whole process is measured,
including tracking and the creation of the database. The target is that the sweep is at least 4 times as fast
as the loop.
"""

import shlex

import measure

from backendexp.reporting.tables import Table

TARGET = 4.0


def main() -> None:
    parser = measure.arguments(__doc__, rounds=3, backends=["tensorflow"], runtimes=["keras3"])
    parser.add_argument(
        "--runs", type=int, default=20, help="number of runs in the sweep and in the loop; default: 20"
    )
    asked = parser.parse_args()
    rows = []
    with measure.laboratory(asked.threads) as lab:
        engines = lab.engines(asked.backends, asked.runtimes)
        for engine in engines:
            measure.say(engine.title)
            # One bare script and a sweep of one run warm the caches as well as twenty would.
            for warm in (lab.bare(engine), lab.tracked(engine, extra=["-m", "seed=0"])):
                measure.run(warm)
            sides = {
                "loop": _loop(lab.bare(engine), asked.runs),
                "sweep": lab.tracked(engine, extra=["-m", f"seed=range({asked.runs})"]),
            }
            rounds = measure.interleave(sides, asked.rounds, warm_up=False)
            faster = measure.ratios(rounds, "loop", "sweep")
            loop_s = measure.median_of(rounds, "loop", lambda cost: cost.wall_s)
            verdict = "yes" if faster.median >= TARGET else "no"
            rows.append([engine.backend, engine.runtime, str(asked.runs), str(faster), verdict])
            rows[-1].append(f"{loop_s / asked.runs:.1f}")
        titles = ["backend", "runtime", "runs", "loop / sweep", f"at least {TARGET:g}", "loop, s a run"]
        measure.report(
            "A sweep against a shell loop of bare scripts",
            Table(titles, rows),
            asked,
            engines,
            "Wall time of the whole sweep and of the whole loop; median and range of the ratios.",
        )


def _loop(bare: measure.Side, runs: int) -> measure.Side:
    """Return the side that runs the bare script many times in a shell loop."""
    line = f"set -e; i=0; while [ $i -lt {runs} ]; do {shlex.join(bare.command)}; i=$((i+1)); done"
    return measure.Side(["sh", "-c", line], bare.environment, bare.folder)


if __name__ == "__main__":
    main()
