"""Converts to a tensor whatever Keras passes as one. PyTensor is imported only while a trace is open, so
eager work never waits for it.
"""

from typing import Any

import numpy as np
from keras.src.backend.common import KerasVariable
from keras.src.backend.common.dtypes import result_type
from keras.src.backend.common.variables import standardize_dtype

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.tracing import trace
from keras_theano.tracing.array import Array, as_arrays
from keras_theano.tracing.values import refuse_none

eager = numpy_ops("core")


def convert_to_tensor(
    x: Any, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None
) -> Any:
    """Convert `x` to a tensor. Raises ValueError if it is None or a list that contains None."""
    refuse_none(x)
    if trace.current() is not None:
        from keras_theano.tracing.tensor import Tensor, as_node, is_traced

        if is_traced(x):
            return Tensor(as_node(x, dtype))
    if type(x) is Array and x.dtype == (result_type(x.dtype) if dtype is None else standardize_dtype(dtype)):
        return x
    if dtype is not None and isinstance(x, (np.ndarray, np.generic, KerasVariable)):
        return as_array(x, standardize_dtype(dtype)).view(Array)
    return as_arrays(eager.convert_to_tensor(x, dtype, sparse, ragged))


def as_array(x: Any, dtype: str) -> Any:
    """Return a new NumPy array with the values of `x` in a dtype.

    Floats that an integer dtype cannot represent become the nearest number that it can, and NaN becomes 0, as
    on JAX. NumPy leaves these cases to the processor.

    dtype: Keras's name of the dtype.
    """
    array = np.asarray(x)
    if not dtype.startswith(("int", "uint")) or not _is_float(array.dtype):
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


def _is_float(dtype: Any) -> bool:
    return "float" in dtype.name
