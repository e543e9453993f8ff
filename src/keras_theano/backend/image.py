"""keras.ops.image: resize; the others are eager only."""

from keras_theano.dispatch import namespace
from keras_theano.keras_versions import numpy_ops

eager = numpy_ops("image")

globals().update(namespace(eager))
