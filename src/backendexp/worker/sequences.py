"""Holds what the models of sequences share: their input, and recurrent networks with their settings."""

from dataclasses import dataclass
from typing import List, Optional

from .settings import Model, output_activation, product, setting


@dataclass
class Sequences(Model):
    """The settings that every model of sequences has.

    vocabulary: null if x holds amounts, shape (steps, features). Of samples with more axes, the first counts
        the steps, so that an image is read row by row. If x holds whole numbers that stand for something,
        such as words, shape (steps,), the number of different ones: they are from 0 to vocabulary - 1, and
        the model starts with an Embedding.
    """

    vocabulary: Optional[int] = setting(None, low=1, high=10**8, example="model.vocabulary=20000")

    def input_fault(self, inputs):
        if self.vocabulary is None and len(inputs) < 2:
            return (
                "model=%s takes sequences, samples of the shape (steps, features) such as (40, 1). Give x "
                "another axis, or set model.vocabulary if x holds whole numbers that stand for something, "
                "such as words" % self.kind
            )
        if self.vocabulary is not None and len(inputs) != 1:
            return (
                "with model.vocabulary, model=%s takes samples of the shape (steps,). Leave it out if x "
                "holds amounts" % self.kind
            )
        return None

    def _start_of_weights(self, inputs, width):
        """Return the number of weights of the Embedding, and the number of features of a step after it."""
        if self.vocabulary is not None:
            return self.vocabulary * width, width
        return 0, product(inputs[1:])


@dataclass
class Recurrent(Sequences):
    """The settings of `Sequences`, and those of a recurrent network.

    units: the width of each recurrent layer.
    embedding: the width of the Embedding, if there is one.
    dropout: the share of units that is dropped before the last layer.
    output_activation: the activation of the last layer.
    """

    units: List[int] = setting(
        [64], low=1, high=10**5, at_least=1, at_most=100, items="layers", example="model.units=[64,64]"
    )
    embedding: int = setting(128, low=1, high=10**5, example="model.embedding=128")
    dropout: float = setting(0.5, low=0, high=1, below=True, example="model.dropout=0.5")
    output_activation: str = output_activation()

    WIDTH = "units"
    # The layer has GATES kernels, recurrent kernels and BIASES biases for each, in every one of DIRECTIONS.
    GATES, BIASES, DIRECTIONS = 4, 1, 1

    def weight_count(self, inputs):
        count, features = self._start_of_weights(inputs, self.embedding)
        for units in self.units:
            count += self.DIRECTIONS * self.GATES * (features + units + self.BIASES) * units
            features = self.DIRECTIONS * units
        return count + features + 1


def start_of(inputs, vocabulary, width):
    """Return (Input, the tensor of its steps), shape (batch, steps, features), or (batch, steps, width) with
    a vocabulary.

    inputs: the shape of one sample of x.
    """
    from keras.layers import Embedding, Input, Reshape

    if vocabulary is not None:
        start = Input(inputs, dtype="int32")
        return start, Embedding(vocabulary, width)(start)
    start = Input(inputs)
    return start, start if len(inputs) == 2 else Reshape((inputs[0], -1))(start)


def build_recurrent(layer, model, inputs, output):
    """Build a model with one recurrent layer for every entry of `units`, then Dropout and Dense.

    layer: takes the width of a recurrent layer, and whether it gives its output at every step. It returns
        the layer.
    model: the `model` part of the plan.

    Input: shape (batch, *inputs). Output: shape (batch, output.units).
    """
    from keras.layers import Dense, Dropout
    from keras.models import Model

    start, x = start_of(inputs, model["vocabulary"], model["embedding"])
    *inner, last = model["units"]
    for units in inner:
        x = layer(units, True)(x)
    x = Dropout(model["dropout"])(layer(last, False)(x))
    return Model(start, Dense(output.units, activation=output.activation)(x))


def lstm(units, every_step):
    """Return an LSTM with the defaults of Keras 3, which cuDNN can run."""
    from keras.layers import LSTM

    return LSTM(
        units,
        activation="tanh",
        recurrent_activation="sigmoid",
        unit_forget_bias=True,
        return_sequences=every_step,
    )


def gru(units, every_step):
    """Return a GRU with the defaults of Keras 3, which cuDNN can run.

    In Keras 2.3.1, `reset_after` is false by default, which is another formula.
    """
    from keras.layers import GRU

    return GRU(
        units,
        activation="tanh",
        recurrent_activation="sigmoid",
        reset_after=True,
        return_sequences=every_step,
    )


def two_way_lstm(units, every_step):
    """Return a layer that reads the sequence in both directions, and gives 2 * units numbers."""
    from keras.layers import Bidirectional

    return Bidirectional(lstm(units, every_step), merge_mode="concat")
