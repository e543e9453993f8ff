"""Switches dropout off with the Keras of any runtime and prints, as JSON, what models still do at random.

tests/worker/test_randomness.py runs it. PACKAGE is the folder of backendexp.
"""

import json
import os
import sys

sys.path.insert(0, os.environ["PACKAGE"])

from worker import engine

engine.load()
engine.show_to_user_code()

import keras
import numpy as np
from keras import layers as L
from keras.models import Model, Sequential

from worker import formulas, randomness

KERAS_3 = hasattr(keras, "Variable")


class OwnDropout(L.Dropout):
    pass


class Rated(L.Layer):
    """A layer whose rate has nothing to do with dropout."""

    def __init__(self):
        super().__init__()
        self.rate = 2.0

    def call(self, x):
        return x * self.rate


def feed_forward():
    inner = Sequential([L.Dense(4, input_shape=(6,)), L.GaussianNoise(0.5)])
    x = L.Input((5,))
    y = L.GaussianDropout(0.4)(OwnDropout(0.5)(L.Dense(6)(x)))
    return Model(x, L.AlphaDropout(0.3)(Rated()(inner(y))))


def recurrent():
    x = L.Input((5, 3))
    y = L.Bidirectional(L.LSTM(4, dropout=0.5, recurrent_dropout=0.5, return_sequences=True))(x)
    y = L.TimeDistributed(L.Dropout(0.5))(L.SpatialDropout1D(0.5)(y))
    return Model(x, L.GRU(3, dropout=0.5, recurrent_dropout=0.3, reset_after=True)(y))


def normalised():
    x = L.Input((5,))
    return Model(x, L.Dense(1, activation="hard_sigmoid")(L.BatchNormalization()(x)))


def pooled():
    x = L.Input((4, 4, 1))
    return Model(x, L.MaxPooling2D(2)(x))


def attention():
    x = L.Input((5, 3))
    return Model(x, L.MultiHeadAttention(2, 2, dropout=0.5)(x, x))


class OwnNoise(L.Layer):
    """A layer that draws, and tells nobody how strongly."""

    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(1) if KERAS_3 else None

    def call(self, x):
        return x + keras.random.normal((5,), seed=self.generator)


def drawing():
    x = L.Input((5,))
    return Model(x, OwnNoise()(x))


def flipping():
    x = L.Input((4, 4, 1))
    return Model(x, L.RandomFlip()(x))


def outputs_in_training(model):
    x = np.random.RandomState(0).uniform(size=(7, *tuple(model.input_shape[1:]))).astype("float32")
    if KERAS_3:
        return [np.asarray(model(x, training=True)) for _ in range(2)]
    train = keras.backend.function([model.input, keras.backend.learning_phase()], [model.output])
    return [train([x, 1])[0] for _ in range(2)]


def kinds(names):
    return [name.split("(")[1].rstrip(")") for name in names]


def described(build):
    model = build()
    randomness.quiet(model)
    first, again = outputs_in_training(model)
    return {
        "random": kinds(randomness.random_layers(model)),
        "unlike": [line.partition(": ")[2] for line in formulas.unlike_layers(model)],
        "alike": bool((first == again).all()),
    }


before = {build.__name__: kinds(randomness.random_layers(build())) for build in (feed_forward, recurrent)}
randomness.switch_off()
MODELS = [feed_forward, recurrent, normalised, pooled]
if KERAS_3:
    MODELS += [attention, drawing, flipping]
found = {build.__name__: described(build) for build in MODELS}
engine = formulas.unlike_engine(pooled(), 3 if KERAS_3 else 2, keras.backend.backend())
print(json.dumps({"before": before, "off": found, "engine": engine}))
