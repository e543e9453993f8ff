"""Cutting images into patches and adding them up agree with eager code, and are each other's gradients."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest

from keras_theano.src.ops import nn
from keras_theano.tracing.tensor import Tensor
from oracles.cases import agrees
from oracles.tracing import gradient_of, traced

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 3, 7, 6)).astype("float32")
SETTINGS: list[dict[str, Any]] = [
    {"kernel_size": 2},
    {"kernel_size": (3, 2), "stride": (2, 3)},
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (2, 3), "dilation": (3, 1), "padding": (0, 2), "stride": 2},
    {"kernel_size": (7, 6)},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_patches_equal_eager_patches(settings: dict[str, Any]) -> None:
    agrees(nn.unfold, (IMAGES,), settings)
    agrees(nn.unfold, ((10 * IMAGES).astype("int32"),), settings)
    gradient_of(lambda x: nn.unfold(x, **settings), IMAGES)


@pytest.mark.parametrize("settings", SETTINGS)
def test_sums_of_patches_equal_eager_sums(settings: dict[str, Any]) -> None:
    patches = RNG.normal(size=nn.unfold(IMAGES, **settings).shape).astype("float32")
    agrees(nn.fold, (patches, IMAGES.shape[2:]), settings)
    gradient_of(lambda x: nn.fold(x, IMAGES.shape[2:], **settings), patches)


def test_gradient_of_a_gradient() -> None:
    def slope(x: Any) -> Any:
        total = pt.sum(nn.fold(nn.unfold(x, 3, padding=1), (7, 6), 3, padding=1).node ** 3)
        return Tensor(pt.grad(total, x.node))

    gradient_of(slope, IMAGES[:1, :1], unknown_batch=False)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="unfold needs an input with 4 axes"):
        traced(lambda x: nn.unfold(x, 2), IMAGES[0])
    with pytest.raises(ValueError, match="fold needs an input with 3 axes"):
        traced(lambda x: nn.fold(x, 2, 2), IMAGES)
