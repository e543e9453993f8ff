"""Converts to a tensor whatever Keras passes as one. PyTensor is imported only while a trace is open, so
eager work never waits for it.
"""

from typing import Any

from keras.src.backend.common.dtypes import result_type
from keras.src.backend.common.variables import standardize_dtype

from keras_theano.tracing import trace
from keras_theano.tracing.array import Array, as_arrays
from keras_theano.tracing.dtypes import converted
from keras_theano.tracing.values import refuse_none


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
    return as_arrays(converted(x, dtype, sparse, ragged))
