"""Quantized models compute, train and save as on JAX."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.quantizers import fake_quant_with_min_max_vars

from oracles import quantized_models
from oracles.backends import trained

# How many arrays each mode gives: weights, predictions and losses.
COUNTS = {
    **{"int8": 47, "int8 weights": 47, "int4": 47, "int4 in blocks": 71},
    **{"float8": 83, "gptq": 28, "gptq in groups": 28, "awq": 33},
}


# JAX takes some ten seconds to compile the models of a mode, so CI has one mode.
IN_CI = ("int8",)
MODES = [
    pytest.param(mode, marks=[] if mode in IN_CI else pytest.mark.extended) for mode in quantized_models.MODES
]
# Returns the arrays of the modes that are in CI, or of the others, on a backend, by mode and name.
Results = Callable[[bool, str], dict[str, Any]]


@pytest.fixture(scope="module")
def results_on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    folder = tmp_path_factory.mktemp("quantized")
    script = Path(quantized_models.__file__)

    def made(in_ci: bool, backend: str) -> dict[str, Any]:
        modes = [mode for mode in quantized_models.MODES if (mode in IN_CI) == in_ci]
        return trained(backend, folder, script, *modes)

    with pytest.MonkeyPatch.context() as patch:
        # Keras chooses the samples for calibration by the hash of a string.
        patch.setenv("PYTHONHASHSEED", "0")
        yield functools.cache(made)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_quantized_model_agrees_with_jax(mode: str, results_on: Results) -> None:
    ours, theirs = [
        {
            name: array
            for name, array in results_on(mode in IN_CI, backend).items()
            if name.startswith(f"{mode}/")
        }
        for backend in ("theano", "jax")
    ]
    assert ours.keys() == theirs.keys()
    assert len(ours) == COUNTS[mode]
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype, name
        if array.dtype.kind in "iu":
            np.testing.assert_array_equal(array, theirs[name], err_msg=name)
        else:
            np.testing.assert_allclose(array, theirs[name], rtol=2e-5, atol=2e-5, err_msg=name)
    # A model with LoRA computes something else when it is loaded: Keras adds LoRA's weights to the others and
    # quantizes the sums again.
    pairs = [("predicted", "eager"), *([("trained", "loaded")] if mode == "float8" else [])]
    for pair in pairs:
        first, second = (ours[f"{mode}/{name}"] for name in pair)
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5)


class _FakeQuantized(layers.Layer):
    """Adds its weights to the inputs, and sums what they are after quantization, each with a weight."""

    def build(self, shape: Any) -> None:
        self.added = self.add_weight(shape=shape[1:], initializer="zeros")

    def call(self, x: Any) -> Any:
        quantized = fake_quant_with_min_max_vars(x + self.added, 0.0, 63.5, num_bits=7)
        return ops.sum(quantized * ops.arange(1, 12, dtype="float32"), axis=-1, keepdims=True)


def test_gradient_of_fake_quantization_passes_between_the_limits() -> None:
    """Keras's own test has code for each of Keras's backends. Its values are these."""
    x = np.array([[-0.5, -0.01, 0, 0.01, 0.49, 0.5, 0.51, 63.49, 63.5, 63.51, 64]], "float32")
    layer = _FakeQuantized()
    model = keras.Sequential([keras.Input((11,)), layer])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda true, predicted: ops.mean(predicted))
    np.testing.assert_array_equal(layer(x), [[0.5 * (5 + 6 + 7) + 63.5 * (8 + 9 + 10 + 11)]])
    model.fit(x, np.zeros((1, 1)), verbose=0)
    np.testing.assert_array_equal(-layer.added.numpy(), [0, 0, 3, 4, 5, 6, 7, 8, 9, 0, 0])
