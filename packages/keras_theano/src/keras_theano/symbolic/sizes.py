"""Sizes of axes, of PyTensor's variables and of NumPy's arrays. This module does not need PyTensor."""

from typing import Any


def size_of(x: Any, axis: int) -> Any:
    """Return the size of an axis: an int if it is known, otherwise an int64 node."""
    known = x.type.shape[axis] if hasattr(x, "type") else x.shape[axis]
    return x.shape[axis] if known is None else int(known)


def sizes_of(x: Any) -> list[Any]:
    """Return the sizes of all axes, as `size_of` does."""
    return [size_of(x, axis) for axis in range(x.ndim)]
