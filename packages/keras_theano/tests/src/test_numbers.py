"""Training from the same start ends at the same weights on Theano, JAX and TensorFlow."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracles.backends import trained

pytestmark = pytest.mark.slow

OPTIMIZERS = (
    *("SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "Adafactor", "Nadam", "Ftrl"),
    *("Lion", "Lamb"),
)
TRAIN = """
import sys
import keras, numpy as np

rng = np.random.default_rng(1)
x = rng.random((256, 10), dtype="float32")
y = (x.sum(axis=1, keepdims=True) > 5).astype("float32")
found = {}
for name in sys.argv[2:]:
    hidden, out = keras.layers.Dense(16, "tanh"), keras.layers.Dense(1, "sigmoid")
    model = keras.Sequential([keras.Input((10,)), hidden, out])
    start = np.random.default_rng(2)
    model.set_weights([start.normal(0, 0.3, w.shape).astype("float32") for w in model.get_weights()])
    model.compile(getattr(keras.optimizers, name)(0.001), "binary_crossentropy")
    model.fit(x, y, epochs=20, batch_size=32, shuffle=False, verbose=0)
    found.update({f"{name}/{n}": w for n, w in enumerate(model.get_weights())})
np.savez(sys.argv[1], **found)
"""


CONVOLUTIONS = """
import sys
import keras, numpy as np
from keras import layers

rng = np.random.default_rng(0)
x, y = rng.random((24, 8, 6, 3), dtype="float32"), rng.integers(0, 4, 24)
model = keras.Sequential([
    keras.Input((8, 6, 3)),
    layers.Conv2D(6, 3, padding="same", activation="relu"),
    layers.Conv2D(4, (3, 2), strides=2, groups=2, activation="tanh"),
    layers.GlobalAveragePooling2D(),
    layers.Dense(4, "softmax"),
])
model.set_weights([rng.uniform(-0.4, 0.4, w.shape).astype("float32") for w in model.get_weights()])
model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
model.fit(x, y, epochs=3, batch_size=10, shuffle=False, verbose=0)
predicted = {"predicted": model.predict(x, verbose=0)}
np.savez(sys.argv[1], **{str(n): w for n, w in enumerate(model.get_weights())}, **predicted)
"""


@pytest.fixture(scope="module")
def weights_on(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """A function that returns the weights that a backend trains, by optimizer and number."""
    folder = tmp_path_factory.mktemp("numbers")
    return functools.cache(lambda backend: trained(backend, folder, TRAIN, *OPTIMIZERS))


@pytest.mark.parametrize("other", ["jax", pytest.param("tensorflow", marks=pytest.mark.extended)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_agree_to_rounding(
    name: str, other: str, weights_on: Callable[[str], dict[str, Any]]
) -> None:
    for n in range(4):
        ours, theirs = (weights_on(backend)[f"{name}/{n}"] for backend in ("theano", other))
        # Each of the 160 steps rounds, and 160 times the spacing of float32 at 1 is 2e-5.
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


def test_different_optimizers_end_at_different_weights(
    weights_on: Callable[[str], dict[str, Any]],
) -> None:
    ends = [weights_on("theano")[f"{name}/0"] for name in OPTIMIZERS]
    assert all(np.abs(a - b).max() > 1e-4 for n, a in enumerate(ends) for b in ends[:n])


@pytest.mark.parametrize("mode", [pytest.param("interpreter", marks=pytest.mark.extended), "native"])
def test_convolutional_network_agrees_to_rounding(mode: str, tmp_path: Path) -> None:
    ours, theirs = [trained(backend, tmp_path, CONVOLUTIONS, mode=mode) for backend in ("theano", "jax")]
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-5, atol=2e-5)
