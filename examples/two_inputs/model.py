"""A model with two inputs, two outputs and a layer of its own."""

import keras
from keras import layers, ops


class Scaled(layers.Layer):
    """Multiplies each feature by a number that is learned."""

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(shape[-1],), initializer="glorot_uniform")

    def call(self, x):
        return ops.tanh(x * (1.0 + self.scale))


def build(width=32):
    """Return a model of the inputs `shape` and `colour` and of the outputs `price` and `sort`.

    price: an amount. sort: one of three classes.
    """
    shape = keras.Input((6,), name="shape")
    colour = keras.Input((3,), name="colour")
    hidden = layers.Concatenate()([Scaled()(shape), layers.Dense(width, activation="relu")(colour)])
    hidden = layers.Dense(width, activation="relu")(hidden)
    price = layers.Dense(1, name="price")(hidden)
    sort = layers.Dense(3, activation="softmax", name="sort")(hidden)
    return keras.Model([shape, colour], [price, sort])
