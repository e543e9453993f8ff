"""Recurrent layers: eager only."""

from importlib import import_module

from keras_theano.src.dispatch import namespace

# Not `from keras.src.backend.numpy import rnn`: there, the name is the function's.
globals().update(namespace(import_module("keras.src.backend.numpy.rnn")))
