"""keras.ops.linalg: decompositions and solvers."""

from keras.src.backend.numpy import linalg as eager

from keras_theano.dispatch import namespace

globals().update(namespace(eager))
