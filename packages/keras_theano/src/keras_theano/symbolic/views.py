"""Parts of inputs along an axis, and inputs with padding."""

from typing import Any

import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from keras_theano.symbolic.filling import filled
from keras_theano.symbolic.sizes import size_of
from keras_theano.tracing.tensor import as_node


def padded(x: TensorVariable, axis: int, before: int, after: int, fill: Any) -> TensorVariable:
    """Return `x` with `before` and `after` additional elements along an axis, which all equal `fill`."""

    def block(size: int) -> TensorVariable:
        shape = [size if n == axis else size_of(x, n) for n in range(x.type.ndim)]
        return filled(as_node(fill, x.type.dtype), shape)

    parts = [block(before)] * (before > 0) + [x] + [block(after)] * (after > 0)
    return x if len(parts) == 1 else pt.concatenate(parts, axis=axis)


def part_of(x: TensorVariable, axis: int, first: int, step: int, count: int) -> TensorVariable:
    """Return the view of `count` elements of an axis, from `first` on and `step` apart."""
    stop = first + max((count - 1) * step + 1, 0)
    return x[(*[slice(None)] * axis, slice(first, stop, step))]
