"""What is done while the memory is watched: `KERAS_BACKEND=theano python rounds.py CASE COUNT`.

CASE: the name of one of ROUNDS.
COUNT: the number of rounds.

It prints two numbers after garbage collection, 21 times at equal distances, as a list in JSON: the resident
memory in bytes, and how many blocks of memory Python has allocated. The C library gives unused pages back
first, because how many it keeps changes by megabytes.
"""

import ctypes
import gc
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import psutil
from keras import layers, ops

from keras_theano.execution import steps

MEASUREMENTS = 20
# There is room for two training steps of these models, or for some dozens of their predictions.
FEW_NODES = 400
X = np.random.default_rng(0).normal(size=(1100, 4)).astype("float32")
Y = X[:, :1] * X[:, 1:2]
Round = Callable[[int], Any]


def model() -> Any:
    made = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, "tanh"), layers.BatchNormalization(), layers.Dense(1)]
    )
    made.compile("adam", "mse", metrics=["mae"])
    return made


def nothing() -> Round:
    """What is done without Keras: arrays are made and dropped."""
    return lambda n: (X[: n + 1] * 2).sum()


def leak() -> Round:
    """What a leak would be: something small is kept in each round."""
    kept: list[Any] = []
    return lambda n: kept.append(np.ones(500, "float32"))


def fits() -> Round:
    one = model()
    return lambda n: one.fit(X[:16], Y[:16], batch_size=8, verbose=0)


def batch_sizes() -> Round:
    one = model()

    def run(n: int) -> None:
        one.train_on_batch(X[: n + 2], Y[: n + 2])
        one.predict_on_batch(X[: n + 2])

    return run


def fixed_batch_sizes() -> Round:
    """Each number of samples is recorded separately, because the layer computes with it in Python."""

    class Halved(layers.Layer):
        def call(self, x: Any) -> Any:
            return ops.reshape(ops.reshape(x, (x.shape[0] * 2, -1)), (x.shape[0], -1))

    one = keras.Sequential([keras.Input((4,)), Halved(), layers.Dense(1)])
    one.compile("adam", "mse")

    def run(n: int) -> None:
        one.train_on_batch(X[: n + 2], Y[: n + 2])
        one.predict_on_batch(X[: n + 2])

    return run


def lengths() -> Round:
    """Each length of a sequence is a kind of batch of its own."""
    one = keras.Sequential([keras.Input((None, 1)), layers.GlobalAveragePooling1D(), layers.Dense(1)])
    one.compile("adam", "mse")
    series = np.ones((3, 1100, 1), "float32")

    def run(n: int) -> None:
        one.train_on_batch(series[:, : n + 2], Y[:3])
        one.predict_on_batch(series[:, : n + 2])

    return run


def models() -> Round:
    return lambda n: model().fit(X[:16], Y[:16], batch_size=8, verbose=0)


def recorded_anew() -> Round:
    one = model()
    one.compile("adam", "mse", run_eagerly=True)
    return lambda n: one.fit(X[:16], Y[:16], batch_size=16, verbose=0)


def eager_ops() -> Round:
    image = np.ones((2, 8, 8, 3), "float32")
    kernel = np.ones((3, 3, 3, 4), "float32")
    dense = layers.Dense(3)

    def run(n: int) -> None:
        x = ops.convert_to_tensor(X[: n + 1])
        ops.softmax(ops.matmul(x, ops.transpose(x[:5])) + ops.sin(n))
        ops.conv(image, kernel)
        ops.max_pool(image, 2)
        ops.linalg.svd(x[:4])
        dense(x)
        keras.random.normal((n + 1, 3))
        ops.image.resize(image, (n % 16 + 4, 6))

    return run


ROUNDS: dict[str, Callable[[], Round]] = {
    function.__name__: function
    for function in (
        *(nothing, leak, fits, batch_sizes, fixed_batch_sizes, lengths, models, recorded_anew, eager_ops),
    )
}


def measured(name: str, count: int) -> list[tuple[int, int]]:
    process = psutil.Process()
    give_back = partial(getattr(ctypes.CDLL(None), "malloc_trim", int), 0)  # only glibc has it
    run = ROUNDS[name]()
    found = []
    for n in range(count + 1):
        run(n)
        if n % (count // MEASUREMENTS) == 0:
            gc.collect()
            give_back()
            found.append((process.memory_info().rss, sys.getallocatedblocks()))
    return found


if __name__ == "__main__":
    steps.KEPT_NODES = FEW_NODES  # so that the bound is reached early
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]))))
