"""keras.ops.linalg: decompositions and solvers."""

from keras_theano.dispatch import namespace
from keras_theano.keras_versions import numpy_ops

eager = numpy_ops("linalg")

globals().update(namespace(eager))
