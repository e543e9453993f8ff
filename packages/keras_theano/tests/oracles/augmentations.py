"""Models with image layers to train on one backend after the other:
`KERAS_BACKEND=jax python augmentations.py RESULT [--first] NAME ...`.

RESULT: the path of the npz file to which the weights after training are saved.
--first: the layers come first, as layers of augmentation usually do, and no gradient passes through them.
NAME: the layers, by their names in LAYERS.
"""

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

UNIT = (0.0, 1.0)
LAYERS: dict[str, Callable[[], Any]] = {
    "AugMix": lambda: layers.AugMix(UNIT, seed=1),
    "AutoContrast": lambda: layers.AutoContrast(UNIT),
    "CenterCrop": lambda: layers.CenterCrop(6, 5),
    "ContrastLimitedAdaptiveHistogramEqualization": (
        lambda: layers.ContrastLimitedAdaptiveHistogramEqualization(UNIT, tile_grid_size=(2, 2))
    ),
    "CutMix": lambda: layers.CutMix(0.9, seed=1),
    "Equalization": lambda: layers.Equalization(UNIT),
    "MixUp": lambda: layers.MixUp(0.9, seed=1),
    "Pipeline": lambda: layers.Pipeline([layers.RandomFlip(seed=1), layers.RandomRotation(0.2, seed=1)]),
    "RandAugment": lambda: layers.RandAugment(UNIT, seed=1),
    "RandomBrightness": lambda: layers.RandomBrightness(0.2, UNIT, seed=1),
    "RandomColorDegeneration": lambda: layers.RandomColorDegeneration(0.5, UNIT, seed=1),
    "RandomColorJitter": lambda: layers.RandomColorJitter(UNIT, 0.2, 0.2, 0.2, 0.2, seed=1),
    "RandomContrast": lambda: layers.RandomContrast(0.2, UNIT, seed=1),
    "RandomCrop": lambda: layers.RandomCrop(6, 5, seed=1),
    "RandomElasticTransform": lambda: layers.RandomElasticTransform(1.0, 1.0, value_range=UNIT, seed=1),
    "RandomErasing": lambda: layers.RandomErasing(1.0, value_range=UNIT, seed=1),
    "RandomFlip": lambda: layers.RandomFlip(seed=1),
    "RandomGaussianBlur": lambda: layers.RandomGaussianBlur(1.0, 3, 1.0, UNIT, seed=1),
    "RandomGrayscale": lambda: layers.RandomGrayscale(0.5, seed=1),
    "RandomHue": lambda: layers.RandomHue(0.2, UNIT, seed=1),
    "RandomInvert": lambda: layers.RandomInvert(0.5, UNIT, seed=1),
    "RandomPerspective": lambda: layers.RandomPerspective(1.0, 0.5, seed=1),
    "RandomPosterization": lambda: layers.RandomPosterization(4, UNIT, seed=1),
    "RandomRotation": lambda: layers.RandomRotation(0.2, "reflect", seed=1),
    "RandomRotation, nearest": lambda: layers.RandomRotation(0.2, "wrap", "nearest", seed=1),
    "RandomSaturation": lambda: layers.RandomSaturation(0.2, UNIT, seed=1),
    "RandomSharpness": lambda: layers.RandomSharpness(0.5, UNIT, seed=1),
    "RandomShear": lambda: layers.RandomShear(0.2, 0.2, fill_mode="constant", seed=1),
    "RandomTranslation": lambda: layers.RandomTranslation(0.2, 0.2, fill_mode="nearest", seed=1),
    "RandomZoom": lambda: layers.RandomZoom(0.2, 0.3, "constant", seed=1),
    "Rescaling": lambda: layers.Rescaling(2.0, -1.0),
    "Resizing": lambda: layers.Resizing(6, 5),
    "Resizing, padded": lambda: layers.Resizing(12, 5, "bicubic", pad_to_aspect_ratio=True),
    "Solarization": lambda: layers.Solarization(0.2, 0.3, UNIT, seed=1),
}
# They have no random numbers.
DETERMINISTIC = {
    *("AutoContrast", "CenterCrop", "ContrastLimitedAdaptiveHistogramEqualization", "Equalization"),
    *("Rescaling", "Resizing", "Resizing, padded"),
}
# They draw numbers while they transform the images, or choose other layers at random.
RANDOM_INSIDE = {"AugMix", "Pipeline", "RandAugment", "RandomColorJitter", "RandomElasticTransform"}
# The layers that it does not choose have gradients that are NaN, so weights before it become NaN, on JAX too.
WITHOUT_GRADIENT = {"RandAugment"}
SAMPLES, BATCH, SHAPE = 16, 8, (8, 9, 3)


class Images(keras.Model):
    """The layer lies between two convolutions, so the gradient of the first passes through it, if it has one.

    first: whether the first convolution does not train, and then no gradient passes through the layer.
    fixed: whether each batch is transformed in the same way, which does not depend on the backend.
    """

    def __init__(self, name: str, fixed: bool, first: bool = False) -> None:
        super().__init__()
        self.first, self.second = layers.Conv2D(3, 1), layers.Conv2D(4, 3)
        self.first.trainable = not first and name not in WITHOUT_GRADIENT
        self.augmentation = LAYERS[name]()
        self.dense = layers.Dense(2)
        if fixed and name not in DETERMINISTIC:
            self.augmentation = Fixed(self.augmentation)

    def call(self, x: Any, training: bool = False) -> Any:
        x = self.augmentation(self.first(x), training=training)
        return self.dense(keras.ops.mean(self.second(x), axis=(1, 2)))


class Fixed(keras.layers.Layer):
    """Applies one transformation of an image layer to all batches. Its numbers are drawn by NumPy."""

    def __init__(self, augmentation: Any) -> None:
        super().__init__()
        self.augmentation = augmentation
        for layer in augmentation._flatten_layers():
            layer.backend = _WithNumPy(layer.backend)
        images = np.zeros((BATCH, *SHAPE), "float32")
        transformation = augmentation.get_random_transformation(images, training=True)
        self.transformation = keras.tree.map_structure(_in_numpy, transformation)

    def build(self, shape: Any) -> None:
        self.augmentation.build(shape)

    def call(self, x: Any, training: bool = False) -> Any:
        if not training:
            return x
        return self.augmentation.transform_images(x, self.transformation, training=True)


def _in_numpy(x: Any) -> Any:
    array = None if x is None else np.asarray(x)
    return array.item() if array is not None and array.ndim == 0 and array.dtype.kind == "i" else array


class _WithNumPy:
    """A backend whose random numbers are NumPy's."""

    def __init__(self, backend: Any) -> None:
        self._wrapped = backend
        self.random = self
        self._generator = np.random.default_rng(3)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def uniform(self, shape: Any, minval: Any = 0.0, maxval: Any = 1.0, **_: Any) -> Any:
        return self._generator.uniform(minval, maxval, shape).astype("float32")

    def normal(self, shape: Any, mean: Any = 0.0, stddev: Any = 1.0, **_: Any) -> Any:
        return self._generator.normal(mean, stddev, shape).astype("float32")

    def beta(self, shape: Any, alpha: Any, beta: Any, **_: Any) -> Any:
        return self._generator.beta(alpha, beta, shape).astype("float32")

    def randint(self, shape: Any, minval: Any, maxval: Any, **_: Any) -> Any:
        return self._generator.integers(minval, maxval, shape).astype("int32")

    def shuffle(self, x: Any, **_: Any) -> Any:
        return self._generator.permutation(np.asarray(x))


def trained(name: str, fixed: bool, first: bool = False) -> list[Any]:
    """Return the weights after four steps."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    x, y = rng.random((SAMPLES, *SHAPE), "float32"), rng.normal(size=(SAMPLES, 2)).astype("float32")
    model = Images(name, fixed, first)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    model(x[:BATCH])
    kernels = model.first, model.second, model.dense
    for layer in kernels:
        # The images of the first layer are between 0 and 1, as the augmentations expect them.
        layer.set_weights([rng.uniform(0, 0.4, w.shape).astype("float32") for w in layer.get_weights()])
    model.fit(x, y, epochs=2, batch_size=BATCH, shuffle=False, verbose=0)
    return [weight for layer in kernels for weight in layer.get_weights()]


if __name__ == "__main__":
    first = "--first" in sys.argv
    found = {
        f"{name}/{n}": weight
        for name in sys.argv[2:]
        if name in LAYERS
        for n, weight in enumerate(trained(name, fixed=True, first=first))
    }
    np.savez(sys.argv[1], **found)
