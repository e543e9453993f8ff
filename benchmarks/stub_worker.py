"""A worker that trains nothing, so that a thousand runs take minutes.

Only the training and the import of Keras are replaced. The worker's main loop is the real one: it forks a
process for each run, kills it if its parent goes away, and says how it ended.
"""

import importlib.util
import os
import random
import sys
import time
import types
from pathlib import Path

_ENTRY = Path(importlib.util.find_spec("backendexp").origin).parent / "worker" / "__main__.py"
_PACKAGE = "backendexp_worker"
# A run takes about this long, so that faults meet it in all of its phases.
_EPOCH_S = float(os.environ.get("BACKENDEXP_STUB_EPOCH_S", "0.01"))


def load():
    """Stands for `engine.load`, which imports Keras."""
    return {
        "backend": os.environ["KERAS_BACKEND"],
        "keras": "3.15.1",
        "engine": "Stub",
        "engine_version": "1.0",
        "python": "3.11.7",
        "import_s": 0.0,
        "packages": {"numpy": "2.0"},
    }


def execute(spec, directory, events):
    """Stands for `run.execute`, which trains. The numbers depend on the seed alone."""
    draw = random.Random(spec["seed"])
    epochs = spec["training"]["epochs"]
    events.send("phase", name="data")
    shapes = {"x_train": [256, 8], "y_train": [256, 1], "x_test": [64, 8], "y_test": [64, 1]}
    events.send("data", seconds=0.01, digest=f"{spec['seed']:064x}", shapes=shapes, bytes=11520)
    events.send("phase", name="build")
    events.send("built", seconds=0.02, weights=297, weights_digest="w" * 64)
    events.send("phase", name="fit")
    for number in range(1, epochs + 1):
        time.sleep(_EPOCH_S)
        loss, accuracy = draw.random() / number, draw.random()
        events.send("epoch", epoch=number, seconds=_EPOCH_S, loss=loss, metrics={"accuracy": accuracy})
    events.send("trained", seconds=_EPOCH_S * epochs)
    events.send("phase", name="evaluate")
    events.send("evaluated", seconds=0.01, loss=draw.random(), metrics={"accuracy": draw.random()})
    events.send("finished")
    return 0


def _module(name, **contents):
    """Put a module in the place of one of the worker's."""
    made = types.ModuleType(f"{_PACKAGE}.{name}")
    vars(made).update(contents)
    sys.modules[made.__name__] = made
    setattr(sys.modules[_PACKAGE], name, made)


def main():
    spec = importlib.util.spec_from_file_location("worker_entry", _ENTRY)
    entry = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(entry)
    entry._load_package()
    _module("engine", load=load, Refused=type("Refused", (Exception,), {}))
    _module("run", execute=execute)
    _module("porting")
    from backendexp_worker.server import main as serve

    return serve()


if __name__ == "__main__":
    sys.exit(main())
