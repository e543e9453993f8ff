"""Builds a multilayer perceptron with one output, using only names that both Keras generations have."""

from dataclasses import dataclass
from typing import List

import numpy

from ..settings import Model, setting


@dataclass
class Settings(Model):
    """The settings of a multilayer perceptron.

    hidden_units: the width of each hidden layer.
    activation: the activation of the hidden layers.
    dropout: the share of units that is dropped after each hidden layer.
    output_activation: the activation of the last layer.
    """

    kind: str = "mlp"
    hidden_units: List[int] = setting(
        [64, 64],
        low=1,
        high=10**6,
        at_least=1,
        at_most=1000,
        items="layers",
        example="model.hidden_units=[64,64]",
    )
    activation: str = setting("relu", names="activations", example="model.activation=relu")
    dropout: float = setting(0.5, low=0, high=1, below=True, example="model.dropout=0.5")
    output_activation: str = setting(
        "sigmoid", names="activations", example="model.output_activation=sigmoid"
    )

    def weight_count(self, features):
        widths = [features] + list(self.hidden_units) + [1]
        return sum((inner + 1) * outer for inner, outer in zip(widths, widths[1:]))


def build(model, features):
    """Build a model with Dense and Dropout for every entry of `hidden_units`, and then Dense(1).

    model: the `model` part of the plan. Returns a model that is not compiled yet.

    Input: shape (batch, features). Output: shape (batch, 1).
    """
    from keras.layers import Dense, Dropout, Input
    from keras.models import Sequential

    layers = []
    if hasattr(Sequential, "jit_compile"):
        layers.append(Input((features,)))
        shape = {}
    else:  # Keras 2.3 expects the shape of the input in the first layer
        shape = {"input_shape": (features,)}
    for units in model["hidden_units"]:
        layers.append(Dense(units, activation=model["activation"], **shape))
        layers.append(Dropout(model["dropout"]))
        shape = {}
    layers.append(Dense(1, activation=model["output_activation"]))
    return Sequential(layers)  # all layers at once, because Keras 3 rebuilds the model at every `add`


def draw_weights(model, features, seed, probe=0):
    """Draw Glorot-uniform kernels (Glorot and Bengio 2010, equation 16) from the seed; biases are zero.

    probe: 0, or the seed of random directions in which every kernel entry is moved by one float32
        rounding, up or down. The parity check uses this to measure how far apart rounding alone drives
        two runs.
    Returns float32 arrays in the order of `model.get_weights()`: kernel (in, out), bias (out,), ...
    """
    draw = numpy.random.RandomState(seed)
    direction = numpy.random.RandomState(probe)
    weights = []
    widths = [features] + list(model["hidden_units"]) + [1]
    for fan_in, fan_out in zip(widths, widths[1:]):
        limit = (6.0 / (fan_in + fan_out)) ** 0.5
        kernel = draw.uniform(-limit, limit, size=(fan_in, fan_out)).astype(numpy.float32)
        if probe:
            signs = direction.randint(2, size=kernel.shape) * 2 - 1
            kernel = (kernel + signs * numpy.spacing(kernel)).astype(numpy.float32)
        weights += [kernel, numpy.zeros(fan_out, numpy.float32)]
    return weights
