"""The backend runs where JAX is not installed, although Keras's NumPy backend needs it."""

import dis
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from keras_theano.hook import deferred
from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.ops import core, image, linalg, math, nn
from keras_theano.src.ops import numpy as ops
from oracles import layers_to_train
from oracles.processes import lean

# The ops for which Keras's NumPy backend calls JAX.
BY_JAX = {
    "conv",
    "depthwise_conv",
    "separable_conv",
    "conv_transpose",
    "max_pool",
    "average_pool",
    "fft",
    "fft2",
}


def calls_jax(function: Callable[..., Any], seen: frozenset[Any] = frozenset()) -> bool:
    """Return whether a function of Keras's NumPy backend uses JAX, itself or in a function that it calls."""
    code = getattr(function, "__code__", None)
    if code is None or code in seen:
        return False
    names = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    for used in [function.__globals__.get(name) for name in names]:
        home = used.__name__ if isinstance(used, ModuleType) else getattr(used, "__module__", None) or ""
        if home.split(".")[0] in ("jax", "jaxlib") or ".backend.jax" in home or home == deferred.__name__:
            return True
        if callable(used) and home == function.__module__ and calls_jax(used, seen | {code}):
            return True
    return False


@pytest.mark.parametrize("module", [core, image, linalg, math, nn, ops], ids=lambda module: module.__name__)
def test_every_op_that_keras_computes_by_jax_is_our_own(module: ModuleType) -> None:
    """If a new version of Keras computes another op by JAX, this test names it."""
    eager = numpy_ops(module.__name__.rsplit(".", 1)[1])
    found = {name for name in vars(module) if calls_jax(getattr(eager, name, None))}
    assert found == {name for name in BY_JAX if hasattr(eager, name)}
    for name in found:
        assert vars(module)[name].__wrapped__.__module__.startswith("keras_theano."), name


def test_op_that_needs_jax_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "jax"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ImportError, match=r"runs on JAX .* pip install 'jax\[cpu\]'"):
        _ = deferred._Deferred("jax").lax.reduce_window


WITHOUT_JAX = """
import sys
sys.modules["jax"] = sys.modules["jaxlib"] = None
import keras, numpy as np
from keras import layers
from oracles import layers_to_train

for name, (shape, stack) in layers_to_train.MODELS.items():
    if name.startswith(("Conv", "Depthwise", "Separable")):
        layers_to_train.trained(shape, stack())

x = np.random.default_rng(0).normal(size=(12, 8, 8, 2)).astype("float32")
model = keras.Sequential([  # built by its first batch, eagerly
    layers.Conv2D(4, 3, activation="relu"),
    layers.MaxPooling2D(),
    layers.SeparableConv2D(6, 2, padding="same"),
    layers.DepthwiseConv2D(2),
    layers.Conv2DTranspose(3, 2, 2),
    layers.Flatten(),
    layers.Dense(2),
])
model.compile("adam", "mse")
model.fit(x, np.ones((12, 2)), batch_size=4, epochs=2, verbose=0)
assert np.isfinite(model.evaluate(x, np.ones((12, 2)), verbose=0))
traced = model.predict(x, verbose=0)
np.testing.assert_allclose(model(x), traced, rtol=1e-5, atol=1e-5)
model.compile("adam", "mse", run_eagerly=True)
np.testing.assert_allclose(model.predict(x, verbose=0), traced, rtol=1e-5, atol=1e-5)
assert np.shape(keras.ops.image.extract_patches(x, 3)) == (12, 2, 2, 18)
assert len(keras.ops.fft2((x, x))) == 2
assert not [name for name, module in sys.modules.items() if name.startswith("jax") and module]
print("done", keras.config.backend())
"""


def test_convolutional_networks_build_train_evaluate_and_predict_without_jax(tmp_path: Path) -> None:
    environment = {**os.environ, "KERAS_BACKEND": "theano", "KERAS_HOME": str(tmp_path)}
    tests = Path(layers_to_train.__file__).parents[1]
    answer = subprocess.run(
        [sys.executable, "-c", WITHOUT_JAX],
        env=lean({**environment, "PYTHONPATH": str(tests), "KERAS_THEANO_MODE": "interpreter"}, "theano"),
        capture_output=True,
        text=True,
    )
    assert answer.stdout.strip() == "done theano", answer.stderr
