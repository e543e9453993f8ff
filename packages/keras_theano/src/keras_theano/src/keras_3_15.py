"""The names that Keras 3.15 imports from the package of a backend. The hook redirects Keras here."""

from keras.src.backend.common.name_scope import name_scope as name_scope

from keras_theano.src import random as random
from keras_theano.src.ops import cast as cast
from keras_theano.src.ops import core as core
from keras_theano.src.ops import image as image
from keras_theano.src.ops import linalg as linalg
from keras_theano.src.ops import math as math
from keras_theano.src.ops import nn as nn
from keras_theano.src.ops import numpy as numpy
from keras_theano.src.ops.core import IS_THREAD_SAFE as IS_THREAD_SAFE
from keras_theano.src.ops.core import SUPPORTS_COMPLEX_DTYPES as SUPPORTS_COMPLEX_DTYPES
from keras_theano.src.ops.core import SUPPORTS_GRADIENT as SUPPORTS_GRADIENT
from keras_theano.src.ops.core import SUPPORTS_RAGGED_TENSORS as SUPPORTS_RAGGED_TENSORS
from keras_theano.src.ops.core import SUPPORTS_SPARSE_TENSORS as SUPPORTS_SPARSE_TENSORS
from keras_theano.src.ops.core import Variable as Variable
from keras_theano.src.ops.core import compute_output_spec as compute_output_spec
from keras_theano.src.ops.core import cond as cond  # type: ignore[attr-defined]
from keras_theano.src.ops.core import convert_to_numpy as convert_to_numpy  # type: ignore[attr-defined]
from keras_theano.src.ops.core import convert_to_tensor as convert_to_tensor
from keras_theano.src.ops.core import device_scope as device_scope
from keras_theano.src.ops.core import is_tensor as is_tensor
from keras_theano.src.ops.core import random_seed_dtype as random_seed_dtype
from keras_theano.src.ops.core import shape as shape
from keras_theano.src.ops.core import vectorized_map as vectorized_map  # type: ignore[attr-defined]
from keras_theano.src.rnn import bidirectional_gru as bidirectional_gru  # type: ignore[attr-defined]
from keras_theano.src.rnn import bidirectional_lstm as bidirectional_lstm  # type: ignore[attr-defined]
from keras_theano.src.rnn import cudnn_ok as cudnn_ok  # type: ignore[attr-defined]
from keras_theano.src.rnn import gru as gru  # type: ignore[attr-defined]
from keras_theano.src.rnn import lstm as lstm  # type: ignore[attr-defined]
from keras_theano.src.rnn import rnn as rnn  # type: ignore[attr-defined]
