"""A layer and a function that a user wrote in a module of their own, as for saving."""

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("own")
class Scaled(layers.Layer):
    """Multiplies by a weight."""

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

    def call(self, x: Any) -> Any:
        return x * self.scale


@keras.saving.register_keras_serializable("own")
def softened(x: Any) -> Any:
    """An activation."""
    return ops.tanh(x) / 2.0


@keras.saving.register_keras_serializable("own")
class Scaling(keras.Model):
    """A subclassed model."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.scaled = Scaled()
        self.dense = layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.dense(self.scaled(x))
