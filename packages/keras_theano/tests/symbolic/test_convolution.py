"""Traced convolution agrees with its eager twin, and its gradient with central differences."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest
from keras import layers

import keras_theano
import keras_theano.symbolic.convolution as under_test
from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.ops import nn
from oracles.cases import agrees, in_64_bits, ops_of
from oracles.tracing import gradient_of, traced

eager = numpy_ops("nn")

RNG = np.random.default_rng(0)
Array = np.ndarray[Any, Any]


def floats(*shape: int) -> Array:
    return RNG.uniform(-1, 1, shape).astype("float32")


IMAGES = floats(2, 4, 6, 8)
# Each case has the inputs, the kernel and the named arguments.
CASES: list[tuple[Array, Array, dict[str, Any]]] = [
    (floats(2, 7, 3), floats(3, 3, 4), {}),
    (floats(2, 7, 3), floats(2, 3, 4), {"padding": "same", "strides": 3}),
    (IMAGES, floats(3, 2, 8, 5), {"padding": "same"}),
    (IMAGES, floats(2, 3, 8, 5), {"padding": "same", "strides": (2, 1)}),
    (IMAGES, floats(2, 3, 4, 6), {"dilation_rate": (1, 2)}),
    (IMAGES, floats(2, 2, 1, 16), {"padding": "same", "dilation_rate": 2}),
    (IMAGES, floats(2, 2, 2, 4), {"data_format": "channels_first", "strides": 2}),
    (IMAGES, floats(1, 1, 8, 3), {}),
    (floats(1, 3, 4, 5, 2), floats(2, 1, 3, 2, 3), {"padding": "same"}),
]


def test_every_traced_convolution_is_tested_here() -> None:
    assert ops_of(under_test, eager) == ["conv"]


@pytest.mark.parametrize(("x", "kernel", "named"), CASES)
def test_traced_convolution_equals_eager_convolution(x: Array, kernel: Array, named: dict[str, Any]) -> None:
    agrees(nn.conv, (x, kernel), named, batches=(False,))
    agrees(lambda x, **named: nn.conv(x, kernel, **named), (x,), named, batches=(True,))
    agrees(nn.conv, in_64_bits((x, kernel)), named, batches=(False,))


@pytest.mark.parametrize(("x", "kernel", "named"), CASES)
def test_gradient_equals_central_differences(x: Array, kernel: Array, named: dict[str, Any]) -> None:
    gradient_of(lambda x, kernel: nn.conv(x, kernel, **named), x, kernel, unknown_batch=False)
    gradient_of(lambda x: nn.conv(x, kernel.astype("float64"), **named), x)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [((2, 2, 3, 4), "must be a multiple of the kernel's"), ((5, 1, 8, 4), "smaller than the window")],
)
def test_kernel_that_does_not_fit_is_refused_as_in_eager_code(kernel: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=r"divisible|empty output"):
        nn.conv(IMAGES, floats(*kernel))
    with pytest.raises(ValueError, match=message):
        traced(nn.conv, IMAGES, floats(*kernel), unknown_batch=False)


def test_convolution_of_unknown_sizes_is_refused() -> None:
    layer = layers.Conv1D(2, 3)
    layer.build((None, None, 3))
    with pytest.raises(NotImplementedError, match=r"Specify the sizes in keras\.Input"):
        keras_theano.to_pytensor(layer, pt.tensor3("x", shape=(None, None, 3)))
