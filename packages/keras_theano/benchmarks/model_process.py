"""Trains one model of MODELS on the backend of KERAS_BACKEND, one command at a time.

Arguments: the model and the size of a batch. Each line on standard input is a command:

fit: trains for two epochs
evaluate: computes the loss and the metrics of all data
predict: predicts one sample, a hundred times

The answer is a line of JSON with the seconds of the command and the peak memory of the process in MiB.

compiled: of the native tier of keras_theano: how many seconds its slowest step took to compile, and the floor
    of a fit: how many seconds its matrix products take alone, and how many MiB the rest reads and writes
"""

import importlib
import json
import os
import resource
import sys
import time
from collections import Counter
from typing import Any

OTHERS = {"tensorflow", "jax", "torch"} - {os.environ["KERAS_BACKEND"]}


class OnlyOneEngine:
    """Finds no other engine. Keras imports every engine that is installed, but most users have one."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name in OTHERS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if os.environ["KERAS_BACKEND"] == "torch":
    # PyTorch asks during its import whether the others can be found. Nothing else accepts such entries.
    sys.modules.update(dict.fromkeys(OTHERS))  # type: ignore[arg-type]
    importlib.import_module("torch._dynamo")
    for engine in OTHERS:
        del sys.modules[engine]
sys.meta_path.insert(0, OnlyOneEngine)  # type: ignore[arg-type]

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402

STEPS = 4  # at least, in an epoch
SAMPLES = 1024  # at least
EPOCHS = 2
CLASSES = 4


def mlp(depth: int = 2, width: int = 64, normalized: bool = False) -> keras.Model:
    model = keras.Sequential([keras.Input((20,))])
    for _ in range(depth):
        model.add(layers.Dense(width, "relu"))
        if normalized:
            model.add(layers.BatchNormalization())
    model.add(layers.Dense(CLASSES))
    return model


def cnn() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(CLASSES),
        ]
    )


def separable() -> keras.Model:
    model = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(16, 3, padding="same")])
    for strides in (1, 2, 1):
        model.add(layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False))
        model.add(layers.BatchNormalization())
        model.add(layers.Activation("relu"))
        model.add(layers.Conv2D(32, 1, activation="relu"))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(CLASSES))
    return model


def attention(blocks: int = 1) -> keras.Model:
    inputs = x = keras.Input((16, 32))
    for _ in range(blocks):
        normalized = layers.LayerNormalization()(x)
        x = layers.MultiHeadAttention(2, 16)(normalized, normalized) + x
        wide = layers.Dense(64, "gelu")(layers.LayerNormalization()(x))
        x = layers.Dense(32)(wide) + x
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(x)))


def recurrent(layer: str, steps: int) -> keras.Model:
    return keras.Sequential([keras.Input((steps, 16)), getattr(layers, layer)(64), layers.Dense(CLASSES)])


def embedding() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((20,), dtype="int32"),
            layers.Embedding(1000, 32),
            layers.GlobalAveragePooling1D(),
            layers.Dense(CLASSES),
        ]
    )


def unet() -> keras.Model:
    inputs = keras.Input((16, 16, 3))
    fine = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    coarse = layers.Conv2D(32, 3, padding="same", activation="relu")(layers.MaxPooling2D()(fine))
    lowest = layers.Conv2D(32, 3, padding="same", activation="relu")(layers.MaxPooling2D()(coarse))
    x = layers.Concatenate()([layers.UpSampling2D()(lowest), coarse])
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    x = layers.Concatenate()([layers.Conv2DTranspose(16, 2, strides=2)(x), fine])
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    return keras.Model(inputs, layers.Conv2D(CLASSES, 1)(x))


MODELS = {
    "mlp": mlp,
    "mlp 16": lambda: mlp(width=16),
    "mlp 256": lambda: mlp(width=256),
    "deep mlp": lambda: mlp(depth=12),
    "wide mlp": lambda: mlp(width=1024),
    "normalized mlp": lambda: mlp(normalized=True),
    "cnn": cnn,
    "separable cnn": separable,
    "attention": attention,
    "four attentions": lambda: attention(4),
    "lstm 32": lambda: recurrent("LSTM", 32),
    "lstm 256": lambda: recurrent("LSTM", 256),
    "gru 32": lambda: recurrent("GRU", 32),
    "gru 256": lambda: recurrent("GRU", 256),
    "embedding": embedding,
    "unet": unet,
}


def compiled(model: keras.Model, steps: int) -> dict[str, float]:
    """Return the figures of the command `compiled`. Data that a step reads or writes several times count as
    often, even where they stay in the processor's cache.

    steps: the number of steps in a fit.
    """
    from keras_theano import report
    from keras_theano.execution.explanation import cost

    slowest = max(ran.compile_s.get("native", 0.0) for ran in report())
    step = cost(model, "train")
    alone = sum(count * seconds_of(*sizes) for sizes, count in Counter(step.products).items())
    return {"compile s": slowest, "products s": steps * alone, "moved MiB": steps * step.bytes / 2**20}


def seconds_of(*sizes: int) -> float:
    """Return how long NumPy takes for a product of matrices that lie in memory as it likes them best.

    sizes: how many products, and the numbers of rows, of the axis that is summed over, and of columns
    """
    count, rows, inner, columns = sizes
    rng = np.random.default_rng(0)
    left = rng.random((count, rows, inner), dtype="float32")
    right = rng.random((count, inner, columns), dtype="float32")
    result = np.empty((count, rows, columns), "float32")
    taken = []
    for _ in range(7):
        began = time.perf_counter()
        np.matmul(left, right, out=result)
        taken.append(time.perf_counter() - began)
    return min(taken)


def main() -> None:
    name, batch = sys.argv[1], int(sys.argv[2])
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    rng = np.random.default_rng(0)
    samples = max(SAMPLES, STEPS * batch)
    shape = (samples, *model.input_shape[1:])
    x: Any = rng.integers(0, 1000, shape) if name == "embedding" else rng.random(shape, dtype="float32")
    y = rng.integers(0, CLASSES, (samples, *model.output_shape[1:-1]))

    def predict() -> None:
        for _ in range(100):
            model.predict_on_batch(x[:1])

    commands = {
        "fit": lambda: model.fit(x, y, epochs=EPOCHS, batch_size=batch, verbose=0),
        "evaluate": lambda: model.evaluate(x, y, batch_size=batch, verbose=0),
        "predict": predict,
    }
    for line in sys.stdin:
        if line.strip() == "compiled":
            print(json.dumps(compiled(model, samples * EPOCHS // batch)), flush=True)
            continue
        began = time.perf_counter()
        commands[line.strip()]()
        # Reading a weight waits until the device is done.
        np.asarray(keras.ops.convert_to_numpy(model.trainable_variables[-1]))
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps([seconds, peak]), flush=True)


if __name__ == "__main__":
    main()
