"""Ops whose results have as many elements as there are certain values, which is known when the step runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numpy.lib.array_utils import normalize_axis_index

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.tracing.computed import computed
from keras_theano.tracing.tensor import Tensor, as_node, cast

eager = numpy_ops("numpy")


def nonzero(x: Any) -> tuple[Tensor, ...]:
    """Return the indices of the elements that are not 0, for each axis as int32 of shape (elements,)."""
    return tuple(Tensor(cast(part, "int32")) for part in _places(x))


def true_places(condition: Any) -> tuple[Tensor, ...]:
    """Return what `where` returns without choices: the indices of the elements that are not 0, as int64."""
    return tuple(Tensor(part) for part in _places(condition))


def _places(x: Any) -> Sequence[Any]:
    node = as_node(x)
    if not node.type.ndim:
        raise ValueError("a scalar has no axes whose indices could be returned. Reshape it to (1,)")
    found: Sequence[Any] = pt.nonzero(node)
    return found


def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """Return the different values of an array or, with an axis, its different slices. They are always sorted.

    return_index: whether to return where each value occurs first.
    return_inverse: whether to return the number of the value of each element.
    return_counts: whether to return how often each value occurs.
    size: how many values are returned. Missing ones are replaced by `fill_value`.

    The gradient goes to the first occurrence.
    """
    node = as_node(x)
    wanted = (True, return_index, return_inverse, return_counts)
    along = None if axis is None else normalize_axis_index(axis, node.type.ndim)
    sample = _unique(
        np.ones((1,) * node.type.ndim, node.type.dtype),
        axis=along,
        size=size,
        fill_value=fill_value,
    )
    shapes: list[Any] = [
        [size]
        if along is None
        else [size if n == along else length for n, length in enumerate(node.type.shape)],
        [size],
        node.type.shape if sample[2].ndim == node.type.ndim else [None] * sample[2].ndim,
        [size],
    ]
    outputs = [(str(part.dtype), shape) for part, shape in zip(sample, shapes, strict=True)]
    found = computed(
        _unique, [node], outputs, _gradient_of_unique, axis=along, size=size, fill_value=fill_value
    )
    parts = [Tensor(part) for part, included in zip(found, wanted, strict=True) if included]
    return parts[0] if len(parts) == 1 else tuple(parts)


def _unique(x: Any, **settings: Any) -> Any:
    return eager.unique(x, return_index=True, return_inverse=True, return_counts=True, **settings)


def _gradient_of_unique(
    inputs: Sequence[Any], _: Any, upstream: Sequence[Any], axis: int | None, **settings: Any
) -> list[Any]:
    (x,) = inputs
    return computed(_at_first, [x, upstream[0]], [(x.type.dtype, x.type.shape)], axis=axis)


def _at_first(x: Any, upstream: Any, *, axis: int | None) -> Any:
    """Return zeros with the gradients of the unique values where these occur first."""
    _, first = np.unique(x, return_index=True, axis=axis, equal_nan=False)
    along = 0 if axis is None else axis
    found = np.zeros(x.size if axis is None else x.shape, upstream.dtype)
    count = min(len(first), upstream.shape[along])
    np.moveaxis(found, along, 0)[first[:count]] = np.moveaxis(upstream, along, 0)[:count]
    return found.reshape(x.shape)
