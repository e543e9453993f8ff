"""What layers inherit."""

from keras_theano.backend.layer import TheanoLayer as BackendLayer

__all__ = ["BackendLayer"]
