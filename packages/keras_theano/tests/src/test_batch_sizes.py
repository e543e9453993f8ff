"""Code in a step knows the number of samples where it is fixed, and where it cannot do without."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_theano

X = np.arange(48, dtype="float32").reshape(8, 6) / 48


class Doubled(layers.Layer):
    """Has twice as many rows as its inputs, and computes this number in Python."""

    def call(self, x: Any) -> Any:
        return ops.reshape(x, (x.shape[0] * 2, -1))


class Seen(layers.Layer):
    """Remembers the shapes of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[Any] = []

    def call(self, x: Any) -> Any:
        self.shapes.append(x.shape)
        return x * 1


def recordings(name: str) -> int:
    return sum(ran.name == name for ran in keras_theano.report())


def test_fixed_number_of_samples_is_known() -> None:
    seen = Seen()
    model = keras.Sequential([keras.Input(batch_shape=(4, 6)), seen, layers.Dense(1)])
    model.compile("sgd", "mse")
    seen.shapes.clear()
    model.fit(X, X[:, :1], batch_size=4, verbose=0)
    model.predict(X, batch_size=4, verbose=0)
    assert set(seen.shapes) == {(4, 6)}


def test_other_number_of_samples_is_unknown_and_recorded_once() -> None:
    seen = Seen()
    model = keras.Sequential([keras.Input((6,)), seen, layers.Dense(1)], name="any_number")
    model.compile("sgd", "mse")
    seen.shapes.clear()
    model.fit(X, X[:, :1], batch_size=5, verbose=0)
    assert seen.shapes[1:] == [(None, 6)]  # the first is of building the model
    assert recordings("train any_number") == 1


@pytest.mark.parametrize("shape", [{"shape": (6,)}, {"batch_shape": (4, 6)}])
def test_python_may_compute_with_the_number_of_samples(shape: Any) -> None:
    name = f"twice_{len(shape.get('shape', ()))}"
    model = keras.Sequential([keras.Input(**shape), Doubled(), layers.Dense(1)], name=name)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    np.testing.assert_allclose(
        model.predict_on_batch(X[:4]), X[:4].reshape(8, 3) @ model.get_weights()[0], rtol=1e-5
    )
    for epochs in (1, 2):  # a number of samples that was recorded is not recorded again
        for batch in (X[:4], X[:3], X[:4]):
            loss = model.train_on_batch(batch, np.zeros((2 * len(batch), 1), "float32"))
            assert np.isfinite(loss)
        assert recordings(f"train {name}") == 2, epochs


def test_rows_of_a_batch_may_be_unpacked() -> None:
    class Rows(layers.Layer):
        def call(self, x: Any) -> Any:
            return ops.stack([row * n for n, row in enumerate(x)])

    model = keras.Sequential([keras.Input((6,)), Rows()])
    np.testing.assert_allclose(model.predict(X, verbose=0), X * np.arange(8)[:, None], rtol=1e-6)


def test_every_number_is_known_when_each_batch_is_recorded() -> None:
    seen = Seen()
    model = keras.Sequential([keras.Input((6,)), seen, layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    seen.shapes.clear()
    model.fit(X, X[:, :1], batch_size=5, verbose=0, shuffle=False)
    assert seen.shapes[1:] == [(5, 6), (3, 6)]  # the first is of building the model


def test_error_that_has_other_reasons_is_raised() -> None:
    class Wrong(layers.Layer):
        def call(self, x: Any, training: bool = False) -> Any:
            return ops.matmul(x, np.ones((5, 2), "float32")) if training else x

    model = keras.Sequential([keras.Input((6,)), Wrong(), layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"5|6"):
        model.fit(X, X[:, :1], verbose=0)
