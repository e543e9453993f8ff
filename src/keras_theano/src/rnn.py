"""keras.src.backend.rnn."""

from keras_theano.backend.rnn import *  # noqa: F403
