"""Which batches of which data fit, evaluate and predict take, in which order, and when they warn.

The weights and the learning rate are zero, so a loss is the mean square of the labels in its batches. The JAX
and TensorFlow backends give the same values.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from oracles.processes import lean

X = np.arange(20, dtype="float32").reshape(20, 1)
Y = (X + 1) ** 2
SIZE = 4
Source = Callable[[], tuple[Any, dict[str, Any]]]


def model(*, built: bool = True, executions: int = 1) -> Any:
    stack = [layers.Input((1,))] if built else []
    dense = layers.Dense(1, kernel_initializer="zeros", bias_initializer="zeros")
    made = keras.Sequential([*stack, dense])
    made.compile(keras.optimizers.SGD(0.0), "mse", steps_per_execution=executions)
    return made


def loss_of(*batches: int) -> float:
    return float(np.mean([np.mean(Y[SIZE * n : SIZE * (n + 1)] ** 2) for n in batches]))


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """A dataset that records in `hooks` which of its methods Keras calls, in order."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.hooks: list[str] = []

    def __len__(self) -> int:
        return 5

    def __getitem__(self, n: int) -> Any:
        return X[SIZE * n : SIZE * (n + 1)], Y[SIZE * n : SIZE * (n + 1)]

    def on_epoch_begin(self) -> None:
        self.hooks.append("begin")

    def on_epoch_end(self) -> None:
        self.hooks.append("end")


class Endless(Batches):
    @property
    def num_batches(self) -> None:
        return None

    def __getitem__(self, n: int) -> Any:
        return super().__getitem__(n % 5)


def without_end() -> Iterator[Any]:
    for n in itertools.count():
        yield Batches()[n % 5]


# Each function returns the data, and the arguments of fit that go with the data.
SOURCES: dict[str, Source] = {
    "arrays": lambda: ((X, Y), {"batch_size": SIZE}),
    "generator": lambda: ((without_end(),), {}),
    "dataset": lambda: ((Batches(),), {}),
    "workers": lambda: ((Batches(workers=2, max_queue_size=3),), {}),
    "endless workers": lambda: ((Endless(workers=2, max_queue_size=3),), {}),
}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param]


@pytest.mark.parametrize("executions", [1, 2])
@pytest.mark.parametrize("steps", [1, 2])
def test_every_epoch_is_validated_on_the_same_first_batches(
    source: Source, steps: int, executions: int
) -> None:
    data, options = source()
    history = model(executions=executions).fit(
        X,
        Y,
        batch_size=SIZE,
        epochs=3,
        verbose=0,
        validation_data=data if len(data) > 1 else data[0],
        validation_steps=steps,
        **({"validation_batch_size": SIZE} if options else {}),
    )
    expected = loss_of(*range(steps))
    if (
        executions > steps
    ):  # every backend runs a whole execution, which has more batches than the requested steps
        expected = loss_of(*range(executions))
    assert history.history["val_loss"] == pytest.approx([expected] * 3, rel=1e-6)


@pytest.mark.parametrize("executions", [1, 2, 3])
@pytest.mark.parametrize("built", [True, False], ids=["built", "unbuilt"])
def test_evaluate_begins_with_the_first_batch(source: Source, built: bool, executions: int) -> None:
    data, options = source()
    loss = model(built=built, executions=executions).evaluate(*data, steps=3, verbose=0, **options)
    seen = range(4 if executions == 2 else 3)
    assert loss == pytest.approx(loss_of(*seen), rel=1e-6)


@pytest.mark.parametrize("executions", [1, 2, 3])
@pytest.mark.parametrize("built", [True, False], ids=["built", "unbuilt"])
def test_fit_begins_with_the_first_batch_and_continues_in_the_next_epoch(
    source: Source, built: bool, executions: int
) -> None:
    data, options = source()
    epochs = 2 if executions < 3 else 1  # there are only five batches
    options |= {"steps_per_epoch": executions, "epochs": epochs, "shuffle": False, "verbose": 0}
    losses = model(built=built, executions=executions).fit(*data, **options).history["loss"]
    expected = [loss_of(*range(n * executions, (n + 1) * executions)) for n in range(epochs)]
    assert losses == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("executions", [1, 2, 3])
@pytest.mark.parametrize("built", [True, False], ids=["built", "unbuilt"])
def test_predict_begins_with_the_first_sample(source: Source, built: bool, executions: int) -> None:
    data, options = source()
    made = keras.Sequential([*([layers.Input((1,))] if built else []), layers.Rescaling(1.0)])
    made.compile(steps_per_execution=executions)
    predicted = made.predict(data[0], steps=executions, verbose=0, **options)
    np.testing.assert_array_equal(predicted, X[: SIZE * executions])


@pytest.mark.parametrize("name", ["arrays", "dataset", "workers"])
def test_a_smaller_last_execution_does_not_warn(name: str) -> None:
    """There are five batches in executions of three. Warnings are errors in these tests."""
    made = model(executions=3)
    options = {"validation_data": (X, Y), "validation_batch_size": SIZE, "verbose": 0}
    history = made.fit(X, Y, batch_size=SIZE, **options).history
    assert history["val_loss"] == pytest.approx([loss_of(*range(5))])
    data, options = SOURCES[name]()
    assert made.fit(*data, verbose=0, **options).history["loss"] == pytest.approx([loss_of(*range(5))])
    data, options = SOURCES[name]()
    assert made.evaluate(*data, verbose=0, **options) == pytest.approx(loss_of(*range(5)))
    data, options = SOURCES[name]()
    assert made.predict(data[0], verbose=0, **options).shape == (20, 1)


@pytest.mark.parametrize("ask", ["fit", "evaluate", "predict"])
def test_data_that_ends_too_early_still_warns(ask: str) -> None:
    three = (batch for batch in itertools.islice(without_end(), 3))
    options = {"steps_per_epoch": 5, "shuffle": False} if ask == "fit" else {"steps": 5}
    with pytest.warns(UserWarning, match="ran out of data"):
        getattr(model(), ask)(three, verbose=0, **options)


def test_a_dataset_is_notified_of_every_epoch_as_on_other_backends() -> None:
    for built, ask, hooks in (
        (True, "predict", ["begin", "end"]),
        # The batch that builds the model and its metrics counts as an epoch by itself.
        (True, "evaluate", ["begin", "end"] * 2),
        (False, "evaluate", ["begin", "end"] * 2),
        (False, "fit", ["begin", "end"] * 2),
    ):
        data = Batches()
        getattr(model(built=built), ask)(data, verbose=0)
        assert data.hooks == hooks, ask


def test_evaluating_during_fit_does_not_change_its_batches() -> None:
    class Asks(keras.callbacks.Callback):  # type: ignore[misc]
        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            if not asked:
                asked.append(True)
                asked.append(other.evaluate(X, Y, batch_size=SIZE, steps=2, verbose=0))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            asked.append(self.model.evaluate(X, Y, batch_size=SIZE, steps=1, verbose=0))

    asked: list[Any] = []
    made, other = model(), model()
    history = made.fit(
        X,
        Y,
        batch_size=SIZE,
        epochs=2,
        verbose=0,
        validation_data=(X, Y),
        validation_batch_size=SIZE,
        validation_steps=3,
        callbacks=[Asks()],
    )
    assert history.history["val_loss"] == pytest.approx([loss_of(0, 1, 2)] * 2)
    assert asked == [True, *(pytest.approx(loss_of(*seen)) for seen in ((0, 1), (0,), (0,)))]


def test_one_batch_builds_the_model_and_counts() -> None:
    first = X[:SIZE], Y[:SIZE]
    assert model(built=False).train_on_batch(*first) == pytest.approx(loss_of(0))
    assert model(built=False).test_on_batch(*first) == pytest.approx(loss_of(0))
    assert model(built=False).predict_on_batch(first[0]).shape == (SIZE, 1)


def test_predict_without_samples_is_refused() -> None:
    class Empty(Batches):
        def __len__(self) -> int:
            return 0

    with (
        pytest.raises(ValueError, match="received no data"),
        pytest.warns(UserWarning, match="ran out of data"),
    ):
        model().predict(Empty(), verbose=0)


ONE_SAMPLE = """
import keras, numpy as np

factors = np.arange(1.0, 9.0, dtype="float32").reshape(8, 1)
x = np.linspace(0, 1, 17, dtype="float32").reshape(17, 1)
losses = (
    lambda true, predicted: keras.ops.mean(keras.ops.square(true * factors - predicted)),
    lambda true, predicted: keras.ops.mean(keras.ops.square(true - predicted * factors)),
)
for eagerly in (False, True):
    for loss in losses:
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
        model.compile(keras.optimizers.SGD(0.01), loss, run_eagerly=eagerly)
        history = model.fit(x, 2 * x, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"]
        print(*history, *np.ravel(model.get_weights()[0]), *model.get_weights()[1])

rows, context = keras.Input((3,)), keras.Input((3,))
model = keras.Model([rows, context], keras.layers.Dense(1, kernel_initializer="ones")(rows + context))
model.compile(keras.optimizers.SGD(0.1), "mse")
ones, labels = np.ones((5, 3), "float32"), np.arange(5.0, dtype="float32").reshape(5, 1)
loss = model.train_on_batch([ones, ones[:1]], labels)
print(loss, 0, *[np.ravel(weight)[-1] for weight in model.get_weights()])
"""


@pytest.mark.parametrize("mode", ["interpreter", "native"])
def test_a_batch_of_one_sample_broadcasts_as_on_other_backends(mode: str) -> None:
    """17 samples in batches of 8 leave one for the last. JAX and TensorFlow compute the same numbers."""
    environment = {**os.environ, "KERAS_BACKEND": "theano", "KERAS_THEANO_MODE": mode}
    answer = subprocess.run(
        [sys.executable, "-c", ONE_SAMPLE], env=lean(environment, "theano"), capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    first, second = [38.1484, 33.6293, 1.52851, 0.62861], [3.07, 1.1538, 0.68468, -0.33278]
    found = [float(word) for word in answer.stdout.split()]
    assert found == pytest.approx([*(first + second) * 2, 18.0, 0, -0.6, -0.8], rel=1e-4)


TF_DATA = """
import keras, numpy as np, tensorflow as tf

Y = (np.arange(20, dtype="float32").reshape(20, 1) + 1) ** 2
data = tf.data.Dataset.from_tensor_slices((Y, Y)).batch(4)
for endless in (False, True):
    for built in (True, False):
        source = data.repeat() if endless else data
        stack = [keras.Input((1,))] if built else []
        model = keras.Sequential([*stack, keras.layers.Dense(1, kernel_initializer="zeros")])
        model.compile(keras.optimizers.SGD(0.0), "mse")
        if not built:
            np.testing.assert_allclose(model.evaluate(source, steps=2, verbose=0), np.mean(Y[:8] ** 2))
        losses = model.fit(Y, Y, validation_data=source, validation_steps=2, epochs=3, verbose=0)
        np.testing.assert_allclose(losses.history["val_loss"], [np.mean(Y[:8] ** 2)] * 3, rtol=1e-6)
"""


@pytest.mark.slow
def test_batches_of_tf_data_start_over() -> None:
    environment = {**os.environ, "KERAS_BACKEND": "theano"}
    answer = subprocess.run([sys.executable, "-c", TF_DATA], env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
