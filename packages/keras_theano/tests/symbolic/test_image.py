"""Traced code resizes images as eager code does."""

from typing import Any

import numpy as np
import pytest
from keras import ops

from oracles.tracing import traced

IMAGES = np.random.default_rng(0).random((2, 6, 7, 3), dtype="float32") * 200


@pytest.mark.parametrize("fit", ["", "crop", "pad"])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos3"])
@pytest.mark.parametrize("size", [(3, 9), (12, 4), (6, 7)])
def test_traced_resizing_equals_eager_resizing(
    size: tuple[int, int], interpolation: str, antialias: bool, fit: str
) -> None:
    options: dict[str, Any] = {"interpolation": interpolation, "antialias": antialias, "fill_value": 3.0}
    if fit:
        options[f"{fit}_to_aspect_ratio"] = True
    for images, layout in ((IMAGES, "channels_last"), (IMAGES.transpose(0, 3, 1, 2), "channels_first")):
        expected = ops.image.resize(images, size, data_format=layout, **options)
        resized = traced(lambda x, f=layout: ops.image.resize(x, size, data_format=f, **options), images)
        np.testing.assert_allclose(resized, expected, rtol=1e-4, atol=2e-3)


def test_images_of_unknown_height_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="resizes images of known height and width"):
        traced(lambda x: ops.image.resize(x, (3, 3)), IMAGES[0])
