"""keras.ops.numpy: arithmetic, reductions, shapes."""

import sys
from typing import Any

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.dispatch import namespace
from keras_theano.tracing import values
from keras_theano.tracing.conversion import convert_to_tensor
from keras_theano.tracing.trace import current

eager = numpy_ops("numpy")


def _sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Sum `x`, which may also be a list. Trainers sum lists of losses, but Keras's NumPy function accepts
    only an array.
    """
    return eager.sum(convert_to_tensor(x), axis=axis, keepdims=keepdims)


def _vectorize(pyfunc: Any, *, excluded: Any = None, signature: str | None = None) -> Any:
    """Return a function that calls `pyfunc` for each element. In a trace, it is recorded for one element."""
    eagerly = eager.vectorize(pyfunc, excluded=excluded, signature=signature)

    def function(*args: Any, **kwargs: Any) -> Any:
        if current() is None:
            return eagerly(*args, **kwargs)
        from keras_theano.symbolic.vectorize import vectorized

        return vectorized(pyfunc, args, kwargs, excluded or (), signature)

    return function


globals().update(namespace(eager, sum=_sum, vectorize=_vectorize))
values.operators = sys.modules[__name__]
