"""keras.ops.image. `resize` can be traced; the other ops are eager only."""

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.dispatch import namespace

eager = numpy_ops("image")

globals().update(namespace(eager))
