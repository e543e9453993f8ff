"""Measures what tracking costs a user who runs one experiment: `backendexp backend=X` against the bare
script.

Whole processes run in turn on the same interpreter and engine. The target is at most 1.15 times the time of
the bare script, in a project that already has a database. The time in a project without one, where MLflow
first creates its tables, is shown as well.
"""

import measure

from backendexp.reporting.tables import Table

TARGET = 1.15


def main() -> None:
    asked = measure.arguments(__doc__, rounds=7, backends=None).parse_args()
    rows = []
    with measure.laboratory(asked.threads) as lab:
        engines = lab.engines(asked.backends, asked.runtimes)
        for engine in engines:
            measure.say(engine.title)
            rounds = measure.interleave(
                {
                    "bare": lab.bare(engine),
                    "backendexp": lab.tracked(engine, project=lab.new_folder()),
                    "backendexp, new database": lab.tracked(engine),
                },
                asked.rounds,
            )
            used = measure.ratios(rounds, "backendexp", "bare")
            new = measure.ratios(rounds, "backendexp, new database", "bare")
            bare_s = measure.median_of(rounds, "bare", lambda cost: cost.wall_s)
            verdict = measure.met(used.median, TARGET)
            rows.append([engine.backend, engine.runtime, str(used), verdict, str(new), f"{bare_s:.1f}"])
        titles = [
            "backend",
            "runtime",
            "backendexp / bare",
            f"at most {TARGET}",
            "with a new database / bare",
        ]
        measure.report(
            "One experiment against the bare script",
            Table([*titles, "bare, median s"], rows),
            asked,
            engines,
            "Wall time of the whole process; median and range of the ratios.",
        )


if __name__ == "__main__":
    main()
