"""Recurrent layers. They are eager only."""

from importlib import import_module

from keras_theano.src.dispatch import namespace

# `from keras.src.backend.numpy import rnn` would give the function of that name.
globals().update(namespace(import_module("keras.src.backend.numpy.rnn")))
