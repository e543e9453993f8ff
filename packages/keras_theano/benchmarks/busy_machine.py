"""Measures how much slower training is while another process keeps a core busy, for Keras on PyTensor,
TensorFlow, JAX and PyTorch.

Each round runs every side twice, each time in a separate process: once on an idle machine, and once while
another process runs an endless loop at normal priority. The ratio of the two is computed for each round. Each
run may use --threads threads, by default one for each usable core. The target is that the ratio of Keras on
PyTensor is at most that of the other backends.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_backends import COMPILED, OTHERS, OURS, run, spread

from backendexp.runs.plan import usable_cores

ENDLESS_LOOP = "while True: pass"


@contextmanager
def another_process(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", ENDLESS_LOOP])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--caches", type=Path, help="keep compiled code in this folder for later runs")
    asked = parser.parse_args()
    sides = [*OTHERS, *OURS]
    with tempfile.TemporaryDirectory() as name:
        folder = (asked.caches or Path(name)).resolve()
        for width in asked.widths:
            options = ["--width", str(width), "--epochs", str(asked.epochs)]
            run(COMPILED, asked.threads, folder, ["--width", str(width), "--epochs", "1", "--repeats", "1"])
            found: dict[str, dict[bool, list[float]]] = {side.title: {False: [], True: []} for side in sides}
            for number in range(asked.rounds):
                for side in sides if number % 2 == 0 else sides[::-1]:
                    for busy in (False, True) if number % 2 == 0 else (True, False):
                        with another_process(busy):
                            seconds = run(side, asked.threads, folder, options)["steady_fit_s"]
                        found[side.title][busy].append(seconds)
                        print(json.dumps([width, number, side.title, busy, seconds]), file=sys.stderr)
            print(f"\n### Width {width}, {asked.threads} threads, {asked.rounds} rounds\n")
            print("| backend | an epoch, idle | an epoch, busy | busy / idle |")
            print("| --- | --- | --- | --- |")
            for side in sides:
                idle, busy = found[side.title][False], found[side.title][True]
                ratios = [b / a for a, b in zip(idle, busy, strict=True)]
                cells = [f"{1000 * statistics.median(own) / asked.epochs:.1f} ms" for own in (idle, busy)]
                print(f"| {side.title} | {cells[0]} | {cells[1]} | {spread(ratios)} |")


if __name__ == "__main__":
    main()
