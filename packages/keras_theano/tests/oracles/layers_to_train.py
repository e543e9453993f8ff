"""Models to train on one backend after the other: `KERAS_BACKEND=jax python layers_to_train.py RESULT`.

RESULT: the path of the npz file to which the weights after training and the predictions are saved.
"""

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

VIDEO, SERIES, FILM = (5, 4, 3, 2), (6, 4, 2), (3, 3, 4, 3, 1)


class Decaying(keras.layers.Layer):
    """A user's own cell, whose second state has another shape than its first."""

    state_size = (3, 5)
    output_size = 3

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1] + 3, 5))
        self.out = self.add_weight(shape=(5, 3))

    def call(self, x: Any, states: Any) -> Any:
        h, memory = states
        memory = 0.5 * memory + keras.ops.tanh(keras.ops.concatenate([x, h], axis=1) @ self.kernel)
        h = keras.ops.relu(memory @ self.out)
        return h, [h, memory]


class Block(keras.layers.Layer):
    """A block of a transformer, whose attention sees only what came before if it is causal."""

    def __init__(self, causal: bool = False) -> None:
        super().__init__()
        self.causal = causal
        self.attend = layers.MultiHeadAttention(2, 4, dropout=0.0)
        self.first, self.second = layers.LayerNormalization(), layers.LayerNormalization()

    def build(self, shape: Any) -> None:
        self.attend.build(shape, shape)
        self.inner, self.outer = layers.Dense(10, "gelu"), layers.Dense(shape[-1])
        self.inner.build(shape)
        self.outer.build((*shape[:-1], 10))
        self.first.build(shape)
        self.second.build(shape)

    def call(self, x: Any) -> Any:
        x = self.first(x + self.attend(x, x, use_causal_mask=self.causal))
        return self.second(x + self.outer(self.inner(x)))


def as_words() -> Any:
    """Six words from the first feature. The word 0 is for padding."""
    return layers.Lambda(
        lambda x: keras.ops.cast(keras.ops.clip(3 * keras.ops.abs(x[..., 0]), 0, 5), "int32"),
        output_shape=lambda shape: shape[:-1],
    )


def masked(*stack: Any) -> list[Any]:
    """The layers behind a mask that hides some of the time steps."""
    hide = layers.Lambda(
        lambda x: x * keras.ops.cast(x[..., :1] > -0.5, "float32"),
        output_shape=lambda shape: shape,
    )
    return [hide, layers.Masking(), *stack]


IMAGE, LINE, ROOM = (8, 6, 3), (12, 3), (5, 4, 6, 2)
# JAX takes the gradient through the computation of a value that a layer assigned to its weight. Theano and
# TensorFlow take it at the value.
NOT_AS_ON_JAX = {"network: spectral and batch normalization"}
# For each model the shape of a sample, and the layers. A Dense layer is added to them.
MODELS: dict[str, tuple[tuple[int, ...], Callable[[], list[Any]]]] = {
    "MaxPooling1D": (LINE, lambda: [layers.Conv1D(4, 3), layers.MaxPooling1D(3, 2, "same")]),
    "MaxPooling2D": (IMAGE, lambda: [layers.Conv2D(4, 3), layers.MaxPooling2D()]),
    "MaxPooling3D": (ROOM, lambda: [layers.Conv3D(3, 2), layers.MaxPooling3D(2, padding="same")]),
    "AveragePooling1D": (LINE, lambda: [layers.Conv1D(4, 3), layers.AveragePooling1D(9, 1)]),
    "AveragePooling2D": (IMAGE, lambda: [layers.Conv2D(4, 3), layers.AveragePooling2D((2, 3), 2, "same")]),
    "AveragePooling3D": (ROOM, lambda: [layers.Conv3D(3, 2), layers.AveragePooling3D(2, 1, "same")]),
    "GlobalMaxPooling1D": (LINE, lambda: [layers.Conv1D(4, 3), layers.GlobalMaxPooling1D()]),
    "GlobalAveragePooling3D": (ROOM, lambda: [layers.Conv3D(3, 2), layers.GlobalAveragePooling3D()]),
    "AdaptiveMaxPooling2D": (IMAGE, lambda: [layers.Conv2D(4, 3), layers.AdaptiveMaxPooling2D((4, 3))]),
    "AdaptiveAveragePooling1D": (LINE, lambda: [layers.Conv1D(4, 3), layers.AdaptiveAveragePooling1D(4)]),
    "AdaptiveAveragePooling3D": (ROOM, lambda: [layers.Conv3D(3, 2), layers.AdaptiveAveragePooling3D(3)]),
    "Conv1D, causal": (LINE, lambda: [layers.Conv1D(4, 3, padding="causal", dilation_rate=2)]),
    "Conv2D in groups": (
        IMAGE,
        lambda: [layers.Conv2D(4, 1), layers.Conv2D(6, 2, groups=2, strides=2, padding="same")],
    ),
    "Conv3D with dilation": (ROOM, lambda: [layers.Conv3D(3, 2, dilation_rate=2)]),
    "DepthwiseConv1D": (LINE, lambda: [layers.DepthwiseConv1D(3, 2, padding="same", depth_multiplier=2)]),
    "DepthwiseConv2D": (IMAGE, lambda: [layers.DepthwiseConv2D(3, dilation_rate=2)]),
    "SeparableConv1D": (LINE, lambda: [layers.SeparableConv1D(4, 3, strides=2)]),
    "SeparableConv2D": (
        IMAGE,
        lambda: [layers.SeparableConv2D(4, 3, padding="same", depth_multiplier=2, activation="relu")],
    ),
    "Conv1DTranspose": (LINE, lambda: [layers.Conv1DTranspose(4, 3, 2, padding="same")]),
    "Conv2DTranspose": (
        IMAGE,
        lambda: [
            layers.Conv2DTranspose(4, (3, 2), 2, output_padding=1, activation="tanh"),
            layers.Conv2DTranspose(2, 2, 3, activation="tanh"),
            layers.GlobalAveragePooling2D(),
        ],
    ),
    "Conv3DTranspose": (
        ROOM,
        lambda: [layers.Conv3DTranspose(3, 2, dilation_rate=2), layers.MaxPool3D(4)],
    ),
    "SimpleRNN": (LINE, lambda: [layers.SimpleRNN(5)]),
    "LSTM": (LINE, lambda: [layers.LSTM(5)]),
    "LSTM with an implementation for each gate": (LINE, lambda: [layers.LSTM(5, implementation=1)]),
    "LSTM of all outputs, backwards": (
        LINE,
        lambda: [layers.LSTM(5, return_sequences=True, go_backwards=True, activation="relu")],
    ),
    "LSTM, unrolled": (LINE, lambda: [layers.LSTM(5, unroll=True)]),
    "LSTM, masked": (LINE, lambda: masked(layers.LSTM(5, return_sequences=True))),
    "LSTM, masked with zeros": (
        LINE,
        lambda: masked(layers.LSTM(5, return_sequences=True, zero_output_for_mask=True, go_backwards=True)),
    ),
    "LSTM, masked and unrolled": (LINE, lambda: masked(layers.LSTM(5, return_sequences=True, unroll=True))),
    "LSTM, twice": (LINE, lambda: [layers.LSTM(5, return_sequences=True), layers.LSTM(3, use_bias=False)]),
    "GRU": (LINE, lambda: [layers.GRU(5)]),
    "GRU, reset before": (LINE, lambda: [layers.GRU(5, reset_after=False, return_sequences=True)]),
    "GRU, backwards": (LINE, lambda: [layers.GRU(5, go_backwards=True, return_sequences=True)]),
    "GRU, reset before, backwards": (LINE, lambda: [layers.GRU(5, reset_after=False, go_backwards=True)]),
    "GRU with an implementation for each gate": (LINE, lambda: [layers.GRU(5, implementation=1)]),
    "GRU, masked": (LINE, lambda: masked(layers.GRU(5))),
    "Bidirectional": (LINE, lambda: [layers.Bidirectional(layers.LSTM(4, return_sequences=True))]),
    "Bidirectional, summed and masked": (
        LINE,
        lambda: masked(layers.Bidirectional(layers.GRU(4), merge_mode="sum")),
    ),
    "TimeDistributed": (LINE, lambda: [layers.TimeDistributed(layers.Dense(4, "tanh")), layers.GRU(3)]),
    "RNN of several cells": (
        LINE,
        lambda: [layers.RNN([layers.LSTMCell(4), layers.GRUCell(3), layers.SimpleRNNCell(2)])],
    ),
    "RNN of several cells, masked": (
        LINE,
        lambda: masked(layers.RNN([layers.LSTMCell(4), layers.LSTMCell(3)], return_sequences=True)),
    ),
    "RNN of a user's cell": (LINE, lambda: [layers.RNN(Decaying(), return_sequences=True)]),
    "RNN of a user's cell, unrolled": (LINE, lambda: [layers.RNN(Decaying(), unroll=True)]),
    "ConvLSTM1D": (SERIES, lambda: [layers.ConvLSTM1D(3, 2, padding="same")]),
    "ConvLSTM2D": (VIDEO, lambda: [layers.ConvLSTM2D(3, 2, return_sequences=True)]),
    "ConvLSTM3D": (FILM, lambda: [layers.ConvLSTM3D(2, 2, padding="same")]),
    "network: CNN with pooling": (
        IMAGE,
        lambda: [
            layers.Conv2D(6, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(8, 2, activation="tanh"),
            layers.AveragePooling2D((1, 2)),
        ],
    ),
    "network: depthwise-separable": (
        IMAGE,
        lambda: [
            layers.DepthwiseConv2D(3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(),
            layers.SeparableConv2D(6, 2, strides=2, activation="tanh"),
            layers.GlobalAveragePooling2D(),
        ],
    ),
    "network: transposed autoencoder": (
        (8, 8, 2),
        lambda: [
            layers.Conv2D(5, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(6, 3, strides=2, padding="same", activation="tanh"),
            layers.Conv2DTranspose(5, 3, strides=2, padding="same", activation="tanh"),
            layers.Conv2DTranspose(2, 3, strides=2, padding="same"),
        ],
    ),
    "network: LSTM of masked words": (
        LINE,
        lambda: [as_words(), layers.Embedding(6, 4, mask_zero=True), layers.LSTM(5)],
    ),
    "network: transformer": (LINE, lambda: [layers.Dense(6), Block(), Block(causal=True)]),
    "network: spectral and batch normalization": (
        IMAGE,
        lambda: [
            layers.SpectralNormalization(layers.Conv2D(4, 3)),
            layers.BatchNormalization(momentum=0.8),
            layers.Activation("tanh"),
            layers.Flatten(),
            layers.SpectralNormalization(layers.Dense(6, "tanh")),
        ],
    ),
}


def trained(shape: tuple[int, ...], stack: list[Any]) -> dict[str, Any]:
    """Return the weights after six steps, and what the model then predicts.

    Weights that are not trained, such as a moving variance, start with positive numbers.
    """
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, *shape)).astype("float32"), rng.normal(size=(20, 2)).astype("float32")
    model = keras.Sequential([keras.Input(shape), *stack, layers.Flatten(), layers.Dense(2)])
    for weight in model.weights:
        low, high = (-0.4, 0.4) if weight.trainable else (0.5, 1.0)
        weight.assign(rng.uniform(low, high, weight.shape).astype("float32"))
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    model.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)
    found = {str(n): weight for n, weight in enumerate(model.get_weights())}
    return {**found, "predicted": model.predict(x, verbose=0)}


if __name__ == "__main__":
    found = {
        f"{name}/{key}": value
        for name, (shape, stack) in MODELS.items()
        if name in sys.argv[2:]
        for key, value in trained(shape, stack()).items()
    }
    np.savez(sys.argv[1], **found)
