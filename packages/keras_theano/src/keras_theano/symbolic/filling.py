"""Tensors of a given shape."""

from collections.abc import Sequence
from typing import Any

import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.tensor.basic import get_underlying_scalar_constant_value
from pytensor.tensor.variable import TensorVariable


def filled(value: TensorVariable, dims: Sequence[Any]) -> TensorVariable:
    """Return a tensor of the shape `dims` that holds `value`, which is broadcast.

    dims: ints and integer nodes.

    PyTensor's alloc does the same in more time. To find sizes that are constant, it rewrites everything that
    a size depends on: for the batch size of a deep layer, these are all layers before it. Here a size is
    constant if a few nodes show it.
    """
    known = [_constant_size(size) for size in dims]
    new = len(dims) - value.type.ndim
    if None not in known or new < 0:
        return pt.alloc(value, *(dims if new < 0 else known))
    shape = []
    for own, size in zip([None] * new + list(value.type.shape), known, strict=True):
        if None not in (own, size) and own not in (1, size):
            raise ValueError(
                f"a tensor of the shape {value.type.shape} cannot be broadcast to {tuple(known)}"
            )
        shape.append(own if size is None and own != 1 else size)
    nodes = [pt.cast(pt.as_tensor_variable(size, ndim=0), "int64") for size in dims]
    return Apply(pt.alloc, [value, *nodes], [pt.TensorType(value.type.dtype, shape)()]).outputs[0]


def _constant_size(size: Any) -> int | None:
    found = get_underlying_scalar_constant_value(size, raise_not_constant=False)
    return None if isinstance(found, TensorVariable) else int(found)
