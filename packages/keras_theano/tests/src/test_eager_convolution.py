"""Eager convolution is NumPy. It agrees with JAX, which Keras's own NumPy functions call, and with traced
convolution.
"""

from typing import Any

import jax
import jax.numpy as jnp
import keras
import ml_dtypes
import numpy as np
import pytest

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src import eager_convolution
from keras_theano.src.ops import nn
from oracles.cases import agrees, in_64_bits

by_jax = numpy_ops("nn")

RNG = np.random.default_rng(0)
Array = np.ndarray[Any, Any]
FIRST = {"data_format": "channels_first"}


def floats(*shape: int) -> Array:
    return RNG.uniform(-1, 1, shape).astype("float32")


LINE, IMAGES, ROOM = floats(3, 9, 4), floats(3, 7, 6, 4), floats(2, 4, 5, 6, 2)
FROM_FIRST = floats(3, 4, 7, 6)
# The op, inputs, kernels, and the named arguments.
CASES: list[tuple[str, Array, tuple[Array, ...], dict[str, Any]]] = [
    ("conv", LINE, (floats(3, 4, 5),), {}),
    ("conv", LINE, (floats(2, 4, 5),), {"strides": 4, "padding": "same"}),
    ("conv", IMAGES, (floats(3, 2, 4, 5),), {"strides": (2, 3)}),
    ("conv", IMAGES, (floats(3, 2, 4, 5),), {"padding": "SAME", "dilation_rate": (1, 3)}),
    ("conv", IMAGES, (floats(3, 3, 2, 6),), {"strides": 2, "padding": "same"}),
    ("conv", FROM_FIRST, (floats(2, 3, 1, 8),), {**FIRST, "dilation_rate": 2}),
    ("conv", IMAGES, (floats(1, 1, 4, 3),), {"strides": 2}),
    ("conv", ROOM, (floats(2, 3, 2, 2, 3),), {"strides": (1, 2, 1), "padding": "same"}),
    ("conv", ROOM, (floats(2, 1, 3, 1, 4),), {"dilation_rate": 2}),
    ("depthwise_conv", LINE, (floats(3, 4, 2),), {"strides": 2, "padding": "same"}),
    ("depthwise_conv", IMAGES, (floats(3, 3, 4, 1),), {}),
    ("depthwise_conv", FROM_FIRST, (floats(2, 3, 4, 3),), {**FIRST, "dilation_rate": (2, 1)}),
    ("depthwise_conv", ROOM, (floats(2, 2, 3, 2, 2),), {"strides": 2}),
    ("separable_conv", LINE, (floats(3, 4, 2), floats(1, 8, 3)), {"padding": "same"}),
    ("separable_conv", IMAGES, (floats(3, 2, 4, 1), floats(1, 1, 4, 6)), {"strides": 2}),
    ("separable_conv", FROM_FIRST, (floats(2, 2, 4, 2), floats(1, 1, 8, 3)), {**FIRST, "dilation_rate": 2}),
    ("conv_transpose", LINE, (floats(3, 2, 4),), {}),
    ("conv_transpose", LINE, (floats(1, 2, 4),), {"strides": 3, "output_padding": 2}),
    ("conv_transpose", LINE, (floats(4, 2, 4),), {"strides": 2, "padding": "same"}),
    ("conv_transpose", LINE, (floats(5, 2, 4),), {"padding": "same", "dilation_rate": 2}),
    ("conv_transpose", IMAGES, (floats(2, 3, 5, 4),), {"strides": (3, 1)}),
    ("conv_transpose", IMAGES, (floats(3, 3, 5, 4),), {"strides": 2, "padding": "same", "output_padding": 1}),
    ("conv_transpose", FROM_FIRST, (floats(3, 2, 5, 4),), {**FIRST, "strides": 2, "padding": "same"}),
    ("conv_transpose", ROOM, (floats(2, 3, 2, 3, 2),), {"strides": (1, 2, 2)}),
]
each_case = pytest.mark.parametrize(("name", "x", "kernels", "named"), CASES)


@each_case
def test_values_are_those_of_jax(name: str, x: Array, kernels: tuple[Array, ...], named: Any) -> None:
    expected = getattr(by_jax, name)(x, *kernels, **named)
    found = getattr(nn, name)(x, *kernels, **named)
    assert found.dtype == expected.dtype == "float32"
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@each_case
def test_values_and_dtypes_are_those_of_traced_convolution(
    name: str, x: Array, kernels: tuple[Array, ...], named: Any
) -> None:
    op = getattr(nn, name)
    agrees(op, (x, *kernels), named, batches=(False,))
    agrees(op, in_64_bits((x, *kernels)), named, batches=(False,))


@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16])
@pytest.mark.parametrize(
    ("name", "kernel"), [(name, kernels[0]) for name, x, kernels, _ in CASES if x is LINE]
)
def test_narrow_floats_are_added_up_in_float32(name: str, kernel: Array, dtype: Any) -> None:
    if name == "separable_conv":
        return  # rounds between its two convolutions
    narrow = [array.astype(dtype) for array in (LINE, kernel)]
    found = getattr(nn, name)(*narrow)
    assert found.dtype == dtype
    sums = getattr(nn, name)(*[array.astype("float32") for array in narrow])
    np.testing.assert_array_equal(found, sums.astype(dtype))


def test_numbers_of_unlike_dtypes_and_lists_and_variables_are_accepted() -> None:
    kernel = floats(2, 4, 3)
    expected = nn.conv(LINE, kernel)
    np.testing.assert_array_equal(nn.conv(LINE.tolist(), keras.Variable(kernel)), expected)
    assert nn.conv(LINE.astype("float16"), kernel).dtype == "float32"
    assert nn.conv(np.ones((1, 4, 1), "int32"), np.ones((2, 1, 1), "int32")).tolist() == [[[2], [2], [2]]]


@each_case
def test_batches_of_any_size_are_computed_image_by_image(
    name: str, x: Array, kernels: tuple[Array, ...], named: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    op = getattr(nn, name)
    whole = op(x, *kernels, **named)
    assert op(x[:0], *kernels, **named).shape == (0, *whole.shape[1:])
    monkeypatch.setattr(eager_convolution, "_MOST_NUMBERS", 1)
    monkeypatch.setattr(eager_convolution, "_MOST_IN_CACHE", 1)
    np.testing.assert_allclose(op(x, *kernels, **named), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("margins", [[(4, 0)], [(0, 5)], [(1, 1)]])
def test_transposed_convolution_has_zeros_where_no_window_reaches(
    margins: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras chooses such margins if the strides are greater than the window."""
    kernel = floats(2, 3, 4)
    monkeypatch.setattr(eager_convolution, "compute_conv_transpose_padding_args_for_jax", lambda *_: margins)
    expected = jax.lax.conv_transpose(
        jnp.asarray(LINE), kernel, (3,), margins, (1,), ("NHC", "HIO", "NHC"), transpose_kernel=True
    )
    np.testing.assert_allclose(nn.conv_transpose(LINE, kernel, 3), expected, rtol=1e-5, atol=1e-5)
