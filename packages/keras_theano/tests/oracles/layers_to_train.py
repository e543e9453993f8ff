"""Models to train on one backend after the other: `KERAS_BACKEND=jax python layers_to_train.py RESULT`.

RESULT: the path of the npz file to which the weights after training and the predictions are saved.
"""

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

IMAGE, LINE, ROOM = (8, 6, 3), (12, 3), (5, 4, 6, 2)
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
}


def trained(shape: tuple[int, ...], stack: list[Any]) -> dict[str, Any]:
    """Return the weights after six steps, and what the model then predicts."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, *shape)).astype("float32"), rng.normal(size=(20, 2)).astype("float32")
    model = keras.Sequential([keras.Input(shape), *stack, layers.Flatten(), layers.Dense(2)])
    model.set_weights([rng.uniform(-0.4, 0.4, w.shape).astype("float32") for w in model.get_weights()])
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    model.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)
    found = {str(n): weight for n, weight in enumerate(model.get_weights())}
    return {**found, "predicted": model.predict(x, verbose=0)}


if __name__ == "__main__":
    found = {
        f"{name}/{key}": value
        for name, (shape, stack) in MODELS.items()
        for key, value in trained(shape, stack()).items()
    }
    np.savez(sys.argv[1], **found)
