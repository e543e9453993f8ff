"""Layers that assign to their weights in a training step train as on TensorFlow: the gradient is taken at
each use of a weight, and does not reach what an assigned value was computed from.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_theano.tracing.gradients import gradients
from oracles.backends import trained

SCRIPT = """
import sys
import keras, numpy as np
from keras import layers, ops

class Halving(layers.Layer):
    # Uses its weight, assigns to it, and uses it again.
    def build(self, shape):
        self.w = self.add_weight(shape=shape[1:], initializer="ones")

    def call(self, x, training=False):
        y = ops.sin(x * self.w)
        if training:
            self.w.assign(ops.tanh(self.w * 1.5))
        return y + x * ops.square(self.w)

class Choosing(Halving):
    def call(self, x, training=False):
        self.w.assign(ops.cond(ops.sum(x) > 0, lambda: self.w * 0.5, lambda: self.w + 0.2))
        return ops.cond(ops.sum(x) > 1, lambda: x * ops.square(self.w), lambda: x + self.w)

class Averaging(layers.Layer):
    # Reads a weight that is not trained after it was computed from one that is.
    def build(self, shape):
        self.w = self.add_weight(shape=shape[1:], initializer="ones")
        self.mean = self.add_weight(shape=shape[1:], trainable=False)

    def call(self, x, training=False):
        y = x * self.w
        if training:
            self.mean.assign(0.5 * self.mean + 0.5 * ops.mean(y, axis=0))
        return y - ops.sin(self.mean)

models = {
    "halving": lambda: [Halving()],
    "choosing": lambda: [Choosing()],
    "averaging": lambda: [Averaging()],
    "spectral": lambda: [
        layers.SpectralNormalization(layers.Dense(4, "tanh")),
        layers.SpectralNormalization(layers.Dense(3), power_iterations=2),
    ],
    "spectral convolution": lambda: [
        layers.Reshape((5, 1)), layers.SpectralNormalization(layers.Conv1D(3, 2)), layers.Flatten(),
    ],
}
found = {}
for name, stack in models.items():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 5)).astype("float32"), rng.normal(size=(20, 2)).astype("float32")
    model = keras.Sequential([keras.Input((5,)), *stack(), layers.Dense(2)])
    model.set_weights([rng.uniform(-0.6, 0.6, w.shape).astype("float32") for w in model.get_weights()])
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    model.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0)
    found.update({f"{name}/{n}": w for n, w in enumerate(model.get_weights())})
np.savez(sys.argv[1], **found)
"""


@pytest.mark.slow
def test_layers_that_assign_to_their_weights_train_as_on_tensorflow(tmp_path: Path) -> None:
    ours, theirs = [trained(backend, tmp_path, SCRIPT) for backend in ("theano", "tensorflow")]
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-5, atol=2e-5, err_msg=name)


class Scaled(layers.Layer):
    def build(self, _: Any) -> None:
        self.w = self.add_weight(shape=(), initializer="ones")

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            self.w.assign(self.w * 0.5)
        return x * self.w


def test_gradient_is_taken_at_the_assigned_value() -> None:
    model = keras.Sequential([keras.Input((1,)), Scaled()])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda _, predicted: ops.mean(predicted))
    model.fit(np.ones((4, 1)), np.zeros((4, 1)), verbose=0)
    np.testing.assert_array_equal(model.get_weights(), [-0.5])


def test_each_use_of_a_weight_adds_to_its_gradient() -> None:
    weight = keras.Variable(2.0)

    class Model(keras.Model):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

        def train_step(self, data: Any) -> dict[str, Any]:
            before = 3 * weight
            weight.assign(weight * weight)
            weight.assign_add(1.0)
            loss = before + weight**2
            (found,) = gradients(loss, [weight])
            return {"gradient": found}

    model = Model()
    model.compile("sgd", "mse")
    logs = model.train_on_batch(np.ones((2, 1)), np.ones((2, 1)), return_dict=True)
    assert logs["gradient"] == 3 + 2 * 5
    assert float(weight.numpy()) == 5


def test_gradient_reaches_a_weight_that_each_time_step_assigns() -> None:
    class Cell(layers.Layer):
        state_size = 1

        def build(self, _: Any) -> None:
            self.w = self.add_weight(shape=(), initializer="ones")

        def call(self, x: Any, states: Any) -> Any:
            self.w.assign(self.w * 0.5)
            output = states[0] + x * self.w
            return output, [output]

    def weights(unroll: bool) -> Any:
        model = keras.Sequential([keras.Input((3, 1)), layers.RNN(Cell(), unroll=unroll)])
        model.compile(keras.optimizers.SGD(1.0), loss=lambda _, predicted: ops.mean(predicted))
        model.fit(np.ones((4, 3, 1)), np.zeros((4, 1)), verbose=0)
        return model.get_weights()

    # The weight is 1/8 after three steps, and each of them uses it once.
    for unroll in (False, True):
        np.testing.assert_array_equal(weights(unroll), [0.125 - 3])
