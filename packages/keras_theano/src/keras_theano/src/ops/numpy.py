"""keras.ops.numpy: arithmetic, reductions, shapes."""

import sys
from typing import Any

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.dispatch import namespace
from keras_theano.tracing import values
from keras_theano.tracing.conversion import convert_to_tensor

eager = numpy_ops("numpy")


def _sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Sum `x`, which may also be a list. Trainers sum lists of losses, but Keras's NumPy function accepts
    only an array.
    """
    return eager.sum(convert_to_tensor(x), axis=axis, keepdims=keepdims)


globals().update(namespace(eager, sum=_sum))
values.operators = sys.modules[__name__]
