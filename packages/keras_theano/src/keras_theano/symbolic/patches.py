"""Cuts images into patches and adds patches up to images. Each of the two is the gradient of the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from keras_theano.symbolic.limits import refusal
from keras_theano.tracing.computed import computed
from keras_theano.tracing.tensor import Tensor, as_node

Pair = int | Sequence[int]
# For each of the two axes of an image: the size of a patch, the distance between neighbours in a patch, the
# padding at both ends, and the distance between patches.
Windows = tuple[tuple[int, int, int, int], ...]


def unfold(input: Any, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1) -> Tensor:
    """Cut images into patches.

    input: shape (batch, channels, height, width).
    Returns shape (batch, channels * the size of a patch, patches).
    """
    node = as_node(input)
    if node.type.ndim != 4:
        raise ValueError(f"unfold needs an input with 4 axes. Received: {node.type.shape}")
    sizes = node.type.shape[2:]
    if None in sizes:
        raise refusal("unfold", f"images of shape {node.type.shape}")
    return Tensor(_unfolded(node, sizes, _windows(kernel_size, dilation, padding, stride)))


def fold(
    x: Any,
    output_size: Pair,
    kernel_size: Pair,
    dilation: Pair = 1,
    padding: Pair = 0,
    stride: Pair = 1,
) -> Tensor:
    """Add up patches to images.

    x: shape (batch, channels * the size of a patch, patches).
    output_size: height and width of the images.
    Returns shape (batch, channels, height, width).
    """
    node = as_node(x)
    if node.type.ndim != 3:
        raise ValueError(f"fold needs an input with 3 axes. Received: {node.type.shape}")
    return Tensor(_folded(node, _pair(output_size), _windows(kernel_size, dilation, padding, stride)))


def _pair(value: Pair) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, (int, np.integer)) else value
    return int(first), int(second)


def _windows(*settings: Pair) -> Windows:
    return tuple(zip(*[_pair(each) for each in settings], strict=True))


def _unfolded(images: TensorVariable, sizes: tuple[int, ...], windows: Windows) -> Any:
    batch, channels = images.type.shape[:2]
    rows = None if channels is None else channels * windows[0][0] * windows[1][0]
    count = int(np.prod(_counts(sizes, windows)))
    outputs = [(images.type.dtype, (batch, rows, count))]
    return computed(_cut, [images], outputs, _gradient_of_cut, sizes=sizes, windows=windows)[0]


def _folded(patches: TensorVariable, sizes: tuple[int, ...], windows: Windows) -> Any:
    batch, rows = patches.type.shape[:2]
    channels = None if rows is None else rows // (windows[0][0] * windows[1][0])
    outputs = [(patches.type.dtype, (batch, channels, *sizes))]
    return computed(_add_up, [patches], outputs, _gradient_of_add_up, sizes=sizes, windows=windows)[0]


def _gradient_of_cut(_: Any, __: Any, upstream: Sequence[Any], **settings: Any) -> list[Any]:
    return [_folded(pt.as_tensor(upstream[0]), **settings)]


def _gradient_of_add_up(_: Any, __: Any, upstream: Sequence[Any], **settings: Any) -> list[Any]:
    return [_unfolded(pt.as_tensor(upstream[0]), **settings)]


def _counts(sizes: tuple[int, ...], windows: Windows) -> list[int]:
    """Return the numbers of patches along both axes."""
    return [
        (size + 2 * pad - step * (length - 1) - 1) // stride + 1
        for size, (length, step, pad, stride) in zip(sizes, windows, strict=True)
    ]


def _places(n: int, window: tuple[int, int, int, int], count: int) -> slice:
    """Return where the n-th elements of all patches lie along a padded axis."""
    _, step, _, stride = window
    return slice(n * step, n * step + (count - 1) * stride + 1, stride)


def _cut(images: Any, *, sizes: tuple[int, ...], windows: Windows) -> Any:
    (rows, columns), (pad_rows, pad_columns) = _counts(sizes, windows), [window[2] for window in windows]
    padded = np.pad(images, [(0, 0), (0, 0), (pad_rows, pad_rows), (pad_columns, pad_columns)])
    height, width = windows[0][0], windows[1][0]
    patches = np.empty((*images.shape[:2], height, width, rows, columns), images.dtype)
    for n in range(height):
        for m in range(width):
            places = _places(n, windows[0], rows), _places(m, windows[1], columns)
            patches[:, :, n, m] = padded[(..., *places)]
    return patches.reshape(len(images), images.shape[1] * height * width, rows * columns)


def _add_up(patches: Any, *, sizes: tuple[int, ...], windows: Windows) -> Any:
    (rows, columns), (pad_rows, pad_columns) = _counts(sizes, windows), [window[2] for window in windows]
    height, width = windows[0][0], windows[1][0]
    channels = patches.shape[1] // (height * width)
    parts = patches.reshape(len(patches), channels, height, width, rows, columns)
    shape = [size + 2 * window[2] for size, window in zip(sizes, windows, strict=True)]
    images = np.zeros((len(patches), channels, *shape), patches.dtype)
    for n in range(height):
        for m in range(width):
            places = _places(n, windows[0], rows), _places(m, windows[1], columns)
            images[(..., *places)] += parts[:, :, n, m]
    return images[:, :, pad_rows : pad_rows + sizes[0], pad_columns : pad_columns + sizes[1]]
