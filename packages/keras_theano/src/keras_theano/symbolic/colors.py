"""Conversions of colors. Images have the shape (batch, height, width, channels) or (height, width, channels),
or the channels in front of the height.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from keras.src.backend import standardize_data_format
from keras.src.backend.common.dtypes import result_type
from pytensor.tensor.variable import TensorVariable

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.tracing.tensor import Tensor, as_node, cast, common_dtype

eager = numpy_ops("image")


def rgb_to_grayscale(images: Any, data_format: str | None = None) -> Tensor:
    """Images with one channel stay as they are. Raises ValueError unless the images have 1 or 3 channels."""
    x, axis = _checked(eager.rgb_to_grayscale, images, data_format)
    if x.type.shape[axis] == 1:
        return Tensor(x)
    floats = cast(x, str(result_type(x.type.dtype, float)))
    shares = np.array([0.2989, 0.5870, 0.1140], floats.type.dtype)
    gray = pt.expand_dims(pt.tensordot(floats, shares, axes=(axis, 0)), axis)
    return Tensor(cast(gray, x.type.dtype))


def rgb_to_hsv(images: Any, data_format: str | None = None) -> Tensor:
    """images: floats from 0 to 1. So are the hue, the saturation and the value.
    Raises ValueError for whole numbers.
    """
    x, axis = _checked(eager.rgb_to_hsv, images, data_format)
    dtype = x.type.dtype
    zero, one, six = (np.asarray(n, dtype) for n in (0, 1, 6))
    of_green, of_blue = (np.asarray(n, dtype) for n in (2 / 6, 4 / 6))
    eps = np.asarray(np.finfo(dtype).eps, dtype)
    red, green, blue = _channels(pt.switch(abs(x) < eps, zero, x), axis)
    value = pt.maximum(pt.maximum(red, green), blue)
    spread = value - pt.minimum(pt.minimum(red, green), blue)
    saturation = pt.switch(value > 0, spread / pt.switch(value > 0, value, one), zero)
    step = one / (six * pt.switch(spread > 0, spread, one))
    hue = pt.switch(
        pt.eq(value, red),
        step * (green - blue),
        pt.switch(pt.eq(value, green), step * (blue - red) + of_green, step * (red - green) + of_blue),
    )
    turned = pt.switch(spread > 0, hue, zero) + cast(hue < 0, dtype)
    return Tensor(pt.stack([turned, saturation, value], axis=axis))


def hsv_to_rgb(images: Any, data_format: str | None = None) -> Tensor:
    """images: floats from 0 to 1. Raises ValueError for whole numbers."""
    x, axis = _checked(eager.hsv_to_rgb, images, data_format)
    zero, one, two, three, four, six = (np.asarray(n, x.type.dtype) for n in (0, 1, 2, 3, 4, 6))
    hue, saturation, value = _channels(x, axis)
    angle = pt.mod(hue, one) * six
    shares = (
        abs(angle - three) - one,
        two - abs(angle - two),
        two - abs(angle - four),
    )
    colors = [value * (one - saturation + saturation * pt.clip(share, zero, one)) for share in shares]
    return Tensor(pt.stack(colors, axis=axis))


def _checked(
    function: Callable[..., Any], images: Any, data_format: str | None
) -> tuple[TensorVariable, int]:
    """Return the images and the axis of the channels. The eager op refuses whatever Keras refuses."""
    x = as_node(images, common_dtype(images))
    sample = np.zeros([1 if length is None else length for length in x.type.shape], x.type.dtype)
    function(sample, data_format=data_format)
    first = standardize_data_format(data_format) == "channels_first"
    return x, x.type.ndim - (3 if first else 1)


def _channels(x: TensorVariable, axis: int) -> list[TensorVariable]:
    return [x[(*[slice(None)] * axis, n)] for n in range(3)]
