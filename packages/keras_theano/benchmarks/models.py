"""Times models in the tiers of keras_theano and on Keras's other backends, side by side in one run.

python models.py results.json [--models "mlp" "lstm 32"] [--sides native jax] [--batches 32 128] [--threads 1]
    [--busy] [--rounds 5]

Every side of a model is a process, and the processes take turns: each does one command, in ever new order,
so that a busy machine slows all alike. All but `native, filled` start with an empty cache of compiled code.
A process can import only its own engine, and all processes may use the same cores, as many as --threads says.
With --busy, another process computes without end on the first of these cores.

The figures are added to the file, in which those of other batches and threads stay. results.py makes tables
and a picture of them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("model_process.py")
MODELS = (
    *(
        "mlp",
        "deep mlp",
        "wide mlp",
        "normalized mlp",
        "cnn",
        "separable cnn",
        "attention",
        "four attentions",
    ),
    *("lstm 32", "lstm 256", "gru 32", "gru 256", "embedding", "unet"),
)
# The tutorial's network with other numbers of units.
WIDTHS = ("mlp 16", "mlp 256")
TIERS = ("native", "native, filled", "interpreter")
OTHERS = tuple(name for name in ("jax", "tensorflow", "torch") if find_spec(name))
COMMANDS = ("fit", "evaluate", "predict")
# OMP for PyTorch, NPROC for XLA. The others are those of BLAS and of TensorFlow.
THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
)


class Side:
    """A process that trains a model on a backend, or in a tier of keras_theano.

    folder: where the tier keeps compiled code.
    """

    def __init__(self, name: str, model: str, batch: int, threads: int, folder: Path) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        backend, mode = ("theano", name.split(",")[0]) if name in TIERS else (name, "")
        environment.update(KERAS_BACKEND=backend, KERAS_THEANO_MODE=mode)
        environment.update(PYTENSOR_FLAGS=f"base_compiledir={folder / (mode or backend)}")
        environment.update({variable: str(threads) for variable in THREAD_VARIABLES})
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

    def ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def run(self, command: str) -> None:
        seconds, self.peak_mib = self.ask(command)
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


def measured(model: str, batch: int, asked: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the figures of each side. Those of the native tier include how long its slowest step took to
    compile, and the shortest time that the steps of a fit could take.
    """
    sides: dict[str, Side] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.sides:
            sides[name] = Side(name, model, batch, asked.threads, Path(folder))
            for command in COMMANDS:
                sides[name].run(command)
        order = list(sides.values())
        with another_process(asked.busy):
            for number in range(asked.rounds):
                for command in COMMANDS:
                    turn = number % len(order)
                    for side in order[turn:] + order[:turn]:
                        side.run(command)
        figures = {name: side.summary() for name, side in sides.items()}
        for name in set(sides) & {"native", "native, filled"}:
            figures[name].update(sides[name].ask("compiled"))
        for side in order:
            side.end()
    return figures


@contextmanager
def another_process(wanted: bool) -> Iterator[None]:
    """Keep one core busy."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=[*MODELS, *WIDTHS])
    parser.add_argument("--sides", nargs="+", default=[*TIERS, *OTHERS], choices=[*TIERS, *OTHERS])
    parser.add_argument("--batches", nargs="+", type=int, default=[32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--busy", action="store_true")
    asked = parser.parse_args()
    results = json.loads(asked.results.read_text()) if asked.results.exists() else []
    if hasattr(os, "sched_setaffinity"):
        # The processes inherit this. Engines make as many threads as they find cores, whatever they are told.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: asked.threads])
    for model in asked.models:
        for batch in asked.batches:
            cell = {"model": model, "batch": batch, "threads": asked.threads, "busy": asked.busy}
            sides = measured(model, batch, asked)
            for name, values in sides.items():
                figures = "  ".join(f"{key} {value:9.3f}" for key, value in values.items())
                print(f"{model:16} {batch:5} {name:15} {figures}", flush=True)
            results = [other for other in results if not cell.items() <= other.items()]
            results.append({**cell, "sides": sides})
            asked.results.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
