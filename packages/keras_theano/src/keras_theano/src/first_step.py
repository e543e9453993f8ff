"""Imports what `import keras` leaves to the first step, so that the time of that step holds no imports."""

import pytensor.sparse  # noqa: F401  PyTensor itself leaves it to the first step

from keras_theano.execution import programs, steps  # noqa: F401
from keras_theano.src import dispatch
from keras_theano.tracing import gradients  # noqa: F401

dispatch.load_symbolic()
programs.load_tier()
