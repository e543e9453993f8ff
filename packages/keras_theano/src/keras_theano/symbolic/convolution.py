"""Convolution as one matrix product of patches, because PyTensor 3 has no convolution of its own.

The patches are rows of the inputs that are picked by their numbers. So the graph for a window of a hundred
pixels is as small as the graph for nine, and the gradient adds up rows.

A transposed convolution multiplies first, and then picks and adds up rows of the product. A depthwise one has
nothing to multiply as matrices. It adds up views of the inputs, one for each pixel of the window, times the
weights of that pixel.
"""

from collections.abc import Sequence
from functools import reduce
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytensor.tensor as pt
from keras.src.backend import standardize_data_format
from keras.src.backend.common.backend_utils import compute_conv_transpose_padding_args_for_jax
from numpy.typing import NDArray
from pytensor.tensor.variable import TensorVariable

from keras_theano.symbolic.views import padded, part_of
from keras_theano.symbolic.windows import convolved, each, groups_of, known_sizes, require_same_channels
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
    x, weights, channels_last = _standardized(inputs, kernel, data_format)
    spatial = known_sizes(x.type.shape, channels_last=True)
    *window, per_group, filters = weights.type.shape
    groups = groups_of(x.type.shape, weights.type.shape)
    places, sizes = _places(spatial, window, strides, padding, dilation_rate)
    patches = _picked(x, places).reshape((-1, prod(window), groups, per_group))
    grouped = patches.transpose(2, 0, 1, 3).reshape((groups, -1, prod(window) * per_group))
    matrices = weights.reshape((prod(window), per_group, groups, filters // groups))
    matrices = matrices.transpose(2, 0, 1, 3).reshape((groups, prod(window) * per_group, filters // groups))
    filtered = grouped[0] @ matrices[0] if groups == 1 else (grouped @ matrices).transpose(1, 0, 2)
    outputs = filtered.reshape((x.shape[0], *sizes, filters))
    return _finished(outputs, channels_last)


def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Convolve each channel with filters of its own.

    inputs: shape (batch, *spatial, channels), or with the channels second if `data_format` is channels_first.
    kernel: shape (*window, channels, multiplier).

    The outputs have channels * multiplier channels. Those of the same input channel are neighbours.

    Raises ValueError if the kernel has another number of channels, or if the inputs are smaller than the
    window. Raises NotImplementedError if a spatial size is not known before the step runs.
    """
    x, weights, channels_last = _standardized(inputs, kernel, data_format)
    spatial, channels = known_sizes(x.type.shape, channels_last=True), x.type.shape[-1]
    *window, of_kernel, multiplier = weights.type.shape
    require_same_channels(x.type.shape, weights.type.shape, of_kernel)
    axes = len(spatial)
    counts, steps, gaps = [], each(strides, axes), each(dilation_rate, axes)
    for axis, (count, before, after) in enumerate(
        convolved(spatial, window, strides, padding, dilation_rate)
    ):
        counts.append(count)
        x = padded(x, axis + 1, before, after, 0)
    if multiplier > 1:
        x = x[..., None]
    else:
        weights = weights[..., 0]

    def term(pixel: tuple[int, ...]) -> TensorVariable:
        view = x
        for axis, place in enumerate(pixel):
            view = part_of(view, axis + 1, place * gaps[axis], steps[axis], counts[axis])
        return view * weights[pixel]

    outputs = reduce(pt.add, [term(pixel) for pixel in product(*map(range, window))])
    if multiplier > 1:
        outputs = outputs.reshape((outputs.shape[0], *counts, channels * multiplier))
    return _finished(outputs, channels_last)


def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Convolve each channel with filters of its own, and then mix the channels of each pixel.

    depthwise_kernel: as for `depthwise_conv`.
    pointwise_kernel: shape (1, ..., 1, channels * multiplier, filters).

    The other arguments and the errors are those of `depthwise_conv`.
    """
    each_channel = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(each_channel, pointwise_kernel, 1, "valid", data_format, dilation_rate)


def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    output_padding: int | Sequence[int] | None = None,
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Compute the transposed convolution, in which each input pixel adds a window to the outputs.

    inputs: shape (batch, *spatial, channels), or with the channels second if `data_format` is channels_first.
    kernel: shape (*window, filters, channels).
    strides: the distance between the windows in the outputs.
    output_padding: how much larger the outputs are than they need to be. None means the sizes that Keras
        chooses.

    Raises ValueError if the kernel has another number of channels. Raises NotImplementedError if a spatial
    size is not known before the step runs.
    """
    x, weights, channels_last = _standardized(inputs, kernel, data_format)
    spatial, channels = known_sizes(x.type.shape, channels_last=True), x.type.shape[-1]
    *window, filters, of_kernel = weights.type.shape
    require_same_channels(x.type.shape, weights.type.shape, of_kernel)
    margins = compute_conv_transpose_padding_args_for_jax(
        (1, *spatial, channels), weights.type.shape, strides, padding, output_padding, dilation_rate
    )
    axes = len(spatial)
    places, sizes = _sources(spatial, window, each(strides, axes), each(dilation_rate, axes), margins)
    matrix = weights.reshape((-1, channels)).T
    windows = (x.reshape((-1, channels)) @ matrix).reshape((-1, prod(spatial) * prod(window), filters))
    parts = [_picked(windows, column).reshape((-1, prod(sizes), filters)) for column in places.T]
    outputs = reduce(pt.add, parts).reshape((x.shape[0], *sizes, filters))
    return _finished(outputs, channels_last)


def _standardized(
    inputs: Any, kernel: Any, data_format: str | None
) -> tuple[TensorVariable, TensorVariable, bool]:
    """Return the inputs with the channels last and the kernel, both in the dtype of the outputs, and whether
    the channels of the outputs come last.
    """
    channels_last = standardize_data_format(data_format) == "channels_last"
    dtype = common_dtype(inputs, kernel)
    x, weights = as_node(inputs, dtype), as_node(kernel, dtype)
    return x if channels_last else pt.moveaxis(x, 1, -1), weights, channels_last


def _finished(outputs: TensorVariable, channels_last: bool) -> Tensor:
    return Tensor(outputs if channels_last else pt.moveaxis(outputs, -1, 1))


def _sources(
    spatial: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    margins: Sequence[tuple[int, int]],
) -> tuple[NDArray[np.int64], list[int]]:
    """Find what each output of a transposed convolution is the sum of.

    margins: the padding that JAX's transposed convolution would get, before and after each axis.
    Returns an array of shape (outputs, terms) and the sizes of the output. A term is the number of the input
    pixel times the pixels of the window, plus the number of the pixel of the window. It is -1 where an output
    has fewer terms than others.
    """
    sizes = []
    pixels = taps = np.zeros((1, 1), "int64")
    for length, reach, step, gap, (before, after) in zip(
        spatial, window, strides, dilation, margins, strict=True
    ):
        far = (reach - 1) * gap
        size = max((length - 1) * step + 1 + before + after - far, 0)
        sizes.append(size)
        tap = np.arange(reach)
        from_start = np.arange(size)[:, None] + far - before - tap * gap
        pixel = from_start // step
        fits = (from_start % step == 0) & (pixel >= 0) & (pixel < length)
        # The terms of each output come first, so that few columns are needed.
        order = np.argsort(~fits, axis=1, kind="stable")[:, : max(int(fits.sum(axis=1).max(initial=0)), 1)]
        fits = np.take_along_axis(fits, order, axis=1)
        pixel = np.where(fits, np.take_along_axis(pixel, order, axis=1), -1)
        pixels = _joined(pixels, pixel, length)
        taps = _joined(taps, np.where(fits, order, -1), reach)
    return np.where(pixels < 0, -1, pixels * prod(window) + taps), sizes


def _joined(outer: NDArray[np.int64], inner: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Number the elements of two axes together. -1 stays -1.

    outer: numbers of elements of the axes before, shape (outputs, terms).
    inner: numbers of elements of the next axis, shape (its outputs, its terms).
    length: the size of the next axis.
    """
    first, second = outer[:, None, :, None], inner[None, :, None, :]
    joined = np.where((first < 0) | (second < 0), -1, first * length + second)
    return joined.reshape(outer.shape[0] * inner.shape[0], -1)


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
    for length, reach, step, gap, (size, before, _) in zip(
        spatial,
        window,
        each(strides, axes),
        each(dilation, axes),
        convolved(spatial, window, strides, padding, dilation),
        strict=True,
    ):
        at = np.arange(size)[:, None] * step + np.arange(reach) * gap - before
        sizes.append(size)
        of_axes.append(np.where((at >= 0) & (at < length), at, -1))
    places = np.zeros((1, 1), "int64")
    for length, at in zip(spatial, of_axes, strict=True):
        places = _joined(places, at, length)
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
