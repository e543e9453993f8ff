"""Times fourteen models in the tiers of keras_theano and on Keras's other backends, side by side in one run.

python models.py [--models "mlp" "lstm 32"] [--sides native jax] [--batch 32] [--rounds 5] [--threads 1]

Every side of a model is a process, and the processes take turns: each does one command, in ever new order,
so that a busy machine slows all alike. All but `native, filled` start with an empty cache of compiled code.
For every model, prints the first fit, the median of the later fits, of evaluate and of predicting one sample,
and the peak memory. A ratio is that of `native` to the best other backend of Keras. A table follows at the
end.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from model_process import MODELS

SCRIPT = Path(__file__).with_name("model_process.py")
TIERS = ("native", "native, filled", "interpreter")
OTHERS = tuple(name for name in ("jax", "tensorflow", "torch") if find_spec(name))
COMMANDS = ("fit", "evaluate", "predict")
LATER = ("fit s", "evaluate s", "predict ms", "peak MiB")


class Side:
    """A process that trains a model on a backend, or in a tier of keras_theano.

    folder: where the tier keeps compiled code.
    """

    def __init__(self, name: str, model: str, batch: int, threads: int, folder: Path) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        backend, mode = ("theano", name.split(",")[0]) if name in TIERS else (name, "")
        environment.update(KERAS_BACKEND=backend, KERAS_THEANO_MODE=mode)
        environment.update(PYTENSOR_FLAGS=f"base_compiledir={folder / (mode or backend)}")
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
            environment[variable] = str(threads)
        environment["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}"
        self.seconds: dict[str, list[float]] = {command: [] for command in COMMANDS}
        self.peak_mib = 0.0
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), model, str(batch)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, command: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        seconds, self.peak_mib = json.loads(self._process.stdout.readline())
        self.seconds[command].append(seconds)

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def summary(self) -> dict[str, float]:
        first, *later = self.seconds["fit"]
        return {
            "first fit s": first,
            "fit s": statistics.median(later),
            "evaluate s": statistics.median(self.seconds["evaluate"][1:]),
            "predict ms": statistics.median(self.seconds["predict"][1:]) * 10,
            "peak MiB": self.peak_mib,
        }


def measured(model: str, asked: argparse.Namespace) -> dict[str, dict[str, float]]:
    sides: dict[str, Side] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.sides:
            sides[name] = Side(name, model, asked.batch, asked.threads, Path(folder))
            for command in COMMANDS:
                sides[name].run(command)
        order = list(sides.values())
        for number in range(asked.rounds):
            for command in COMMANDS:
                turn = number % len(order)
                for side in order[turn:] + order[:turn]:
                    side.run(command)
        for side in order:
            side.end()
    return {name: side.summary() for name, side in sides.items()}


def line(model: str, name: str, values: dict[str, float]) -> str:
    return "  ".join([f"{model:16} {name:15}", *[f"{key} {value:9.3f}" for key, value in values.items()]])


def table(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return a table with a row for each model: the figures of the native tier, and their ratios to those of
    the other backend that is best in the figure.
    """
    heads = ["model", "fastest other fit", "first fit", "first fit, filled cache", "fit", "evaluate"]
    lines = [f"| {' | '.join([*heads, 'predict one sample', 'peak memory'])} |", "|---" * 8 + "|"]
    for model, sides in figures.items():
        others = {name: values for name, values in sides.items() if name in OTHERS}
        best = {key: min(values[key] for values in others.values()) for key in sides["native"]}
        fastest = min(others, key=lambda name: others[name]["fit s"])

        cells = [
            f"{fastest}, {1000 * best['fit s']:.3g} ms",
            beside(sides["native"], best, "first fit s"),
            beside(sides["native, filled"], best, "first fit s"),
            *[
                beside(sides["native"], best, key)
                for key in ("fit s", "evaluate s", "predict ms", "peak MiB")
            ],
        ]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines)


def beside(ours: dict[str, float], best: dict[str, float], key: str) -> str:
    """Return a figure of ours and its ratio to the best one."""
    value, unit = ours[key], key.split()[-1]
    if unit == "s" and not key.startswith("first"):
        value, unit = 1000 * value, "ms"
    return f"{value:.3g} {unit}, {ours[key] / best[key]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--sides", nargs="+", default=[*TIERS, *OTHERS], choices=[*TIERS, *OTHERS])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="a file that gets all figures")
    asked = parser.parse_args()
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for model in asked.models:
        figures[model] = sides = measured(model, asked)
        for name, values in sides.items():
            print(line(model, name, values), flush=True)
        others = [values for name, values in sides.items() if name in OTHERS]
        if others and "native" in sides:
            ours = sides["native"].items()
            ratios = {key: value / min(each[key] for each in others) for key, value in ours}
            print(line(model, "ratio", ratios), flush=True)
        if asked.json:
            asked.json.write_text(json.dumps({"options": vars(asked) | {"json": None}, "models": figures}))
    if {"native", "native, filled"} <= set(asked.sides) and set(OTHERS) & set(asked.sides):
        print(table(figures))


if __name__ == "__main__":
    main()
