"""keras.ops.nn. Activations, normalization, losses and plain convolution can be traced. The other kinds of
convolution and pooling are eager only.
"""

from typing import Any

import numpy as np

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.dispatch import namespace

eager = numpy_ops("nn")


def _dot_product_attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
    """Compute attention in which several heads of the query may share one head of the key and the value.
    Keras's own NumPy function does not support this.
    """
    if len(query.shape) == 4 and query.shape[2] != key.shape[2]:
        shared = query.shape[2] // key.shape[2]
        key, value = np.repeat(key, shared, axis=2), np.repeat(value, shared, axis=2)
    return eager.dot_product_attention(query, key, value, *args, **kwargs)


globals().update(namespace(eager, dot_product_attention=_dot_product_attention))
