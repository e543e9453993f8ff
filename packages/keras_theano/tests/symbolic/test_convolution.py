"""Traced convolution agrees with its eager twin, and its gradient with differences and with JAX's."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytensor.tensor as pt
import pytest
from keras import layers
from keras.src.backend.common.backend_utils import compute_conv_transpose_padding_args_for_jax

import keras_theano
import keras_theano.symbolic.convolution as under_test
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
    assert ops_of(under_test, eager) == ["conv", "depthwise_conv", "separable_conv", "conv_transpose"]


@pytest.mark.parametrize(("x", "kernel", "named"), CASES)
def test_traced_convolution_equals_eager_convolution(x: Array, kernel: Array, named: dict[str, Any]) -> None:
    agrees(nn.conv, (x, kernel), named, batches=(False,))
    agrees(lambda x, **named: nn.conv(x, kernel, **named), (x,), named, batches=(True,))
    agrees(nn.conv, in_64_bits((x, kernel)), named, batches=(False,))


@pytest.mark.parametrize(("x", "kernel", "named"), CASES)
def test_gradient_equals_central_differences(x: Array, kernel: Array, named: dict[str, Any]) -> None:
    gradient_of(lambda x, kernel: nn.conv(x, kernel, **named), x, kernel, unknown_batch=False)
    gradient_of(lambda x: nn.conv(x, kernel.astype("float64"), **named), x)


LINE, ROOM = floats(2, 9, 4), floats(2, 4, 3, 5, 2)
# The op, inputs, kernels, and the named arguments.
OTHERS: list[tuple[str, Array, tuple[Array, ...], dict[str, Any]]] = [
    ("depthwise_conv", LINE, (floats(3, 4, 1),), {}),
    ("depthwise_conv", LINE, (floats(3, 4, 2),), {"padding": "same", "strides": 2}),
    ("depthwise_conv", IMAGES, (floats(2, 3, 8, 1),), {"padding": "same", "dilation_rate": 2}),
    ("depthwise_conv", IMAGES, (floats(3, 2, 4, 3),), {"data_format": "channels_first", "strides": (1, 2)}),
    ("depthwise_conv", ROOM, (floats(2, 2, 3, 2, 2),), {"padding": "same"}),
    ("separable_conv", LINE, (floats(3, 4, 2), floats(1, 8, 3)), {"strides": 3}),
    ("separable_conv", IMAGES, (floats(2, 2, 8, 1), floats(1, 1, 8, 5)), {"padding": "same"}),
    (
        "separable_conv",
        IMAGES,
        (floats(2, 2, 4, 2), floats(1, 1, 8, 5)),
        {"data_format": "channels_first", "dilation_rate": 2},
    ),
    ("conv_transpose", LINE, (floats(3, 2, 4),), {}),
    ("conv_transpose", LINE, (floats(2, 2, 4),), {"strides": 3}),
    ("conv_transpose", LINE, (floats(4, 2, 4),), {"strides": 2, "padding": "same"}),
    ("conv_transpose", LINE, (floats(3, 2, 4),), {"padding": "same", "dilation_rate": 2}),
    ("conv_transpose", IMAGES, (floats(3, 2, 5, 8),), {"strides": (2, 1), "padding": "same"}),
    ("conv_transpose", IMAGES, (floats(3, 3, 5, 8),), {"strides": 2, "output_padding": 1}),
    (
        "conv_transpose",
        IMAGES,
        (floats(2, 3, 5, 4),),
        {"data_format": "channels_first", "strides": 2, "padding": "same", "output_padding": (0, 1)},
    ),
    ("conv_transpose", ROOM, (floats(2, 3, 2, 3, 2),), {"strides": (1, 2, 1)}),
]


@pytest.mark.parametrize(("name", "x", "kernels", "named"), OTHERS)
def test_other_convolutions_are_traced_as_eagerly(
    name: str, x: Array, kernels: tuple[Array, ...], named: dict[str, Any]
) -> None:
    op = getattr(nn, name)
    agrees(op, (x, *kernels), named, batches=(False,))
    agrees(lambda x, **named: op(x, *kernels, **named), (x,), named, batches=(True,))
    gradient_of(lambda *xs: op(*xs, **named), x, *kernels, unknown_batch=False)


@pytest.mark.slow  # JAX compiles each of them
@pytest.mark.parametrize(
    ("name", "x", "kernels", "named"),
    [case for case in OTHERS if case[0] != "separable_conv" and "data_format" not in case[3]],
)
def test_gradients_of_other_convolutions_are_those_of_jax(
    name: str, x: Array, kernels: tuple[Array, ...], named: dict[str, Any]
) -> None:
    """JAX's function is the one that Keras's NumPy and JAX backends call."""
    axes = x.ndim - 2
    letters = "DHW"[-axes:]
    strides, dilation = each(named.get("strides", 1), axes), each(named.get("dilation_rate", 1), axes)
    layout = (f"N{letters}C", f"{letters}IO", f"N{letters}C")

    def of_jax(x: Any, kernel: Any) -> Any:
        if name == "depthwise_conv":
            wide = kernel.reshape(*kernel.shape[:-2], 1, -1)
            padding = named.get("padding", "valid").upper()
            return jax.lax.conv_general_dilated(
                x, wide, strides, padding, None, dilation, layout, feature_group_count=x.shape[-1]
            )
        margins = compute_conv_transpose_padding_args_for_jax(
            x.shape,
            kernel.shape,
            strides,
            named.get("padding", "valid"),
            named.get("output_padding"),
            dilation,
        )
        return jax.lax.conv_transpose(x, kernel, strides, margins, dilation, layout, transpose_kernel=True)

    def weighted(x: Any, kernel: Any) -> Any:
        flat = of_jax(x, kernel).ravel()
        return jnp.sum(flat * jnp.cos(jnp.arange(flat.size)))

    found = gradients(lambda x, kernel: getattr(nn, name)(x, kernel, **named), x, *kernels)
    expected = jax.grad(weighted, argnums=(0, 1))(x, *kernels)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("depthwise_conv", (floats(2, 2, 3, 1),)),
        ("separable_conv", (floats(2, 2, 3, 1), floats(1, 1, 3, 2))),
        ("conv_transpose", (floats(2, 2, 3, 3),)),
    ],
)
def test_kernel_with_other_channels_is_refused_as_eagerly(name: str, kernels: tuple[Array, ...]) -> None:
    for run in (getattr(nn, name), lambda x, *k: traced(getattr(nn, name), x, *k, unknown_batch=False)):
        with pytest.raises(ValueError, match="input channels must match the kernel's"):
            run(IMAGES, *kernels)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [((2, 2, 3, 4), "must be a multiple of the kernel's"), ((5, 1, 8, 4), "smaller than the window")],
)
def test_kernel_that_does_not_fit_is_refused_as_in_eager_code(kernel: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.conv(IMAGES, floats(*kernel))
    with pytest.raises(ValueError, match=message):
        traced(nn.conv, IMAGES, floats(*kernel), unknown_batch=False)


def test_other_padding_is_refused_as_in_eager_code() -> None:
    for run in (nn.conv, lambda *xs, **named: traced(lambda *ys: nn.conv(*ys, **named), *xs)):
        with pytest.raises(ValueError, match="must be 'same' or 'valid'"):
            run(IMAGES, floats(2, 2, 8, 3), padding="full")


def test_convolution_of_unknown_sizes_is_refused() -> None:
    layer = layers.Conv1D(2, 3)
    layer.build((None, None, 3))
    with pytest.raises(NotImplementedError, match=r"Specify the sizes in keras\.Input"):
        keras_theano.to_pytensor(layer, pt.tensor3("x", shape=(None, None, 3)))
