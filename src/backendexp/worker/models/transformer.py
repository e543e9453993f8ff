"""Builds a small transformer after Keras's example text_classification_with_transformer. It needs Keras 3.

https://github.com/keras-team/keras-io/blob/master/examples/nlp/text_classification_with_transformer.py
"""

from dataclasses import dataclass

from ..sequences import Sequences, start_of
from ..settings import output_activation, setting


@dataclass
class Settings(Sequences):
    """The settings of `Sequences`, and those of a transformer.

    width: the number of values that stand for one step.
    heads: the number of heads of every attention. Each is width / heads wide, rounded down, but at least 1.
    blocks: the number of blocks of attention and feed-forward layers.
    feed_forward: the width of the hidden layer of every block.
    dropout: the share of values that is dropped after the attention and the feed-forward layers of every
        block, and before the last layer.
    output_activation: the activation of the last layer.
    """

    kind: str = "transformer"
    width: int = setting(32, low=1, high=10**5, example="model.width=32")
    heads: int = setting(2, low=1, high=10**4, example="model.heads=2")
    blocks: int = setting(1, low=1, high=1000, example="model.blocks=1")
    feed_forward: int = setting(32, low=1, high=10**6, example="model.feed_forward=32")
    dropout: float = setting(0.1, low=0, high=1, below=True, example="model.dropout=0.1")
    output_activation: str = output_activation()

    GENERATIONS = (3,)
    WIDTH = "width"

    def weight_count(self, inputs):
        count, features = self._start_of_weights(inputs, self.width)
        count += (features + inputs[0]) * self.width  # the projection and the positions
        inner = self.heads * max(1, self.width // self.heads)
        attention = 3 * (self.width + 1) * inner + (inner + 1) * self.width
        dense = (self.width + 1) * self.feed_forward + (self.feed_forward + 1) * self.width
        normalization = 2 * 2 * self.width
        return count + self.blocks * (attention + dense + normalization) + self.width + 1


def build(model, inputs, output):
    """Build a model with a projection of every step, attention blocks, and the mean over the steps.

    model: the `model` part of the plan.

    The projection has a bias of its own for every step. These biases are the learned positions.

    Input: shape (batch, *inputs). Output: shape (batch, output.units).
    """
    from keras import initializers, layers
    from keras.models import Model

    width, rate = model["width"], model["dropout"]
    start, x = start_of(inputs, model["vocabulary"], width)
    x = layers.EinsumDense(
        "bsf,fw->bsw",
        output_shape=(inputs[0], width),
        bias_axes="sw",
        # Keras's Embedding, which the example has for its positions, starts alike.
        bias_initializer=initializers.RandomUniform(-0.05, 0.05),
    )(x)
    for _ in range(model["blocks"]):
        attended = layers.MultiHeadAttention(model["heads"], max(1, width // model["heads"]))(x, x)
        x = _added(x, layers.Dropout(rate)(attended))
        hidden = layers.Dense(model["feed_forward"], activation="relu")(x)
        x = _added(x, layers.Dropout(rate)(layers.Dense(width)(hidden)))
    x = layers.Dropout(rate)(layers.GlobalAveragePooling1D()(x))
    return Model(start, layers.Dense(output.units, activation=output.activation)(x))


def _added(x, change):
    from keras import layers

    return layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, change]))
