"""The tensor of eager code."""

from typing import Any

import numpy as np

# The kinds of NumPy's arrays that are not numbers: dates, objects and strings.
_NO_NUMBERS = "MOSTUm"


class Array(np.ndarray[Any, Any]):
    """A NumPy array that is used like the tensors of other backends.

    It takes attributes, such as masks. `x += y` binds x to a new array, as for symbolic tensors, so it does
    not change what else refers to the old one: the input of a layer, for example.
    """

    def __iadd__(self, other: Any) -> Any:  # type: ignore[misc,override]
        return self + other

    def __isub__(self, other: Any) -> Any:  # type: ignore[misc,override]
        return self - other

    def __imul__(self, other: Any) -> Any:  # type: ignore[misc,override]
        return self * other

    def __itruediv__(self, other: Any) -> Any:  # type: ignore[misc,override]
        return self / other

    def __ifloordiv__(self, other: Any) -> Any:  # type: ignore[misc,override]
        return self // other

    def __imod__(self, other: Any) -> Any:  # type: ignore[misc,override]
        return self % other

    def __ipow__(self, other: Any) -> Any:  # type: ignore[misc,override]
        return self**other

    def __imatmul__(self, other: Any) -> Any:  # type: ignore[misc,override]
        return self @ other

    def __iand__(self, other: Any) -> Any:  # type: ignore[misc,override]
        return self & other

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc,override]
        return self | other

    def __ixor__(self, other: Any) -> Any:  # type: ignore[misc,override]
        return self ^ other

    def __ilshift__(self, other: Any) -> Any:  # type: ignore[misc,override]
        return self << other

    def __irshift__(self, other: Any) -> Any:  # type: ignore[misc,override]
        return self >> other


def is_array(x: Any) -> bool:
    """Return whether `x` is an eager tensor. NumPy's own arrays are none, so Keras converts those of users,
    and leaves arrays of strings to the layers that take them. Results of NumPy's operators may be scalars.
    """
    return isinstance(x, Array) or (isinstance(x, np.generic) and x.dtype.kind not in _NO_NUMBERS)


def as_arrays(results: Any) -> Any:
    """Return the results of an op with its arrays and scalars as Arrays. They may be nested."""
    kind = type(results)
    if kind is np.ndarray:
        return results.view(Array)
    if kind is Array:
        return results
    if isinstance(results, np.generic):
        return np.asarray(results).view(Array)
    if kind is tuple or kind is list:
        return kind([as_arrays(part) for part in results])
    if kind is dict:
        return {key: as_arrays(part) for key, part in results.items()}
    if isinstance(results, tuple) and hasattr(results, "_fields"):
        return kind(*[as_arrays(part) for part in results])
    return results
