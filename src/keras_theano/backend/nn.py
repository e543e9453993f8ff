"""Activations, normalization, losses; convolution and pooling are eager only."""

from keras.src.backend.numpy import nn as eager

from keras_theano.dispatch import namespace

globals().update(namespace(eager))
