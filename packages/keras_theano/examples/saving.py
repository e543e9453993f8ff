"""Saving and loading: whole models, weights, and configurations, with a layer and a function of one's own.

A `.keras` file holds the layers, the weights and the state of the optimizer, so training can go on where it
stopped. A `.weights.h5` file holds the weights alone, and a configuration holds everything but the weights.
Keras finds classes and functions of one's own by the names under which they are registered.
"""

import json
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops
from same_start import draw_weights


@keras.saving.register_keras_serializable(package="examples")
class Polynomial(layers.Layer):
    """Replaces each feature by its powers. `get_config` returns what `__init__` needs."""

    def __init__(self, degree, **kwargs):
        super().__init__(**kwargs)
        self.degree = degree

    def call(self, x):
        return ops.concatenate([x**power for power in range(1, self.degree + 1)], axis=-1)

    def get_config(self):
        return {**super().get_config(), "degree": self.degree}


@keras.saving.register_keras_serializable(package="examples")
def softsign_squared(x):
    return ops.square(x / (1 + ops.abs(x)))


rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, size=(200, 3)).astype("float32")
y = (x[:, :1] ** 3 - x[:, 1:2] * x[:, 2:]).astype("float32")

model = keras.Sequential(
    [keras.Input((3,)), Polynomial(3), layers.Dense(16, activation=softsign_squared), layers.Dense(1)]
)
draw_weights(model)
model.compile(keras.optimizers.Adam(0.01), "mse")
model.fit(x, y, epochs=3, batch_size=25, shuffle=False, verbose=0)
print(f"loss when it was saved: {model.evaluate(x, y, verbose=0):.6f}")


def largest_change(other):
    return np.abs(other.predict(x, verbose=0) - model.predict(x, verbose=0)).max()


with tempfile.TemporaryDirectory() as folder:
    whole, weights = Path(folder, "model.keras"), Path(folder, "model.weights.h5")
    model.save(whole)
    model.save_weights(weights)

    loaded = keras.saving.load_model(whole)
    print(f"change of the predictions after loading: {largest_change(loaded):.6f}")

    config = json.loads(json.dumps(model.get_config()))
    rebuilt = keras.Sequential.from_config(config)
    draw_weights(rebuilt, seed=1)
    print("a configuration holds no weights:", bool(largest_change(rebuilt) > 0.01))
    rebuilt.load_weights(weights)
    print(f"change after loading the weights: {largest_change(rebuilt):.6f}")

for one in (model, loaded):
    one.fit(x, y, epochs=3, batch_size=25, shuffle=False, verbose=0)
print(f"loss after more training: {model.evaluate(x, y, verbose=0):.6f}")
print(f"loss of the loaded model after more training: {loaded.evaluate(x, y, verbose=0):.6f}")
copied = keras.models.clone_model(model)
print(f"layers of a clone: {len(copied.layers)}, its degree: {copied.layers[0].degree}")
