"""Compares Keras on PyTensor with the same Keras on TensorFlow, JAX and PyTorch.

Each round runs every side once, one after the other, each in a separate process. The targets are ratios to
the fastest other backend of the round: at most 0.5 for a warm fit, at most 1.0 for a first fit with a filled
compile cache and 1.5 with an empty one, and at most 1.0 for a warm evaluate or predict. The interpreter needs
no compile cache, so its first fit counts for both.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from backendexp.runs.worker_pool import THREAD_VARIABLES

SCRIPT = Path(__file__).with_name("keras_fit.py")
# Width, batch and depth. First those of the tutorial, then each of them varied separately, then extremes.
SIZES = (
    *((64, 128, 2), (16, 128, 2), (256, 128, 2), (1024, 128, 2)),
    *((64, 32, 2), (64, 1024, 2), (64, 128, 1), (64, 128, 8)),
    *((16, 32, 1), (1024, 32, 2), (1024, 1024, 2)),
)
GRID_EPOCHS = 5
MEASURES = ("first_fit_s", "warm_fit_s", "evaluate_s", "predict_s")


@dataclass(frozen=True)
class Side:
    """A backend to measure. For the Theano backend, `mode` is the value of KERAS_THEANO_MODE."""

    backend: str
    mode: str = ""

    @property
    def title(self) -> str:
        return f"{self.backend}, {self.mode}" if self.mode else self.backend


OTHERS = [Side(name) for name in ("tensorflow", "jax", "torch") if find_spec(name)]
COMPILED = Side("theano", "native")
OURS = [Side("theano", "interpreter"), COMPILED]


def run(side: Side, threads: int, folder: Path, options: list[str]) -> dict[str, float]:
    """Run keras_fit.py with these options on one side, with its caches in `folder`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment.update({name: str(threads) for name in THREAD_VARIABLES})
    environment.update(KERAS_BACKEND=side.backend, KERAS_HOME=str(folder), KERAS_THEANO_MODE=side.mode)
    environment.update(PYTENSOR_FLAGS=f"base_compiledir={folder / 'compiled'}")
    if threads == 1:
        environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    answer = subprocess.run(
        [sys.executable, str(SCRIPT), *options], env=environment, capture_output=True, text=True, check=True
    )
    return dict(json.loads(answer.stdout.splitlines()[-1]))


def compare(threads: int, rounds: int, folder: Path) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each measure, then of each side by its title, with one value for each round."""
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds):
        sides = [*OTHERS, *OURS]
        for side in sides if number % 2 == 0 else sides[::-1]:
            seconds = run(side, threads, folder, [])
            print(f"round {number + 1}/{rounds}, {threads} threads: {side.title} {seconds}", file=sys.stderr)
            for name in MEASURES:
                found.setdefault(name, {}).setdefault(side.title, []).append(seconds[name])
    return found


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Return a table with a row of milliseconds for each side. Those of the Theano backend also have the
    ratio to the fastest other backend of each round.
    """
    lines = [
        "| backend | " + " | ".join(name.removesuffix("_s").replace("_", " ") for name in MEASURES) + " |"
    ]
    lines.append("| --- |" + " --- |" * len(MEASURES))
    for side in (*OTHERS, *OURS):
        cells = []
        for name in MEASURES:
            own = found[name][side.title]
            cell = f"{1000 * statistics.median(own):.0f} ms"
            if side in OURS:
                fastest = [min(found[name][o.title][n] for o in OTHERS) for n in range(len(own))]
                ratios = [a / b for a, b in zip(own, fastest, strict=True)]
                cell += f", {spread(ratios)}"
            cells.append(cell)
        lines.append(f"| {side.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def grid(threads: int, rounds: int, folder: Path) -> str:
    """Return a table of the ratio of a warm fit to that of the fastest other backend of the round, for each
    size. The last column is a lower limit: the ratio for the compiled steps alone, called as often as in a
    fit.
    """
    lines = ["| width | batch | depth | fastest other | interpreter | compiled | compiled step alone |"]
    lines.append("| --- |" + " --- |" * 6)
    for width, batch, depth in SIZES:
        sizes = ["--width", str(width), "--batch", str(batch), "--depth", str(depth)]
        options = [*sizes, "--epochs", str(GRID_EPOCHS), "--repeats", "3"]
        # This run compiles what is not in the cache yet.
        run(COMPILED, threads, folder, [*sizes, "--epochs", "1", "--repeats", "1"])
        fastest, ratios = [], []
        for number in range(rounds):
            sides = [*OTHERS, *OURS]
            found = {
                side: run(side, threads, folder, [*options, *(["--bare"] if side == COMPILED else [])])
                for side in (sides if number % 2 == 0 else sides[::-1])
            }
            first = min(OTHERS, key=lambda side: found[side]["warm_fit_s"])
            fastest.append((found[first]["warm_fit_s"], first.title))
            ours = [found[side]["warm_fit_s"] for side in OURS] + [found[COMPILED]["bare_steps_s"]]
            ratios.append([seconds / fastest[-1][0] for seconds in ours])
        title = " or ".join(sorted({name for _, name in fastest}))
        ms = 1000 * statistics.median(seconds for seconds, _ in fastest)
        cells = [f"{title}, {ms:.0f} ms", *[spread(column) for column in zip(*ratios, strict=True)]]
        lines.append(f"| {width} | {batch} | {depth} | " + " | ".join(cells) + " |")
        print(lines[-1], file=sys.stderr)
    return "\n".join(lines)


def spread(ratios: Sequence[float]) -> str:
    middle = f"{statistics.median(ratios):.2f}"
    return f"{middle} ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--grid", action="store_true", help="only compare fit over widths, batches and depths"
    )
    parser.add_argument("--caches", type=Path, help="keep compiled code in this folder for later runs")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = (asked.caches or Path(name)).resolve()
        if asked.grid:
            for threads in asked.threads:
                print(f"\n### Sizes, {threads} threads\n\n{grid(threads, asked.rounds, folder)}")
            return
        for side in (*OTHERS, *OURS):  # bytecode and compiled code now exist for all sides
            run(side, asked.threads[0], folder, ["--repeats", "1"])
        for threads in asked.threads:
            measured = compare(threads, asked.rounds, folder)
            print(f"\n### Keras on PyTensor, {threads} threads\n\n{table(measured)}")


if __name__ == "__main__":
    main()
