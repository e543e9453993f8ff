"""keras.ops.math: top_k, segments, Fourier transforms, special functions."""

from keras.src.backend.numpy import math as eager

from keras_theano.dispatch import namespace

globals().update(namespace(eager))
