"""keras.ops.linalg: decompositions and solvers."""

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.dispatch import namespace

eager = numpy_ops("linalg")

globals().update(namespace(eager))
