"""Every image layer of Keras works inside of a model that trains."""

import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from oracles import augmentations, backends
from oracles.augmentations import LAYERS, RANDOM_INSIDE, trained


@pytest.fixture(autouse=True)
def without_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_THEANO_MODE", "interpreter")


def test_every_image_layer_of_keras_is_tested() -> None:
    names = {
        cls.__name__
        for cls in vars(keras.layers).values()
        if inspect.isclass(cls) and ".image_preprocessing." in cls.__module__
    }
    tested = {type(make()).__name__ for make in LAYERS.values()}
    # The latter changes bounding boxes, and no images.
    assert names - tested == {"MaxNumBoundingBoxes"}


@pytest.mark.parametrize(
    "name",
    # A step of RandAugment runs all other layers, so recording it takes a minute.
    [
        pytest.param(name, marks=[pytest.mark.slow, pytest.mark.extended] if name == "RandAugment" else [])
        for name in LAYERS
    ],
)
def test_model_with_an_image_layer_trains_to_the_same_weights_twice(name: str) -> None:
    first, second = trained(name, fixed=False), trained(name, fixed=False)
    for one, other in zip(first, second, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one, other)
    assert all(np.ptp(weight) > 0 for weight in first)


def test_another_seed_of_an_image_layer_gives_other_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    before = trained("RandomRotation", fixed=False)
    monkeypatch.setitem(LAYERS, "RandomRotation", lambda: keras.layers.RandomRotation(0.2, "reflect", seed=2))
    after = trained("RandomRotation", fixed=False)
    assert np.abs(before[0] - after[0]).max() > 1e-6


def test_images_of_each_step_are_transformed_anew() -> None:
    """The layer is recorded once, but its numbers are drawn in each step."""
    images = np.random.default_rng(0).random((4, 8, 8, 1), "float32")

    class Turned(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.turn, self.scale = keras.layers.RandomRotation(0.3, seed=3), keras.layers.Conv2D(1, 1)

        def call(self, x: Any, training: bool = False) -> Any:
            return self.scale(self.turn(x, training=training))

    model = Turned()
    model.compile(keras.optimizers.SGD(0.0), "mse")
    seen = [float(model.train_on_batch(images, images)) for _ in range(3)]
    assert len(set(seen)) == 3
    assert min(seen) > 0


# JAX takes some seconds to compile each model, so CI trains some of them. The others are in the extended
# tests.
IN_CI = (
    "RandomRotation",
    "RandomPerspective",
    "RandomGaussianBlur",
)
COMPARED = [
    pytest.param(
        name, marks=[pytest.mark.slow] if name in IN_CI else [pytest.mark.slow, pytest.mark.extended]
    )
    for name in LAYERS
    # JAX takes minutes to compile the loop over 256 values of Equalization.
    if name not in RANDOM_INSIDE and name != "Equalization"
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], dict[str, dict[str, Any]]]:
    def made(in_ci: bool) -> dict[str, dict[str, Any]]:
        folder = tmp_path_factory.mktemp("images")
        names = [str(case.values[0]) for case in COMPARED if (case.values[0] in IN_CI) == in_ci]
        script = Path(augmentations.__file__)
        # Some layers that CI leaves out call TensorFlow on every backend.
        return {
            backend: backends.trained(backend, folder, script, *names, mode="interpreter", only_engine=in_ci)
            for backend in ("theano", "jax")
        }

    return cache(made)


@pytest.mark.parametrize("name", COMPARED)
def test_weights_after_the_same_transformations_are_those_of_jax(
    name: str, weights: Callable[[bool], dict[str, dict[str, Any]]]
) -> None:
    made = weights(name in IN_CI)
    ours = {key: value for key, value in made["theano"].items() if key.startswith(f"{name}/")}
    assert len(ours) == 6
    for key, value in ours.items():
        np.testing.assert_allclose(value, made["jax"][key], rtol=1e-5, atol=1e-5, err_msg=key)


# The fill mode "wrap" of TensorFlow takes other pixels, its bicubic interpolation takes weights from a table,
# and it does not accept the numbers that NumPy drew for RandomBrightness.
NOT_AS_ON_TENSORFLOW = ("RandomRotation, nearest", "Resizing, padded", "RandomBrightness")
ON_TENSORFLOW = [
    name for name in LAYERS if name not in (*RANDOM_INSIDE, *NOT_AS_ON_TENSORFLOW, "Equalization")
]


@pytest.fixture(scope="module")
def weights_behind(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Weights of models that start with an image layer, on Theano and on TensorFlow.

    No gradient passes through the layer here. That of rotations and the like is an approximation on
    TensorFlow, which has none at all for layers such as RandomHue.
    """
    folder, script = tmp_path_factory.mktemp("behind"), Path(augmentations.__file__)
    return {
        backend: backends.trained(
            backend, folder, script, "--first", *ON_TENSORFLOW, mode="interpreter", only_engine=False
        )
        for backend in ("theano", "tensorflow")
    }


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.parametrize("name", ON_TENSORFLOW)
def test_weights_behind_an_image_layer_are_those_of_tensorflow(
    name: str, weights_behind: dict[str, dict[str, Any]]
) -> None:
    ours = {key: value for key, value in weights_behind["theano"].items() if key.startswith(f"{name}/")}
    assert len(ours) == 6
    for key, value in ours.items():
        theirs = weights_behind["tensorflow"][key]
        np.testing.assert_allclose(value, theirs, rtol=1e-5, atol=1e-5, err_msg=key)
