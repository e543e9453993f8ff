"""keras.src.backend.ops: the namespaces of ops. The ops of core are also available directly."""

from keras_theano.src.ops import core as core
from keras_theano.src.ops import image as image
from keras_theano.src.ops import linalg as linalg
from keras_theano.src.ops import math as math
from keras_theano.src.ops import nn as nn
from keras_theano.src.ops import numpy as numpy
from keras_theano.src.ops.core import *  # noqa: F403

# Keras itself calls this function, and for keras.ops.cast it calls the one in core.
cast = core.cast_inside_keras
