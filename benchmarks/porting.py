"""Ports a model for each layer of Keras 2.3.1, saved by each of its engines, and writes the table of the
proofs.

    python benchmarks/porting.py                        all of them; the table is in docs/porting.md
    python benchmarks/porting.py --only LSTM,Conv2D     those whose names begin so; nothing is written
    python benchmarks/porting.py --engines tf.keras     saved by tf.keras 1.14 instead; nothing is written

The models are made and saved by the real Keras 2.3.1 on TensorFlow 1.14.0 and on Theano 1.0.4, in the keras2
runtime, see `porting_models.py`. Exit code 0: every model is the same to rounding, but for those that the
page lists as different.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from backendexp.errors import UserError
from backendexp.porting import archive, draft, proof, report
from backendexp.porting.proof import Place, Workers
from backendexp.runs.worker_pool import Surroundings, environment_of
from backendexp.runtimes import build, catalogue, prepare

MODELS = Path(__file__).with_name("porting_models.py")
PAGE = Path(__file__).parents[1] / "docs" / "porting.md"
BEGIN, END = "<!-- the table of benchmarks/porting.py -->", "<!-- end of the table -->"
OLD = tuple(catalogue.KERAS2.engines)
TF_KERAS = "tf.keras"
# The models that are known not to be the same, with the reason for each: docs/porting.md explains them.
_MERGED_MASKS = "the generations merge masks differently"
_JAX_STATE = "predict of Keras 3 on JAX carries no state on to its next call"
_POOLING = "with padding='same', Theano pools other windows"
_NOT_RUN = "Theano 1.0.4 needs a BLAS to link to for this, which the machine may lack"
KNOWN = {
    **{("Concatenate, masked", engine): _MERGED_MASKS for engine in (*OLD, TF_KERAS)},
    **{
        (f"{kind}, stateful", engine): _JAX_STATE
        for kind in ("SimpleRNN", "GRU", "LSTM")
        for engine in (*OLD, TF_KERAS)
    },
    **{(f"{kind}Pooling{rank}D, same", "theano"): _POOLING for kind in ("Max", "Average") for rank in (1, 2)},
    **{
        (name, "theano"): _NOT_RUN
        for name in ("LocallyConnected1D", "LocallyConnected2D", "Dot", "Dot, three axes")
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="the beginnings of names, separated by commas")
    parser.add_argument("--engines", default=",".join(OLD), help="the engines that save the models")
    parser.add_argument("--backends", help="the backends of the new models (default: all that are here)")
    parser.add_argument(
        "--keep", type=Path, help="a folder that keeps models and results; what it has is not done again"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        new = [Place("keras3", name) for name in (asked.backends or ",".join(_here())).split(",")]
        begins = tuple(asked.only.split(",")) if asked.only else ("",)
        rows = _all(folder, asked.engines.split(","), new, begins)
    wrong = [
        (name, engine) for name, cells in rows.items() for engine, cell in cells.items() if not cell.good
    ]
    news = [place for place in wrong if place not in KNOWN]
    print(f"{sum(map(len, rows.values()))} models, {len(wrong)} of them not the same: {len(news)} not known")
    if not asked.only and not asked.backends and asked.engines == ",".join(OLD):
        _write(rows, new)
    return 1 if news else 0


class Cell:
    """The result for one model: whether it is the same to rounding, and the text of the table."""

    def __init__(self, good: bool, text: str) -> None:
        self.good = good
        self.text = text


def _here() -> list[str]:
    found = []
    for name in catalogue.KERAS3.engines:
        try:
            prepare.check_available(Place("keras3", name))
            found.append(name)
        except UserError as error:
            print(str(error).splitlines()[0])
    return found


def _all(
    folder: Path, engines: list[str], new: list[Place], begins: tuple[str, ...]
) -> dict[str, dict[str, Cell]]:
    rows: dict[str, dict[str, Cell]] = {}
    workers = Workers(lambda text: None, parallel=max(2, os.cpu_count() or 2))
    try:
        for engine in engines:
            kept = folder / f"results-{engine}.json"
            done = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
            for name, file in _save(folder / engine, engine):
                if not name.startswith(begins):
                    continue
                began = time.perf_counter()
                if name not in done:
                    cell = _port(file, engine, new, workers)
                    done[name] = [cell.good, cell.text]
                    kept.write_text(json.dumps(done, indent=1), encoding="utf-8")
                rows.setdefault(name, {})[engine] = cell = Cell(*done[name])
                print(f"{name}, {engine}: {cell.text} ({time.perf_counter() - began:.1f} s)", flush=True)
    finally:
        workers.close()
    return rows


def _save(folder: Path, engine: str) -> list[tuple[str, Path]]:
    """Save the models by the real Keras 2.3.1. Returns their names and files."""
    folder.mkdir(parents=True, exist_ok=True)
    python = build.ensure_built("keras2", print)
    backend = "tensorflow" if engine == TF_KERAS else engine
    environment = environment_of(Surroundings(backend, "keras2", 2), False)
    environment["TF_KERAS"] = str(int(engine == TF_KERAS))
    made = subprocess.run(
        [python, str(MODELS), str(folder)],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )
    if made.returncode:
        raise SystemExit(made.stderr)
    names = made.stdout.splitlines()
    return [(name, folder / f"{name.replace(' ', '_').replace(',', '')}.h5") for name in names]


def _port(file: Path, engine: str, new: list[Place], workers: Workers) -> Cell:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            drawn = draft.make(archive.read(file, None))
            task = drawn.task(None, folder / "model.keras", folder, 2, 600.0)
            old = Place("keras2", "tensorflow" if engine == TF_KERAS else engine, tf_keras=engine == TF_KERAS)
            proved = proof.prove(task, [old], new, workers)
        except UserError as error:
            return Cell(False, f"refused: {error}")
        told = report.of(drawn, proved)
    if told.verdict != report.SAME:
        return Cell(False, " ".join(told.sentences[:2]))
    most = max(told.greatest.values())
    scale = max(row.scale for row in proved.rows)
    return Cell(True, f"{most:.1e} of {scale:.2g}")


def _shown(name: str, engine: str, cells: dict[str, Cell]) -> str:
    """The text of a cell of the table. Paths of this machine do not get into it."""
    if engine not in cells:
        return "needs a GPU and TensorFlow"
    cell = cells[engine]
    if cell.good:
        return cell.text
    what = "**unproved**" if cell.text.startswith("UNPROVED") else "**different**"
    return f"{what}: {KNOWN.get((name, engine), 'see the command')}"


def _write(rows: dict[str, dict[str, Cell]], new: list[Place]) -> None:
    """Put the table into the page."""
    lines = [
        f"| model | {' | '.join(f'saved on {engine}' for engine in OLD)} |",
        "|---" * (1 + len(OLD)) + "|",
    ]
    for name, cells in rows.items():
        found = [_shown(name, engine, cells) for engine in OLD]
        lines.append(f"| {name} | {' | '.join(text.replace('|', '/') for text in found)} |")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    count = sum(map(len, rows.values()))
    same = sum(cell.good for cells in rows.values() for cell in cells.values())
    said = (
        f"{same} of {count} models are the same to rounding on {', '.join(place.backend for place in new)}. "
        "The cells have the greatest distance of any output of any layer on any backend, and the greatest "
        "number."
    )
    said = "\n".join(textwrap.wrap(said, 120))
    PAGE.write_text(
        f"{before}{BEGIN}\n\n{said}\n\n" + "\n".join(lines) + f"\n\n{END}{after}", encoding="utf-8"
    )


if __name__ == "__main__":
    sys.exit(main())
