"""Converts to NumPy arrays of a dtype, by the rules of JAX where NumPy's depend on the processor."""

from typing import Any

import numpy as np
from keras.src.backend.common import KerasVariable
from keras.src.backend.common.variables import standardize_dtype

from keras_theano.hook.keras_versions import numpy_ops

eager = numpy_ops("core")


def converted(x: Any, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None) -> Any:
    """Convert `x` to a NumPy array as Keras does.

    x: an array, a variable, a number, or a nested list of them.
    """
    if dtype is not None and isinstance(x, (np.ndarray, np.generic, KerasVariable)):
        return as_array(x, standardize_dtype(dtype))
    try:
        return eager.convert_to_tensor(x, dtype, sparse, ragged)
    except TypeError:  # NumPy casts arrays of complex numbers to real ones, but not the numbers themselves
        if dtype is None or not np.iscomplexobj(x):
            raise
        return as_array(x, standardize_dtype(dtype))


def as_array(x: Any, dtype: str) -> Any:
    """Return a new NumPy array with the values of `x` in a dtype.

    Floats that an integer dtype cannot represent become the nearest number that it can, and NaN becomes 0, as
    on JAX. NumPy leaves these cases to the processor. Complex numbers lose their imaginary parts, unless they
    become booleans.

    dtype: Keras's name of the dtype.
    """
    array = np.asarray(x)
    if array.dtype.kind == "c" and not dtype.startswith(("complex", "bool")):
        array = array.real
    if not dtype.startswith(("int", "uint")) or "float" not in array.dtype.name:
        return np.array(array, dtype)
    wide = array.astype("float32") if array.dtype.itemsize < 4 else array
    limits = np.iinfo(dtype)
    least, greatest = wide.dtype.type(limits.min), wide.dtype.type(limits.max)
    inside = (wide > least) & (wide < greatest)
    whole = np.where(inside, wide, wide.dtype.type(0)).astype(dtype)
    whole[wide <= least] = limits.min
    # The greatest number may be a little more as a float, so the comparison includes it.
    whole[wide >= greatest] = limits.max
    return whole
