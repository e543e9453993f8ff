"""keras.ops.numpy: arithmetic, reductions, shapes."""

from typing import Any

from keras_theano.backend.core import convert_to_tensor
from keras_theano.dispatch import namespace
from keras_theano.keras_versions import numpy_ops

eager = numpy_ops("numpy")


def _sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Trainers sum lists of losses, for which Keras's NumPy function wants an array."""
    return eager.sum(convert_to_tensor(x), axis=axis, keepdims=keepdims)


globals().update(namespace(eager, sum=_sum))
