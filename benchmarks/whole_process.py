"""Measures what tracking costs a user who runs one experiment: `backendexp backend=X` against the bare
script.

Whole processes run in turn on the same interpreter and engine. The target is at most 1.15 times the time of
the bare script, in a project that already has a database. The time in a project without one, where MLflow
first creates its tables, is shown as well. `--network cnn` and `--network lstm` train a convolutional and a
recurrent network instead of the tutorial's: digits of scikit-learn, read from a file.
"""

import measure
import numpy

from backendexp.reporting.tables import Table

TARGET = 1.15


def main() -> None:
    parser = measure.arguments(__doc__, rounds=7, backends=None)
    parser.add_argument("--network", choices=("mlp", "cnn", "lstm"), default="mlp")
    asked = parser.parse_args()
    rows = []
    with measure.laboratory(asked.threads) as lab:
        workload = measure.TUTORIAL if asked.network == "mlp" else _network(lab, asked.network)
        engines = lab.engines(asked.backends, asked.runtimes)
        for engine in engines:
            measure.say(engine.title)
            rounds = measure.interleave(
                {
                    "bare": lab.bare(engine, workload),
                    "backendexp": lab.tracked(engine, workload, project=lab.new_folder()),
                    "backendexp, new database": lab.tracked(engine, workload),
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
            f"One experiment with the {asked.network} against the bare script",
            Table([*titles, "bare, median s"], rows),
            asked,
            engines,
            "Wall time of the whole process; median and range of the ratios.",
        )


def _network(lab: measure.Laboratory, kind: str) -> measure.Network:
    """Return a network that reads digits: as images, or row by row as sequences."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    shape = (8, 8, 1) if kind == "cnn" else (8, 8)
    x = (x / 16).astype(numpy.float32).reshape(-1, *shape)
    file = lab.root / "digits.npz"
    numpy.savez(file, x_train=x[:1437], y_train=y[:1437], x_test=x[1437:], y_test=y[1437:])
    return measure.Network(kind, file)


if __name__ == "__main__":
    main()
