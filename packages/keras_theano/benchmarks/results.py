"""Makes tables in Markdown and a picture of what models.py has measured.

python results.py results.json [--picture models.svg]
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from models import MODELS, OTHERS

# Bytes of a large array that are copied, to know how fast this machine's memory is.
COPIED = 2**28
BATCHES = (32, 128, 1024)
WIDTHS = {16: "mlp 16", 64: "mlp", 256: "mlp 256", 1024: "wide mlp"}


class Cell:
    """The figures of a model.

    ratio(key): those of the native tier, divided by those of the best other backend.
    """

    def __init__(self, cell: dict[str, Any]) -> None:
        self.name: str = cell["model"]
        self.batch: int = cell["batch"]
        self.setting = (cell["batch"], cell["threads"], cell["busy"])
        self.sides: dict[str, dict[str, float]] = cell["sides"]
        self.ours = self.sides["native"]
        self._others = {name: values for name, values in self.sides.items() if name in OTHERS}

    def best(self, key: str) -> tuple[float, str]:
        return min((values[key], name) for name, values in self._others.items())

    def ratio(self, key: str, side: str = "native") -> float:
        return self.sides[side][key] / self.best(key)[0]


def table(cells: list[Cell], bandwidth: float) -> str:
    """Return the figures of the native tier with their ratios.

    bandwidth: how many MiB this machine's memory reads and writes in a second.
    """
    heads = (
        *(
            "model",
            "fastest other fit",
            "fit",
            "floor of a fit",
            "evaluate",
            "predict one sample",
            "first fit",
        ),
        *("with a filled cache", "slowest step to compile", "from disk", "peak memory"),
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for cell in cells:
        fit, fastest = cell.best("fit s")
        ours, filled = cell.ours, cell.sides["native, filled"]
        cells_of_row = (
            cell.name,
            f"{fastest}, {1000 * fit:.3g} ms",
            f"{1000 * ours['fit s']:.3g} ms, {cell.ratio('fit s'):.2f}",
            f"{1000 * ours['products s']:.2g} + {1000 * ours['moved MiB'] / bandwidth:.2g} ms",
            f"{1000 * ours['evaluate s']:.3g} ms, {cell.ratio('evaluate s'):.2f}",
            f"{ours['predict ms']:.2g} ms, {cell.ratio('predict ms'):.2f}",
            f"{ours['first fit s']:.2f} s, {cell.ratio('first fit s'):.2f}",
            f"{filled['first fit s']:.2f} s, {cell.ratio('first fit s', 'native, filled'):.2f}",
            f"{ours['compile s']:.2f} s",
            f"{filled['compile s']:.2f} s",
            f"{ours['peak MiB']:.0f} MiB, {cell.ratio('peak MiB'):.2f}",
        )
        lines.append(f"| {' | '.join(cells_of_row)} |")
    return "\n".join(lines)


def short_table(cells: list[Cell]) -> str:
    """Return the ratios of the settings that are not in the first table."""
    lines = ["| model | batch | threads | busy | fastest other fit | fit | evaluate |", "|---" * 7 + "|"]
    for cell in cells:
        batch, threads, busy = cell.setting
        (fit, fastest), ours = cell.best("fit s"), cell.ours["fit s"]
        lines.append(
            f"| {cell.name} | {batch} | {threads} | {'yes' if busy else 'no'} "
            f"| {fastest}, {1000 * fit:.3g} ms | {1000 * ours:.3g} ms, {cell.ratio('fit s'):.2f} "
            f"| {cell.ratio('evaluate s'):.2f} |"
        )
    return "\n".join(lines)


def memory_bandwidth() -> float:
    """Return how many MiB this machine's memory reads and writes in a second."""
    source, target = np.ones(COPIED // 8), np.ones(COPIED // 8)
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        np.copyto(target, source)
        taken.append(time.perf_counter() - began)
    return 2 * COPIED / 2**20 / min(taken)


def draw(cells: list[Cell], path: Path) -> None:
    """Draw the ratios of all models with batches of 32, and those of the tutorial's network by its number of
    units and the batch.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), width_ratios=(3, 2), layout="constrained")
    models = [
        cell for name in MODELS for cell in cells if (cell.name, cell.setting) == (name, (32, 1, False))
    ]
    for name, colour in (*zip(OTHERS, ("#0072B2", "#E69F00", "#CC79A7"), strict=False), ("native", "black")):
        ratios = [cell.sides[name]["fit s"] / cell.best("fit s")[0] for cell in models]
        label = "theano" if name == "native" else name
        left.plot(ratios, range(len(models)), "o", color=colour, label=label, clip_on=False)
    left.set_yticks(range(len(models)), [cell.name for cell in models])
    left.invert_yaxis()
    left.axvline(1, color="#888888", linewidth=0.8)
    left.set(xscale="log", xlabel="time of a later fit / that of the fastest other backend")
    ticks = (0.2, 0.5, 1, 2, 5, 10)
    left.set_xticks(ticks, map(str, ticks))
    left.minorticks_off()
    left.set_title("Batches of 32, one thread", fontsize="medium")
    left.grid(axis="y", alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=4, frameon=False)
    by_place = {(cell.name, *cell.setting): cell for cell in cells}
    for batch, marker in zip(BATCHES, "os^", strict=True):
        found = [
            (width, by_place[name, batch, 1, False].ratio("fit s"))
            for width, name in WIDTHS.items()
            if (name, batch, 1, False) in by_place
        ]
        right.plot(*zip(*found, strict=True), marker=marker, color="black", label=f"batches of {batch}")
    right.axhline(1, color="#888888", linewidth=0.8)
    right.set(
        xscale="log", xlabel="units in each of two layers", ylabel="theano / fastest other", ylim=(0, None)
    )
    right.set_xticks(list(WIDTHS), [str(width) for width in WIDTHS], minor=False)
    right.minorticks_off()
    right.set_title("The tutorial's network", fontsize="medium")
    right.legend()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    cells = [Cell(cell) for cell in json.loads(asked.results.read_text())]
    order = [*MODELS, *WIDTHS.values()]
    cells.sort(key=lambda cell: (cell.setting[1:], order.index(cell.name), cell.batch))
    bandwidth = memory_bandwidth()
    first = [cell for cell in cells if cell.setting == (32, 1, False) and cell.name in MODELS]
    print(table(first, bandwidth))
    print(f"\nThe memory reads and writes {bandwidth / 1024:.1f} GiB in a second.\n")
    print(short_table([cell for cell in cells if cell not in first]))
    if asked.picture:
        draw(cells, asked.picture)


if __name__ == "__main__":
    main()
