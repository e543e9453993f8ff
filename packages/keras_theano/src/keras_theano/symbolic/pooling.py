"""Pooling as arithmetic on views of the inputs. Nothing is copied but for padding.

A window is reduced along one axis after the other. The last axis comes first, and the first of two equal
numbers wins. So the gradient of a maximum goes to the first maximum in the window, row by row, as it does in
JAX and TensorFlow. A window of 3 * 3 pixels needs six views instead of nine.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod
from typing import Any

import numpy as np
import pytensor.tensor as pt
from keras.src.backend import standardize_data_format
from pytensor.tensor.variable import TensorVariable

from keras_theano.symbolic.views import padded, part_of
from keras_theano.symbolic.windows import each, known_sizes, pooled
from keras_theano.tracing.tensor import Tensor, as_node, cast

Combine = Callable[[TensorVariable, TensorVariable], TensorVariable]

# Up to this size, a window is read as one view for each of its elements. A longer one is put together from
# windows of 2, 4, 8, ... elements, which takes fewer operations.
_MOST_VIEWS = 8


def max_pool(
    inputs: Any,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Return the greatest number in each window. Padding never counts.

    inputs: shape (batch, *spatial, channels), or with the channels second if `data_format` is
        channels_first. There may be any number of spatial axes.
    pool_size: the size of the window.
    strides: the distance between windows. None means `pool_size`.
    padding: "valid" or "same".

    The gradient goes to the first of several greatest numbers.

    Raises ValueError for another padding. Raises NotImplementedError if a spatial size is not known before
    the step runs.
    """
    x, axes, windows = _windows(inputs, pool_size, strides, padding, data_format)
    dtype = x.type.dtype
    if dtype == "bool":
        x = cast(x, "int8")
    least = -np.inf if "float" in x.type.dtype else np.iinfo(x.type.dtype).min
    for axis, (size, step, (count, before, after)) in _from_last(axes, windows):
        x = _reduced(padded(x, axis, before, after, least), axis, size, step, count, pt.maximum)
    return Tensor(cast(x, dtype))


def average_pool(
    inputs: Any,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Return the mean of each window. Only elements of the inputs count, and no padding.

    The arguments and errors are those of `max_pool`. Whole numbers have their mean in float32.
    """
    x, axes, windows = _windows(inputs, pool_size, strides, padding, data_format)
    x = _floats(x)
    counts = np.ones((1,) * x.type.ndim)
    for axis, (size, step, (count, before, after)) in _from_last(axes, windows):
        length = x.type.shape[axis]
        x = _reduced(padded(x, axis, before, after, 0), axis, size, step, count, pt.add)
        starts = np.arange(count) * step - before
        inside = np.minimum(starts + size, length) - np.maximum(starts, 0)
        counts = counts * inside.reshape([-1 if n == axis else 1 for n in range(x.type.ndim)])
    if padding == "valid":
        return Tensor(x / as_node(prod(size for size, _, _ in windows), x.type.dtype))
    return Tensor(x / pt.constant(counts.astype(x.type.dtype)))


def _windows(
    inputs: Any,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None,
    padding: str,
    data_format: str | None,
) -> tuple[TensorVariable, list[int], list[tuple[int, int, tuple[int, int, int]]]]:
    """Return the inputs, their spatial axes, and for each of these the size of the window, the distance
    between windows, and how they are placed.
    """
    x, axes, lengths = _spatial(inputs, data_format)
    return x, axes, pooled(lengths, pool_size, strides, padding)


def _spatial(inputs: Any, data_format: str | None) -> tuple[TensorVariable, list[int], tuple[int, ...]]:
    """Return the inputs, their spatial axes and the sizes of these."""
    x = as_node(inputs)
    channels_last = standardize_data_format(data_format) == "channels_last"
    first = 1 if channels_last else 2
    lengths = known_sizes(x.type.shape, channels_last)
    return x, list(range(first, first + len(lengths))), lengths


def _floats(x: TensorVariable) -> TensorVariable:
    return x if "float" in x.type.dtype else cast(x, "float32")


def _from_last(axes: list[int], of_each: Sequence[Any]) -> list[tuple[int, Any]]:
    return list(zip(axes, of_each, strict=True))[::-1]


def _reduced(
    x: TensorVariable, axis: int, size: int, step: int, count: int, combine: Combine
) -> TensorVariable:
    """Reduce windows along one axis.

    size: the number of elements of a window.
    step: the distance between windows.
    count: the number of windows.
    combine: pt.maximum or pt.add.
    """
    if count == 0:
        return part_of(x, axis, 0, 1, 0)
    parts = []
    if size <= _MOST_VIEWS:
        parts = [part_of(x, axis, first, step, count) for first in range(size)]
    else:
        widened = {1: x}
        width = 1
        while 2 * width <= size:
            x = widened[width]
            length = x.type.shape[axis] - width
            width *= 2
            widened[width] = combine(part_of(x, axis, 0, 1, length), part_of(x, axis, width // 2, 1, length))
        first = 0
        for width in sorted(widened, reverse=True):
            if size & width:
                parts.append(part_of(widened[width], axis, first, step, count))
                first += width
    return reduce(combine, parts)


# Adaptive pooling


def adaptive_max_pool(
    inputs: Any, output_size: int | Sequence[int], data_format: str | None = None
) -> Tensor:
    """Return the greatest number in each of `output_size` windows, which cover the inputs evenly.

    inputs: as for `max_pool`, with one to three spatial axes.
    output_size: the sizes of the outputs.

    Window n of an axis reaches from floor(n * length / count) to ceil((n + 1) * length / count). The gradient
    goes to the first of several greatest numbers.

    Raises ValueError for more spatial axes. Raises NotImplementedError if a spatial size is not known before
    the step runs.
    """
    x, spread = _spread(inputs, output_size, data_format)
    for axis, (starts, ends) in spread:
        shortest = int((ends - starts).min())
        pooled = _picked(_every(x, axis, shortest, pt.maximum), axis, starts)
        if (ends - starts > shortest).any():
            # A shorter window meets its last element a second time, which changes nothing.
            pooled = pt.maximum(pooled, _picked(x, axis, np.minimum(starts + shortest, ends - 1)))
        x = pooled
    return Tensor(x)


def adaptive_average_pool(
    inputs: Any, output_size: int | Sequence[int], data_format: str | None = None
) -> Tensor:
    """Return the mean of each of `output_size` windows, which cover the inputs evenly.

    The arguments, windows and errors are those of `adaptive_max_pool`. Whole numbers have their mean in
    float32.
    """
    x, spread = _spread(inputs, output_size, data_format)
    x = _floats(x)
    for axis, (starts, ends) in spread:
        sizes = ends - starts
        shortest = int(sizes.min())
        pooled = _picked(_every(x, axis, shortest, pt.add), axis, starts)
        along = [-1 if n == axis else 1 for n in range(x.type.ndim)]
        if (sizes > shortest).any():
            last = _picked(x, axis, np.minimum(starts + shortest, ends - 1))
            longer = pt.constant((sizes > shortest).reshape(along))
            pooled = pooled + pt.switch(longer, last, as_node(0, x.type.dtype))
        x = pooled / pt.constant(sizes.reshape(along).astype(x.type.dtype))
    return Tensor(x)


def _spread(
    inputs: Any, output_size: int | Sequence[int], data_format: str | None
) -> tuple[TensorVariable, list[tuple[int, Any]]]:
    """Return the inputs, and for each spatial axis, beginning with the last, where the windows start and end.
    The sizes of these windows differ by at most one.
    """
    x, axes, lengths = _spatial(inputs, data_format)
    if len(axes) not in (1, 2, 3):
        raise ValueError(f"adaptive pooling supports 1 to 3 spatial axes. Received: shape={x.type.shape}")
    ends = []
    for length, count in zip(lengths, each(output_size, len(axes)), strict=True):
        n = np.arange(count)
        ends.append((n * length // count, -(-(n + 1) * length // count)))
    return x, _from_last(axes, ends)


def _every(x: TensorVariable, axis: int, size: int, combine: Combine) -> TensorVariable:
    """Reduce the windows that start at every element of an axis."""
    return _reduced(x, axis, size, 1, x.type.shape[axis] - size + 1, combine)


def _picked(x: TensorVariable, axis: int, places: Any) -> TensorVariable:
    """Return the elements of an axis at `places`, as a view if these are evenly spaced."""
    gaps = np.diff(places)
    if (gaps == gaps[:1]).all() and (gaps[:1] > 0).all():
        return part_of(x, axis, int(places[0]), int(gaps[0]) if gaps.size else 1, len(places))
    return x[(*[slice(None)] * axis, pt.constant(places))]
