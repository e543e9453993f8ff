"""Convolution outside of a trace, in NumPy. Keras's own NumPy functions need JAX.

The patches are a view of the inputs. They are copied into rows for a few images at a time, so that a large
batch needs little memory, and multiplied as matrices.

The outputs have the dtype in which Keras computes inputs and kernel together, so float64 becomes float32, as
in Keras's matmul. float16 and bfloat16 are added up in float32.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
from keras.src.backend import standardize_data_format
from keras.src.backend.common.backend_utils import compute_conv_transpose_padding_args_for_jax
from keras.src.backend.common.dtypes import result_type
from numpy.typing import NDArray

from keras_theano.execution.threads import limited
from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.symbolic.windows import convolved, each, groups_of, require_same_channels

convert_to_tensor = numpy_ops("core").convert_to_tensor

# How many numbers are in memory at once, apart from the inputs and outputs: 1 MiB in float32 where matrices
# are multiplied, and 256 KiB where numbers are only multiplied and added.
_MOST_NUMBERS = 2**18
_MOST_IN_CACHE = 2**16
_ADDED_UP_IN = {"float16": "float32", "bfloat16": "float32"}


def conv(
    inputs: Any,
    kernel: Any,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Any:
    """Compute the convolution.

    inputs: shape (batch, *spatial, channels), or with the channels second if `data_format` is channels_first.
    kernel: shape (*window, channels / groups, filters). The window has as many axes as `spatial`.

    Raises ValueError if the number of channels is not a multiple of the kernel's, or if the inputs are
    smaller than the window.
    """
    x, weights, dtype, channels_last = _standardized(inputs, kernel, data_format)
    *window, per_group, filters = weights.shape
    groups = groups_of(x.shape, weights.shape)
    windows, sizes = _windows(x, window, strides, padding, dilation_rate)
    windows = np.moveaxis(windows.reshape(*windows.shape[:-1], groups, per_group), -2, 0)
    pixels, taps = prod(sizes), prod(window)
    matrices = weights.reshape(taps * per_group, groups, filters // groups).transpose(1, 0, 2)
    outputs = np.empty((len(x), pixels, groups, filters // groups), x.dtype)
    for images in _chunks(len(x), pixels * taps * x.shape[-1], _MOST_NUMBERS):
        patches = windows[:, images].reshape(groups, -1, taps * per_group)
        with limited(patches.size * (filters // groups)):
            filtered = np.matmul(patches, matrices)
        outputs[images] = np.moveaxis(filtered, 0, 1).reshape(-1, *outputs.shape[1:])
    return _finished(outputs.reshape(len(x), *sizes, filters), dtype, channels_last)


def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Any:
    """Convolve each channel with filters of its own.

    inputs: shape (batch, *spatial, channels), or with the channels second if `data_format` is channels_first.
    kernel: shape (*window, channels, multiplier).

    The outputs have channels * multiplier channels. Those of the same input channel are neighbours.

    Raises ValueError if the kernel has another number of channels, or if the inputs are smaller than the
    window.
    """
    x, weights, dtype, channels_last = _standardized(inputs, kernel, data_format)
    *window, of_kernel, multiplier = weights.shape
    require_same_channels(x.shape, weights.shape, of_kernel)
    if multiplier > 1:
        x = np.repeat(x, multiplier, axis=-1)
    filters = weights.reshape(*window, -1)
    windows, sizes = _windows(x, window, strides, padding, dilation_rate)
    outputs = np.zeros((len(x), *sizes, x.shape[-1]), x.dtype)
    for images in _chunks(len(x), outputs[:1].size, _MOST_IN_CACHE):
        term = np.empty_like(outputs[images])
        for tap in product(*map(range, window)):
            place: Any = (images, *[slice(None)] * len(sizes), *tap)
            outputs[images] += np.multiply(windows[place], filters[tap], out=term)
    return _finished(outputs, dtype, channels_last)


def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Any:
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
) -> Any:
    """Compute the transposed convolution, in which each input pixel adds a window to the outputs.

    inputs: shape (batch, *spatial, channels), or with the channels second if `data_format` is channels_first.
    kernel: shape (*window, filters, channels).
    strides: the distance between the windows in the outputs.
    output_padding: how much larger the outputs are than they need to be. None means the sizes that Keras
        chooses.

    Raises ValueError if the kernel has another number of channels.
    """
    x, weights, dtype, channels_last = _standardized(inputs, kernel, data_format)
    *window, filters, of_kernel = weights.shape
    require_same_channels(x.shape, weights.shape, of_kernel)
    spatial, channels = x.shape[1:-1], x.shape[-1]
    margins = compute_conv_transpose_padding_args_for_jax(
        (1, *spatial, channels), weights.shape, strides, padding, output_padding, dilation_rate
    )
    steps, gaps = each(strides, len(spatial)), each(dilation_rate, len(spatial))
    # All windows are added up. Of these sums the outputs are a part, or they have zeros around them.
    wholes, firsts, parts, sizes = [], [], [], []
    for length, reach, step, gap, (before, after) in zip(spatial, window, steps, gaps, margins, strict=True):
        far = (reach - 1) * gap
        size = max((length - 1) * step + 1 + before + after - far, 0)
        first, cut = max(before - far, 0), max(far - before, 0)
        wholes.append(max(first + (length - 1) * step + far + 1, cut + size))
        firsts.append(first)
        parts.append(slice(cut, cut + size))
        sizes.append(size)
    matrix = weights.reshape(-1, channels).T
    outputs = np.empty((len(x), *sizes, filters), x.dtype)
    for images in _chunks(len(x), prod(spatial) * matrix.shape[1], _MOST_NUMBERS):
        rows = x[images].reshape(-1, channels)
        with limited(rows.size * matrix.shape[1]):
            windows = np.matmul(rows, matrix).reshape(-1, *spatial, *window, filters)
        sums = np.zeros((len(windows), *wholes, filters), x.dtype)
        for tap in product(*map(range, window)):
            places = [
                slice(first + place * gap, first + place * gap + length * step, step)
                for first, place, gap, length, step in zip(firsts, tap, gaps, spatial, steps, strict=True)
            ]
            sums[(slice(None), *places)] += windows[(*[slice(None)] * (1 + len(spatial)), *tap)]
        outputs[images] = sums[(slice(None), *parts)]
    return _finished(outputs, dtype, channels_last)


def _standardized(
    inputs: Any, kernel: Any, data_format: str | None
) -> tuple[NDArray[Any], NDArray[Any], str, bool]:
    """Return the inputs with the channels last and the kernel, both in the dtype that sums have, the dtype of
    the outputs, and whether their channels come last.
    """
    x, weights = convert_to_tensor(inputs), convert_to_tensor(kernel)
    channels_last = standardize_data_format(data_format) == "channels_last"
    dtype = str(result_type(x.dtype, weights.dtype))
    wide = _ADDED_UP_IN.get(dtype, dtype)
    x, weights = x.astype(wide, copy=False), weights.astype(wide, copy=False)
    return x if channels_last else np.moveaxis(x, 1, -1), weights, dtype, channels_last


def _finished(outputs: NDArray[Any], dtype: str, channels_last: bool) -> Any:
    outputs = outputs.astype(dtype, copy=False)
    return outputs if channels_last else np.ascontiguousarray(np.moveaxis(outputs, -1, 1))


def _windows(
    x: NDArray[Any],
    window: Sequence[int],
    strides: int | Sequence[int],
    padding: str,
    dilation: int | Sequence[int],
) -> tuple[NDArray[Any], list[int]]:
    """Return a view of all windows, of shape (batch, *sizes, *window, channels), and the sizes of the
    outputs.
    """
    axes = len(window)
    steps, gaps = each(strides, axes), each(dilation, axes)
    placed = convolved(x.shape[1:-1], window, strides, padding, dilation)
    sizes = [count for count, _, _ in placed]
    if any(before or after for _, before, after in placed):
        x = np.pad(x, [(0, 0), *[(before, after) for _, before, after in placed], (0, 0)])
    reaches = [(reach - 1) * gap + 1 for reach, gap in zip(window, gaps, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(x, reaches, tuple(range(1, axes + 1)))
    starts = [slice(0, size * step, step) for size, step in zip(sizes, steps, strict=True)]
    taps = [slice(None, None, gap) for gap in gaps]
    return np.moveaxis(windows[(slice(None), *starts, slice(None), *taps)], axes + 1, -1), sizes


def _chunks(count: int, numbers: int, most: int) -> Iterator[slice]:
    """Divide `count` images into chunks of up to `most` numbers, but of at least one image.

    numbers: how many numbers one image needs.
    """
    images = max(most // max(numbers, 1), 1)
    return (slice(start, start + images) for start in range(0, count, images))
