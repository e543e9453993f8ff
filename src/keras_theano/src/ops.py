"""keras.src.backend.ops: the namespaces of ops, and those of core once more without its name."""

from keras_theano.backend import core as core
from keras_theano.backend import image as image
from keras_theano.backend import linalg as linalg
from keras_theano.backend import math as math
from keras_theano.backend import nn as nn
from keras_theano.backend import numpy as numpy
from keras_theano.backend.core import *  # noqa: F403
