"""keras.ops.image: resize; the others are eager only."""

from keras.src.backend.numpy import image as eager

from keras_theano.dispatch import namespace

globals().update(namespace(eager))
