"""Convolution as one matrix product of patches, because PyTensor 3 has no convolution of its own.

The patches are rows of the inputs that are picked by their numbers. So the graph for a window of a hundred
pixels is as small as the graph for nine, and the gradient adds up rows.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import pytensor.tensor as pt
from keras.src.backend import standardize_data_format
from numpy.typing import NDArray
from pytensor.tensor.variable import TensorVariable

from keras_theano.symbolic.windows import each, known_sizes, placed
from keras_theano.tracing.tensor import Tensor, as_node, common_dtype


def conv(
    inputs: Any,
    kernel: Any,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Compute the convolution.

    inputs: shape (batch, *spatial, channels), or with the channels second if `data_format` is channels_first.
    kernel: shape (*window, channels / groups, filters). The window has as many axes as `spatial`.

    Raises ValueError if the number of channels is not a multiple of the kernel's, or if the inputs are
    smaller than the window. Raises NotImplementedError if a spatial size is not known before the step runs.
    """
    channels_last = standardize_data_format(data_format) == "channels_last"
    dtype = common_dtype(inputs, kernel)
    x, weights = as_node(inputs, dtype), as_node(kernel, dtype)
    if not channels_last:
        x = pt.moveaxis(x, 1, -1)
    spatial, channels = known_sizes(x.type.shape, channels_last=True), x.type.shape[-1]
    *window, per_group, filters = weights.type.shape
    if channels % per_group:
        raise ValueError(
            "the number of input channels must be a multiple of the kernel's. "
            f"Received: {channels} channels, and a kernel of shape {weights.type.shape}"
        )
    places, sizes = _places(spatial, window, strides, padding, dilation_rate)
    groups = channels // per_group
    patches = _picked(x, places).reshape((-1, prod(window), groups, per_group))
    grouped = patches.transpose(2, 0, 1, 3).reshape((groups, -1, prod(window) * per_group))
    matrices = weights.reshape((prod(window), per_group, groups, filters // groups))
    matrices = matrices.transpose(2, 0, 1, 3).reshape((groups, prod(window) * per_group, filters // groups))
    product = grouped[0] @ matrices[0] if groups == 1 else (grouped @ matrices).transpose(1, 0, 2)
    outputs = product.reshape((x.shape[0], *sizes, filters))
    return Tensor(outputs if channels_last else pt.moveaxis(outputs, -1, 1))


def _places(
    spatial: Sequence[int],
    window: Sequence[int],
    strides: int | Sequence[int],
    padding: str,
    dilation: int | Sequence[int],
) -> tuple[NDArray[np.int64], list[int]]:
    """Find the pixels that each output is computed from.

    Returns an array of shape (outputs, pixels of the window) with the number of each pixel in the flattened
    input, or -1 for padding, and the sizes of the output.
    Raises ValueError if the output is empty.
    """
    axes = len(spatial)
    sizes, of_axes = [], []
    for length, reach, step, gap in zip(
        spatial, window, each(strides, axes), each(dilation, axes), strict=True
    ):
        size, before, _ = placed(length, (reach - 1) * gap + 1, step, padding.lower())
        at = np.arange(size)[:, None] * step + np.arange(reach) * gap - before
        sizes.append(size)
        of_axes.append(np.where((at >= 0) & (at < length), at, -1))
    if 0 in sizes:
        raise ValueError(
            f"the inputs are smaller than the window. Received: inputs of {tuple(spatial)}, a window of "
            f"{tuple(window)}, dilation {dilation}"
        )
    places = np.zeros((1, 1), "int64")
    for length, at in zip(spatial, of_axes, strict=True):
        outer, inner = places[:, None, :, None], at[None, :, None, :]
        joined = np.where((outer < 0) | (inner < 0), -1, outer * length + inner)
        places = joined.reshape(places.shape[0] * at.shape[0], -1)
    return places, sizes


def _picked(x: TensorVariable, places: NDArray[np.int64]) -> TensorVariable:
    """Pick for each image its pixels at `places`, or zeros where a place is -1.

    Returns shape (batch * outputs * pixels, channels).
    """
    pixels, channels = prod(x.type.shape[1:-1]), x.type.shape[-1]
    flat, places = x.reshape((-1, channels)), places.ravel()
    rows = pt.arange(x.shape[0], dtype="int64")[:, None] * pixels + places
    if (places < 0).any():
        # All padding is picked from one additional row of zeros.
        rows = pt.switch(places < 0, flat.shape[0], rows)
        flat = pt.concatenate([flat, pt.zeros((1, channels), dtype=x.type.dtype)])
    return flat[rows.ravel()]
