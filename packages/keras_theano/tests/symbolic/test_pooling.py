"""Pooling against JAX and its eager twin, and its gradient against JAX's."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytensor.tensor as pt
import pytest
from jax import lax
from keras import layers

import keras_theano
import keras_theano.symbolic.pooling as under_test
from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.ops import nn
from keras_theano.symbolic.windows import each
from oracles.cases import agrees, gradients, in_64_bits, ops_of
from oracles.tracing import gradient_of, traced

eager = numpy_ops("nn")

RNG = np.random.default_rng(0)
Array = np.ndarray[Any, Any]


def floats(*shape: int) -> Array:
    return RNG.uniform(-1, 1, shape).astype("float32")


LINE, IMAGES, ROOMS = floats(2, 23, 2), floats(3, 7, 6, 2), floats(2, 5, 4, 3, 2)
# Whole numbers from a small range, so that most windows have several greatest elements.
TIES = RNG.integers(0, 2, (2, 7, 6, 2)).astype("float32")
# Inputs, the size of the window, strides, padding.
CASES: list[tuple[Array, Any, Any, str]] = [
    (LINE, 2, None, "valid"),
    (LINE, 3, 1, "same"),
    (LINE, 9, 4, "same"),
    (LINE, 13, 2, "valid"),
    (LINE, 23, 23, "valid"),
    (LINE, 2, 5, "same"),
    (IMAGES, 2, None, "valid"),
    (IMAGES, 2, None, "same"),
    (IMAGES, (3, 2), (2, 1), "same"),
    (IMAGES, (1, 3), (2, 3), "valid"),
    (IMAGES, 3, 1, "same"),
    (TIES, 3, 2, "same"),
    (TIES, (3, 2), 1, "valid"),
    (ROOMS, 2, None, "valid"),
    (ROOMS, (3, 2, 3), (1, 2, 2), "same"),
]
# Inputs and the size of the outputs.
ADAPTIVE: list[tuple[Array, Any]] = [
    (LINE, 5),
    (LINE, 1),
    (LINE, 23),
    (LINE, 30),
    (IMAGES, 3),
    (IMAGES, (7, 1)),
    (TIES, (3, 4)),
    (ROOMS, (2, 3, 2)),
]


def first(x: Array) -> Array:
    """The same inputs with the channels first."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def of_jax(kind: str, x: Any, size: Any, strides: Any, padding: str) -> Any:
    """Pooling by JAX, of channels that come last."""
    window = (1, *each(size, x.ndim - 2), 1)
    steps = window if strides is None else (1, *each(strides, x.ndim - 2), 1)
    if kind == "max":
        return lax.reduce_window(x, -jnp.inf, lax.max, window, steps, padding.upper())
    total = lax.reduce_window(x, 0.0, lax.add, window, steps, padding.upper())
    return total / lax.reduce_window(jnp.ones_like(x), 0.0, lax.add, window, steps, padding.upper())


def test_each_pooling_that_is_traced_is_tested_here() -> None:
    assert ops_of(under_test, eager) == [
        "max_pool",
        "average_pool",
        "adaptive_max_pool",
        "adaptive_average_pool",
    ]


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(("x", "size", "strides", "padding"), CASES)
def test_values_and_gradients_are_those_of_jax(
    kind: str, x: Array, size: Any, strides: Any, padding: str
) -> None:
    pool = getattr(nn, f"{kind}_pool")
    agrees(pool, (x, size, strides, padding), {}, batches=(True,))
    agrees(pool, (first(in_64_bits(x)), size, strides, padding, "channels_first"), {}, batches=(False,))
    expected = of_jax(kind, x, size, strides, padding)
    np.testing.assert_allclose(pool(x, size, strides, padding), expected, rtol=1e-6, atol=1e-7)

    def weighted(x: Any) -> Any:
        flat = of_jax(kind, x, size, strides, padding).ravel()
        return jnp.sum(flat * jnp.cos(jnp.arange(flat.size)))

    (found,) = gradients(lambda x: pool(x, size, strides, padding), x)
    np.testing.assert_allclose(found, jax.grad(weighted)(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(("x", "size"), ADAPTIVE)
def test_adaptive_pooling_traced_as_eager(kind: str, x: Array, size: Any) -> None:
    pool = getattr(nn, f"adaptive_{kind}_pool")
    agrees(pool, (x, size), {}, batches=(True,))
    agrees(pool, (first(in_64_bits(x)), size, "channels_first"), {}, batches=(False,))
    if x is not TIES or kind == "average":
        gradient_of(lambda x: pool(x, size), x)


def test_gradient_of_an_adaptive_maximum_goes_to_the_first() -> None:
    x = np.ones((1, 4, 5, 1), "float32")
    (found,) = gradients(lambda x: nn.adaptive_max_pool(x, 2), x)
    assert np.argwhere(found[0, :, :, 0]).tolist() == [[0, 0], [0, 2], [2, 0], [2, 2]]


@pytest.mark.parametrize("pool", [nn.max_pool, nn.average_pool, nn.adaptive_max_pool])
@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_whole_numbers_are_pooled_as_eagerly(pool: Any, dtype: str) -> None:
    x = (TIES - 2 * (dtype == "int32")).astype(dtype)
    agrees(pool, (x, 2), {} if pool is nn.adaptive_max_pool else {"padding": "same"})


def test_window_that_is_larger_than_the_inputs_gives_no_outputs() -> None:
    agrees(nn.max_pool, (IMAGES, (3, 20)), {})
    agrees(nn.average_pool, (LINE, 40), {})


def test_padding_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 'same' or 'valid'"):
        nn.max_pool(IMAGES, 2, padding="causal")
    with pytest.raises(ValueError, match="must be 'same' or 'valid'"):
        traced(lambda x: nn.average_pool(x, 2, padding="causal"), IMAGES)


def test_pooling_of_unknown_sizes_is_refused() -> None:
    with pytest.raises(NotImplementedError, match=r"Specify the sizes in keras\.Input"):
        keras_theano.to_pytensor(layers.MaxPooling1D(2), pt.tensor3("x", shape=(None, None, 3)))
