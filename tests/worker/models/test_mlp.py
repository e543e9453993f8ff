"""The multilayer perceptron has the layers that its settings name, and starts from the drawn weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backendexp import cache
from backendexp.worker.models import mlp

SCRIPT = """
import os, sys
sys.path.insert(0, os.environ["PACKAGE"])
import numpy as np
from worker import arrays, engine, models, weights

engine.load()
import keras.layers

calls, call = [], keras.layers.Dense.__call__
keras.layers.Dense.__call__ = lambda self, *args, **kwargs: calls.append(self) or call(self, *args, **kwargs)
rest = {"activation": "relu", "dropout": 0.5}
kind, output = models.kind("mlp"), models.Output(1, "sigmoid")
kind.build(dict(rest, hidden_units=[2] * 20), (8,), output)
assert len(calls) <= 2 * 21, "the layers are built anew for each that is added: %d" % len(calls)
keras.layers.Dense.__call__ = call

mlp = kind.build(dict(rest, hidden_units=[16, 4]), (8,), output)
drawn = weights.draw(mlp, 3)
assert [w.shape for w in drawn] == [(8, 16), (16,), (16, 4), (4,), (4, 1), (1,)]
assert {str(w.dtype) for w in drawn} == {"float32"}
for kernel, bias in zip(drawn[0::2], drawn[1::2]):
    assert (abs(kernel) <= np.float32((6.0 / sum(kernel.shape)) ** 0.5)).all()
    assert (bias == 0).all()
assert arrays.digest(drawn) == arrays.digest(weights.draw(mlp, 3)) != arrays.digest(weights.draw(mlp, 4))
mlp.set_weights(drawn)
assert arrays.digest(mlp.get_weights()) == arrays.digest(drawn)

probed = weights.draw(mlp, 3, probe=1)
for kernel, other in zip(drawn[0::2], probed[0::2]):
    up, down = (np.nextafter(kernel, np.float32(end)) for end in (np.inf, -np.inf))
    assert ((other == up) | (other == down)).all()
assert all((bias == other).all() for bias, other in zip(drawn[1::2], probed[1::2]))

flat = kind.build(dict(rest, hidden_units=[4]), (8, 8, 1), models.Output(10, "softmax"))
assert flat.count_params() == 65 * 4 + 5 * 10

names = [layer.__class__.__name__ for layer in mlp.layers]
print(names, mlp.output_shape, [layer.rate for layer in mlp.layers[1::2]])
"""


@pytest.mark.parametrize("runtime", ["keras3", "keras2"])
def test_network_takes_the_drawn_weights_in_both_generations(
    runtime: str, request: pytest.FixtureRequest
) -> None:
    python = sys.executable if runtime == "keras3" else request.getfixturevalue("keras2_python")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {
        "KERAS_BACKEND": "jax" if runtime == "keras3" else "tensorflow",
        "KERAS_HOME": str(cache.folder("keras", runtime)),
        "PACKAGE": str(Path(mlp.__file__).parents[2]),
    }
    answer = subprocess.run([python, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    layers = ["Dense", "Dropout", "Dense", "Dropout", "Dense"]
    assert answer.stdout.splitlines()[-1] == f"{layers} (None, 1) [0.5, 0.5]"


@pytest.mark.parametrize(("features", "hidden", "count"), [(20, [64, 64], 5569), (3, [2], 11)])
def test_weights_are_counted_before_the_model_is_built(features: int, hidden: list[int], count: int) -> None:
    assert mlp.Settings(hidden_units=hidden).weight_count((features,)) == count
