"""The namespaces that Keras takes from a backend, under the names that Keras gives them."""

# ruff: noqa: E402  # Keras's NumPy backend has to be imported in a way of its own, first.
from keras_theano.deferred import import_numpy_backend

import_numpy_backend()

from keras.src.backend.common.name_scope import name_scope as name_scope

from keras_theano.backend import core as core
from keras_theano.backend import image as image
from keras_theano.backend import linalg as linalg
from keras_theano.backend import math as math
from keras_theano.backend import nn as nn
from keras_theano.backend import numpy as numpy
from keras_theano.backend import random as random
from keras_theano.backend.core import IS_THREAD_SAFE as IS_THREAD_SAFE
from keras_theano.backend.core import SUPPORTS_COMPLEX_DTYPES as SUPPORTS_COMPLEX_DTYPES
from keras_theano.backend.core import SUPPORTS_GRADIENT as SUPPORTS_GRADIENT
from keras_theano.backend.core import SUPPORTS_RAGGED_TENSORS as SUPPORTS_RAGGED_TENSORS
from keras_theano.backend.core import SUPPORTS_SPARSE_TENSORS as SUPPORTS_SPARSE_TENSORS
from keras_theano.backend.core import Variable as Variable
from keras_theano.backend.core import cast as cast
from keras_theano.backend.core import compute_output_spec as compute_output_spec
from keras_theano.backend.core import cond as cond  # type: ignore[attr-defined]
from keras_theano.backend.core import convert_to_numpy as convert_to_numpy  # type: ignore[attr-defined]
from keras_theano.backend.core import convert_to_tensor as convert_to_tensor
from keras_theano.backend.core import device_scope as device_scope
from keras_theano.backend.core import is_tensor as is_tensor
from keras_theano.backend.core import random_seed_dtype as random_seed_dtype
from keras_theano.backend.core import shape as shape
from keras_theano.backend.core import vectorized_map as vectorized_map  # type: ignore[attr-defined]
from keras_theano.backend.rnn import bidirectional_gru as bidirectional_gru  # type: ignore[attr-defined]
from keras_theano.backend.rnn import bidirectional_lstm as bidirectional_lstm  # type: ignore[attr-defined]
from keras_theano.backend.rnn import cudnn_ok as cudnn_ok  # type: ignore[attr-defined]
from keras_theano.backend.rnn import gru as gru  # type: ignore[attr-defined]
from keras_theano.backend.rnn import lstm as lstm  # type: ignore[attr-defined]
from keras_theano.backend.rnn import rnn as rnn  # type: ignore[attr-defined]
