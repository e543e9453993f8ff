"""Measures how long fit, evaluate and predict take on one backend. keras_backends.py runs it for each
backend.

KERAS_BACKEND=jax python keras_fit.py [--width 64] [--batch 128] [--depth 2] [--epochs 20] [--repeats 5]
    [--bare]

It prints JSON with seconds: of the first fit, the minimum and the median of the later fits, and the minimum
of evaluate and of predict.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np

FEATURES, SAMPLES = 20, 1000

parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, default=64)
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--depth", type=int, default=2)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--repeats", type=int, default=5)
# Also measure how long the steps of a fit take without Keras around them. For the Theano backend only.
parser.add_argument("--bare", action="store_true")
asked = parser.parse_args()

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
x = rng.random((SAMPLES, FEATURES), dtype="float32")
y = rng.integers(0, 2, (SAMPLES, 1)).astype("float32")
model = keras.Sequential([keras.Input((FEATURES,))])
for _ in range(asked.depth):
    model.add(keras.layers.Dense(asked.width, activation="relu"))
    model.add(keras.layers.Dropout(0.5))
model.add(keras.layers.Dense(1, activation="sigmoid"))
model.compile(loss="binary_crossentropy", optimizer="rmsprop", metrics=["accuracy"])


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def fit() -> None:
    model.fit(x, y, epochs=asked.epochs, batch_size=asked.batch, verbose=0)
    np.asarray(keras.ops.convert_to_numpy(model.trainable_variables[-1]))  # waits until the device is done


result = {"first_fit_s": seconds(fit)}
warm = [seconds(fit) for _ in range(asked.repeats)]
result["warm_fit_s"], result["steady_fit_s"] = min(warm), statistics.median(warm)
evaluate = lambda: model.evaluate(x, y, batch_size=asked.batch, verbose=0)  # noqa: E731
predict = lambda: model.predict(x, batch_size=asked.batch, verbose=0)  # noqa: E731
evaluate(), predict()
result["evaluate_s"] = min(seconds(evaluate) for _ in range(asked.repeats))
result["predict_s"] = min(seconds(predict) for _ in range(asked.repeats))
if asked.bare:
    from keras_theano.execution.programs import Program

    calls: list[tuple[Program, list[object]]] = []
    through_keras = Program.__call__
    Program.__call__ = lambda self, arrays: calls.append((self, arrays)) or through_keras(self, arrays)
    fit()
    Program.__call__ = through_keras

    def steps() -> None:
        for program, arrays in calls:
            program(arrays)

    result["bare_steps_s"] = min(seconds(steps) for _ in range(asked.repeats))
print(json.dumps(result))
