"""Shapes are inferred without computing on made-up sizes, and as precisely as by running on examples."""

import time
from typing import Any

import keras
import numpy as np
import pytest
from keras import KerasTensor, layers, ops, tree

from keras_theano.src.ops import core
from oracles.edges import CASES
from oracles.own_layers import Scaling

# For these, the sizes or the dtype of the results depend on the values of the arguments, or on unknown sizes
# that happen to be equal.
BY_VALUE = {"allclose", "arange", "bincount", "bartlett", "blackman", "hamming", "hanning", "kaiser"}
BY_VALUE |= {"correlate", "nonzero", "unique", "where"}


class Positions(layers.Layer):
    """Adds a table of 20 rows to sequences of unknown length."""

    def build(self, shape: Any) -> None:
        self.table = self.add_weight(shape=(20, shape[-1]), initializer="ones")

    def call(self, x: Any) -> Any:
        return x + self.table[: ops.shape(x)[1]]


class Embedded(layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = layers.Embedding(20, 3)

    def call(self, x: Any) -> Any:
        return x + self.embedding(ops.arange(ops.shape(x)[1]))


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("positions", [Positions, Embedded])
def test_length_may_be_unknown_where_a_table_ends(positions: Any, dtype: str) -> None:
    inputs = keras.Input((None, 3))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        hidden = positions()(inputs)
        model = keras.Model(inputs, layers.Dense(2)(hidden))
    finally:
        keras.config.set_dtype_policy(before)
    assert hidden.shape == (None, None, 3)
    assert hidden.dtype == dtype.removeprefix("mixed_")
    assert model.output.shape == (None, None, 2)
    for length in (4, 20):
        assert model.predict(np.ones((2, length, 3), "float32"), verbose=0).shape == (2, length, 2)


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x: ops.reshape(x, (ops.shape(x)[0], -1)), (None, 12)),
        (lambda x: ops.reshape(x, (-1, 6)), (None, 6)),
        (lambda x: ops.reshape(x, (ops.shape(x)[0] * 2, 6)), (None, 6)),
        (lambda x: ops.concatenate([x, ops.ones((ops.shape(x)[0], 4, 1))], axis=-1), (None, 4, 4)),
        (lambda x: ops.zeros((ops.shape(x)[0], 7)), (None, 7)),
        (lambda x: ops.reshape(x, (-1,))[:5], (5,)),  # the batch is large enough, as on JAX
        (lambda x: ops.tile(x, (1, 3, 1)), (None, 12, 3)),
        (lambda x: ops.repeat(x, 2, axis=1), (None, 8, 3)),
        (lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 0))), (None, 7, 3)),
        (lambda x: ops.softmax(x) @ ops.ones((3, 5)), (None, 4, 5)),
        (lambda x: ops.take(x, np.array([0, 1]), axis=1), (None, 2, 3)),
        (lambda x: ops.map(lambda row: ops.reshape(row, (-1,)), x), (None, 12)),
        (lambda x: keras.random.dropout(x, 0.5, seed=1), (None, 4, 3)),
        (lambda x: ops.image.gaussian_blur(x[..., None], (3, 3), (1.0, 1.0)), (None, 4, 3, 1)),
        (lambda x: ops.mean(x) * 2, ()),
        # Python code that needs a number, and code that calls NumPy, run on examples.
        (lambda x: ops.ones((len(np.asarray(x)), 2)), (None, 2)),
        (lambda x: ops.reshape(x, (x.shape[0] * 2, 6)), (None, 6)),
    ],
)
def test_sizes_are_known_where_they_do_not_depend_on_the_batch(function: Any, shape: Any) -> None:
    assert core.compute_output_spec(function, KerasTensor((None, 4, 3))).shape == shape


def test_error_in_a_layer_is_the_one_of_arrays() -> None:
    with pytest.raises(ValueError, match="could not be broadcast"):
        core.compute_output_spec(lambda x: x + np.ones(5, "float32"), KerasTensor((None, 4)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("module", CASES, ids=lambda module: module.__name__.rsplit(".", 1)[1])
def test_recorded_shapes_are_those_of_examples(module: Any, dtype: str) -> None:
    compared = 0
    for name, (function, arrays) in CASES[module].items():
        if name.split()[0] in BY_VALUE:
            continue
        specs = tuple(
            KerasTensor(
                (None, *np.shape(array)[1:]) if np.ndim(array) else (),
                dtype if array.dtype == "float32" else str(array.dtype),
            )
            for array in arrays
        )
        try:
            expected = core._spec_of_zeros(function, specs, {}, (83, 89))
        except (ValueError, IndexError, TypeError):  # this case needs the sizes that its arguments have
            continue
        found = core._spec_of_recorded(function, specs, {})
        for ours, theirs in zip(tree.flatten(found), tree.flatten(expected), strict=True):
            assert ours.shape == theirs.shape, name
            if dtype == "float32":  # NumPy functions often leave half precision
                assert ours.dtype == theirs.dtype, name
        compared += 1
    assert compared > len(CASES[module]) / 2


def test_variables_get_no_values_when_shapes_are_inferred() -> None:
    made = []

    def initializer(shape: Any, dtype: Any = None) -> Any:
        made.append(shape)
        return np.ones(shape, dtype)

    class Outer(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = layers.Dense(5, kernel_initializer=initializer)

        def call(self, x: Any) -> Any:
            return self.inner(x) * 2

    assert Outer()(keras.Input((3,))).shape == (None, 5)
    assert made == [(3, 5)]


def test_inference_takes_no_longer_than_running_on_examples() -> None:
    layer = layers.MultiHeadAttention(4, 32)
    layer.build((None, None, 128), (None, None, 128))
    spec = (KerasTensor((None, None, 128)),) * 2
    core._spec_of_recorded(layer.call, spec, {})
    began = time.perf_counter()
    core._spec_of_recorded(layer.call, spec, {})
    between = time.perf_counter()
    core._spec_of_zeros(layer.call, spec, {}, (83, 89))
    assert between - began < time.perf_counter() - between


def test_model_that_predicts_before_it_was_called_is_built_with_its_shapes() -> None:
    """It is built while the step is recorded."""
    model = Scaling()
    x = np.ones((5, 3), "float32")
    found = model.predict(x, verbose=0)
    assert model.get_build_config() == {"input_shape": (None, 3)}
    np.testing.assert_allclose(model(x), found, rtol=1e-6)
