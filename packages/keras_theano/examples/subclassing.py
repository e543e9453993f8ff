"""Subclassing: a model, a layer, a loss and a metric of one's own.

A subclassed model says in `call` what it computes, in ordinary Python. Training still works with `fit`,
because Keras only needs `call`, the loss and the metrics. The model here adds to its input what two blocks
compute from it, and the loss punishes too low predictions more than too high ones.
"""

import keras
import numpy as np
from keras import layers, ops
from same_start import draw_weights


class ScaledDense(layers.Layer):
    """A dense layer with a learned scale for each of its outputs, and a small penalty on large scales."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
        self.scale = self.add_weight(shape=(self.units,), initializer="ones", name="scale")

    def call(self, x):
        self.add_loss(0.001 * ops.sum(ops.square(self.scale)))
        return ops.matmul(x, self.kernel) * self.scale


class Residual(keras.Model):
    """Adds the result of each block to what went into it."""

    def __init__(self, width, blocks):
        super().__init__()
        self.enter = layers.Dense(width)
        self.blocks = [ScaledDense(width) for _ in range(blocks)]
        self.leave = layers.Dense(1)

    def call(self, x, training=False):
        x = self.enter(x)
        for block in self.blocks:
            x = x + ops.tanh(block(x))
        return self.leave(x)


class PinballLoss(keras.losses.Loss):
    """The loss whose best prediction is a quantile, here the value that 80% of the targets do not exceed."""

    def __init__(self, quantile=0.8):
        super().__init__()
        self.quantile = quantile

    def call(self, y_true, y_pred):
        missing = y_true - y_pred
        return ops.mean(ops.maximum(self.quantile * missing, (self.quantile - 1) * missing), axis=-1)


class Covered(keras.metrics.Metric):
    """The share of targets that are not above the prediction."""

    def __init__(self, name="covered"):
        super().__init__(name=name)
        self.below = self.add_weight(initializer="zeros", name="below")
        self.seen = self.add_weight(initializer="zeros", name="seen")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.below.assign_add(ops.sum(ops.cast(y_true <= y_pred, "float32")))
        self.seen.assign_add(ops.cast(ops.size(y_true), "float32"))

    def result(self):
        return self.below / self.seen


rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, size=(800, 4)).astype("float32")
y = (np.sin(3 * x[:, :1]) + x[:, 1:2] + 0.5 * rng.normal(size=(800, 1))).astype("float32")

model = Residual(width=16, blocks=2)
model(x[:1])  # the first call makes the weights
draw_weights(model)
model.compile(keras.optimizers.Adam(0.01), loss=PinballLoss(0.8), metrics=[Covered()])
history = model.fit(x[:600], y[:600], epochs=15, batch_size=50, shuffle=False, verbose=0).history

print(f"loss after the first epoch: {history['loss'][0]:.5f}")
print(f"loss after the last epoch: {history['loss'][-1]:.5f}")
for name, value in model.evaluate(x[600:], y[600:], return_dict=True, verbose=0).items():
    print(f"{name} on new data: {value:.5f}")
scales = ops.convert_to_numpy(model.blocks[0].scale)
print(f"smallest and largest scale: {scales.min():.5f} {scales.max():.5f}")
