"""Models train in the native tier to the weights of the interpreter, with a smaller last batch."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_theano


def attention() -> keras.Model:
    x = inputs = keras.Input((6, 8))
    x = layers.LayerNormalization()(x)
    x = layers.MultiHeadAttention(2, 4)(x, x) + inputs
    x = layers.Dense(8, "gelu")(x)
    return keras.Model(inputs, layers.Dense(3, "softmax")(layers.GlobalAveragePooling1D()(x)))


def stack(shape: tuple[int, ...], *parts: keras.Layer, dtype: str = "float32") -> keras.Model:
    return keras.Sequential([keras.Input(shape, dtype=dtype), *parts, layers.Dense(3, "softmax")])


MODELS: dict[str, Callable[[], keras.Model]] = {
    "the tutorial's MLP": lambda: stack(
        (20,), *[part for _ in range(2) for part in (layers.Dense(64, "relu"), layers.Dropout(0.5))]
    ),
    "batch normalization": lambda: stack((20,), layers.Dense(8, "elu"), layers.BatchNormalization()),
    "convolutions": lambda: stack(
        (8, 8, 2),
        layers.Conv2D(4, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.SeparableConv2D(4, 2, strides=2, activation="swish"),
        layers.AveragePooling2D(2),
        layers.Flatten(),
    ),
    "embedding": lambda: stack((5,), layers.Embedding(7, 4), layers.Flatten(), dtype="int32"),
    "attention": attention,
    "LSTM": lambda: stack((7, 3), layers.Bidirectional(layers.LSTM(4))),
    "GRU": lambda: stack((7, 3), layers.GRU(4, return_sequences=True), layers.GRU(3, unroll=True)),
}
OPTIMIZERS: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "SGD with momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "Adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True, clipnorm=1.0),
    "RMSprop": lambda: keras.optimizers.RMSprop(0.01, centered=True, weight_decay=0.01),
    "AdamW with averages": lambda: keras.optimizers.AdamW(0.01, use_ema=True),
    "Adafactor": lambda: keras.optimizers.Adafactor(0.01),
    "FTRL": lambda: keras.optimizers.Ftrl(0.05),
    "Lion": lambda: keras.optimizers.Lion(0.01),
}


def trained(
    make: Callable[[], keras.Model], optimizer: keras.optimizers.Optimizer
) -> tuple[list[Any], dict[str, int]]:
    """Return the weights, the history and the predictions, and what the last program left to NumPy."""
    keras.utils.set_random_seed(0)
    model = make()
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    shape, whole = model.input_shape[1:], model.inputs[0].dtype == "int32"
    x = rng.integers(0, 7, (22, *shape)) if whole else rng.normal(size=(22, *shape))
    x, y = x.astype(model.inputs[0].dtype), rng.integers(0, 3, 22)
    history = model.fit(x, y, epochs=2, batch_size=8, verbose=0).history
    found = [*model.get_weights(), *map(np.array, history.values())]
    found += [model.predict(x, batch_size=8, verbose=0), np.array(model.evaluate(x, y, verbose=0))]
    outside: dict[str, int] = {}
    for ran in keras_theano.report():
        if ran.name.split(" ", 1)[-1] == model.name:
            outside.update(ran.outside)
    return found, outside


def assert_same_in_both_tiers(
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], keras.Model],
    optimizer: Callable[[], keras.optimizers.Optimizer],
) -> None:
    monkeypatch.setenv("KERAS_THEANO_MODE", "interpreter")
    expected, _ = trained(make, optimizer())
    monkeypatch.setenv("KERAS_THEANO_MODE", "native")
    found, outside = trained(make, optimizer())
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-6)
    assert outside == {}


@pytest.mark.parametrize("name", MODELS)
def test_model_trains_to_the_weights_of_the_interpreter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same_in_both_tiers(monkeypatch, MODELS[name], OPTIMIZERS["SGD with momentum"])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_takes_the_steps_of_the_interpreter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same_in_both_tiers(monkeypatch, lambda: stack((4,), layers.Dense(5, "tanh")), OPTIMIZERS[name])
