"""Times models in the native tier and the interpreter of keras_theano, and on Keras with JAX, side by side.

python tiers.py [--models mlp cnn attention lstm] [--batch 32] [--repeats 5] [--threads 1]

The runs take turns, so that a busy machine slows all alike. Prints one line for each model and backend:
the seconds of the first fit and the least of the later ones. The native tier starts with an empty cache.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BACKENDS = {
    "native": {"KERAS_BACKEND": "theano", "KERAS_THEANO_MODE": "native"},
    "interpreter": {"KERAS_BACKEND": "theano", "KERAS_THEANO_MODE": "interpreter"},
    "jax": {"KERAS_BACKEND": "jax"},
}
MODELS = ("mlp", "cnn", "attention", "lstm")

# Arguments: the model, the size of a batch, the number of later fits. Prints a list of seconds.
FIT = """
import json, sys, time
import keras, numpy as np
from keras import layers

def attention():
    x = inputs = keras.Input((16, 32))
    x = layers.LayerNormalization()(x)
    x = layers.MultiHeadAttention(2, 16)(x, x) + inputs
    x = layers.Dense(32, "gelu")(x)
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))

def stack(shape, *parts):
    return keras.Sequential([keras.Input(shape), *parts, layers.Dense(4)])

keras.utils.set_random_seed(0)
model = {
    "mlp": lambda: stack((20,), layers.Dense(64, "relu"), layers.Dropout(0.5), layers.Dense(64, "relu")),
    "cnn": lambda: stack(
        (16, 16, 3), layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()
    ),
    "attention": attention,
    "lstm": lambda: stack((32, 16), layers.LSTM(64)),
}[sys.argv[1]]()
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
rng = np.random.default_rng(0)
x = rng.random((1000, *model.input_shape[1:]), dtype="float32")
y = rng.integers(0, 4, 1000)
for _ in range(1 + int(sys.argv[3])):
    began = time.perf_counter()
    model.fit(x, y, epochs=2, batch_size=int(sys.argv[2]), verbose=0)
    np.asarray(keras.ops.convert_to_numpy(model.trainable_variables[-1]))  # waits until the device is done
    print(json.dumps(time.perf_counter() - began), flush=True)
    sys.stdin.readline()
"""


class Run:
    """A process that trains one model on one backend, and waits after each fit until it may go on."""

    def __init__(self, backend: str, model: str, batch: int, repeats: int, threads: int, folder: str) -> None:
        environment = {**os.environ, **BACKENDS[backend], "OMP_NUM_THREADS": str(threads)}
        environment["PYTENSOR_FLAGS"] = f"base_compiledir={Path(folder) / model / backend}"
        environment["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", FIT, model, str(batch), str(repeats)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.seconds: list[float] = []

    def fit(self) -> None:
        """Wait for the end of a fit."""
        assert self._process.stdout is not None
        self.seconds.append(float(json.loads(self._process.stdout.readline())))

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> None:
        self.go_on()
        self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for model in asked.models:
            runs: dict[str, Run] = {}
            for backend in BACKENDS:
                runs[backend] = Run(backend, model, asked.batch, asked.repeats, asked.threads, folder)
                runs[backend].fit()
            for _ in range(asked.repeats):
                for run in runs.values():
                    run.go_on()
                    run.fit()
            for backend, run in runs.items():
                run.end()
                first, *later = run.seconds
                print(f"{model:10} {backend:12} first {first:7.3f} s  later {min(later):7.4f} s", flush=True)


if __name__ == "__main__":
    main()
