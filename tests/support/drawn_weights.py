"""Builds models with the Keras of any runtime and prints, as JSON, what their drawn weights are.

tests/worker/test_weights.py runs it. PACKAGE is the folder of backendexp.
"""

import json
import os
import sys

sys.path.insert(0, os.environ["PACKAGE"])

from worker import engine

engine.load()

import keras
import numpy as np
from keras import initializers
from keras import layers as L
from keras.models import Model, Sequential

from worker import arrays, models, weights

KERAS_3 = hasattr(keras, "Variable")


def mlp():
    settings = {"hidden_units": [64, 64], "activation": "relu", "dropout": 0.5}
    return models.kind("mlp").build(settings, (20,), models.Output(1, "sigmoid"))


def conv():
    x = L.Input((8, 8, 2))
    y = L.BatchNormalization()(L.Conv2D(3, (3, 3))(x))
    y = L.Conv2D(4, (2, 3), kernel_initializer="he_normal")(y)
    return Model(x, L.Dense(2)(L.Flatten()(y)))


def conv1d():
    x = L.Input((8, 2))
    return Model(x, L.Conv1D(3, 3)(x))


def separable():
    x = L.Input((8, 2))
    return Model(x, L.SeparableConv1D(3, 3)(x))


def attention():
    x = L.Input((8, 4))
    return Model(x, L.Dense(1)(L.Flatten()(L.MultiHeadAttention(2, 2)(x, x))))


def lstm():
    x = L.Input((6, 3))
    return Model(x, L.Dense(1)(L.LSTM(5)(L.LSTM(4, return_sequences=True)(x))))


def gru():
    x = L.Input((6, 3))
    return Model(x, L.Dense(1)(L.GRU(5, reset_after=True)(x)))


def bidirectional():
    x = L.Input((6, 3))
    return Model(x, L.Dense(1)(L.Bidirectional(L.LSTM(5))(x)))


def embedding():
    x = L.Input((6,), dtype="int32")
    return Model(x, L.Dense(1)(L.LSTM(3)(L.Embedding(10, 4)(x))))


def nested():
    start = L.Input((5,))
    inner = Model(start, L.Dense(4)(L.BatchNormalization()(L.Dense(6)(start))))
    x = L.Input((5,))
    return Model(x, L.Dense(2)(inner(L.Dense(5)(x))))


def nested_sequential():
    inner = Sequential([L.Dense(6, input_shape=(5,)), L.BatchNormalization(), L.Dense(4)])
    return Sequential([inner, L.Dense(2)])


def branches():
    """The layers are made in another order than that in which they are called."""
    a, b = L.Input((5,)), L.Input((4,))
    late, early = L.Dense(3), L.Dense(7)
    u, v = early(a), late(b)
    return Model([b, a], [L.Dense(2)(u), L.Dense(2)(L.concatenate([v, u]))])


def shared():
    a, b = L.Input((5,)), L.Input((5,))
    s, t = L.Dense(4), L.Dense(5)
    return Model([a, b], L.Dense(1)(L.concatenate([s(t(a)), s(b)])))


def skip():
    x = L.Input((5,))
    y = L.Dense(5)(x)
    z = L.add([x, y])
    return Model(x, L.add([L.Dense(3)(z), L.Dense(3)(y)]))


def at_every_step():
    inner = Sequential([L.Dense(4, input_shape=(3,)), L.BatchNormalization(), L.Dense(2)])
    return Sequential([L.TimeDistributed(inner, input_shape=(6, 3)), L.Flatten(), L.Dense(1)])


def frozen():
    x = L.Input((5,))
    dense, normal = L.Dense(4), L.BatchNormalization()
    dense.trainable = normal.trainable = False
    return Model(x, L.Dense(2)(normal(dense(x))))


def all_initializers():
    x = y = L.Input((40,))
    for one in (
        initializers.RandomNormal(0.5, 2.0),
        initializers.RandomUniform(-1, 3),
        initializers.TruncatedNormal(1, 0.5),
        initializers.Orthogonal(2.0),
        initializers.VarianceScaling(2.0, "fan_out", "uniform"),
        initializers.Constant(0.25),
        "zeros",
        "ones",
        "lecun_normal",
        initializers.Identity(0.5),
    ):
        y = L.Dense(40, kernel_initializer=one)(y)
    return Model(x, y)


class Own(initializers.Initializer):
    def __call__(self, shape, dtype=None, **others):
        return np.arange(np.prod(shape)).reshape(shape).astype("float32") * np.float32(0.37)


class Scale(L.Layer):
    def build(self, shape):
        self.a = self.add_weight(name="a", shape=(int(shape[-1]), 3), initializer="he_uniform")
        self.b = self.add_weight(name="b", shape=(3,), initializer=Own())
        super().build(shape)

    def call(self, x):
        product = keras.ops.matmul if KERAS_3 else keras.backend.dot
        return product(x, self.a) + self.b

    def compute_output_shape(self, shape):
        return (shape[0], 3)


def custom():
    x = L.Input((5,))
    return Model(x, L.Dense(2)(Scale()(x)))


def one_number():
    x = L.Input((1,))
    return Model(x, L.Dense(1, kernel_initializer="orthogonal")(x))


MODELS = [
    *(mlp, conv, conv1d, lstm, gru, bidirectional, embedding, nested, nested_sequential, branches, shared),
    *(skip, at_every_step, frozen, all_initializers, custom, one_number),
]
if KERAS_3 or keras.backend.backend() == "tensorflow":
    MODELS.append(separable)
if KERAS_3:
    MODELS.append(attention)


def described(build):
    with weights.watched_initializers() as made:
        model = build()
    constant = [value.size > 1 and len(np.unique(value)) == 1 for value in weights.current(model)]
    drawn = []
    for probe in range(3):
        model.set_weights(weights.draw(model, 0, probe, made))
        drawn.append(weights.current(model))
    plain, moved = drawn[:2]
    distances = [np.abs(b - a) / np.spacing(np.abs(a)) for a, b in zip(plain, moved)]  # noqa: B905 (Python 3.7)
    return {
        "digest": arrays.digest(plain),
        "moved_digest": arrays.digest(moved),
        "shapes": [list(value.shape) for value in plain],
        "spread": [[round(float(value.mean()), 5), round(float(value.std()), 5)] for value in plain],
        "greatest_move_in_roundings": float(max(d.max() for d in distances)),
        "constants_moved": sum(int(d.any()) for d, still in zip(distances, constant) if still),  # noqa: B905
        "probes": len({arrays.digest(one) for one in drawn}),
    }


print(json.dumps({build.__name__: described(build) for build in MODELS}))
