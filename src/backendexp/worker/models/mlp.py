"""Builds a multilayer perceptron, using only names that both Keras generations have."""

from dataclasses import dataclass
from typing import List

from ..settings import Model, output_activation, product, setting


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
    output_activation: str = output_activation()

    WIDTH = "hidden_units"

    def weight_count(self, inputs):
        widths = [product(inputs)] + list(self.hidden_units) + [1]
        return sum((inner + 1) * outer for inner, outer in zip(widths, widths[1:]))


def build(model, inputs, output):
    """Build a model with Dense and Dropout for every entry of `hidden_units`, and then Dense.

    model: the `model` part of the plan. Samples of more than one axis are flattened first.

    Input: shape (batch, *inputs). Output: shape (batch, output.units).
    """
    from keras.layers import Dense, Dropout, Flatten, Input
    from keras.models import Sequential

    layers = []
    if hasattr(Sequential, "jit_compile"):
        layers.append(Input(inputs))
        shape = {}
    else:  # Keras 2.3 expects the shape of the input in the first layer
        shape = {"input_shape": inputs}
    if len(inputs) > 1:
        layers.append(Flatten(**shape))
        shape = {}
    for units in model["hidden_units"]:
        layers.append(Dense(units, activation=model["activation"], **shape))
        layers.append(Dropout(model["dropout"]))
        shape = {}
    layers.append(Dense(output.units, activation=output.activation))
    return Sequential(layers)  # all layers at once, because Keras 3 rebuilds the model at every `add`
