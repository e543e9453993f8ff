"""Image ops outside of a trace, in NumPy, where Keras's own NumPy functions do not do.

In those, `map_coordinates` makes an image larger, as far as its farthest coordinate. `affine_transform` takes
no single transform for a batch, and adds c0 and c1 times the number of the channel instead of dividing.
`gaussian_blur` rounds its kernel to 0 if the images are whole numbers. `resize` returns float64 if it pads.
`sobel_edges` takes no half precision.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras.src.backend import standardize_data_format
from keras.src.backend.common.dtypes import result_type

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.symbolic import sampling

convert_to_tensor = numpy_ops("core").convert_to_tensor
eager = numpy_ops("image")


def affine_transform(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    x, transforms = convert_to_tensor(images), convert_to_tensor(transform)
    sampling.require_images(x, interpolation, fill_mode)
    sampling.require_transforms(x, transforms)
    # Pixels of one value keep it. The sum of its shares may be a little less in float64, but not in float32.
    floats = x.astype("float32" if "float" in str(x.dtype) else "float64", copy=False)
    moved = sampling.transformed(
        np, floats, transforms.astype("float64"), interpolation, fill_mode, fill_value, data_format
    )
    return moved.astype("float32", copy=False).astype(x.dtype, copy=False)


def perspective_transform(
    images: Any,
    start_points: Any,
    end_points: Any,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    x = convert_to_tensor(images)
    sampling.require_images(x, interpolation)
    transforms = _homography(convert_to_tensor(start_points), convert_to_tensor(end_points))
    sampling.require_transforms(x, transforms)
    moved = sampling.transformed(
        np, _widened(x), transforms, interpolation, "constant", fill_value, data_format
    )
    return moved.astype(x.dtype, copy=False)


def sobel_edges(images: Any, data_format: str | None = None) -> Any:
    x = convert_to_tensor(images)
    return eager.sobel_edges(_widened(x), data_format).astype(x.dtype, copy=False)


def compute_homography_matrix(start_points: Any, end_points: Any) -> Any:
    start, end = convert_to_tensor(start_points), convert_to_tensor(end_points)
    return _homography(start, end).astype(result_type(start.dtype, end.dtype, float))


def _homography(start: Any, end: Any) -> Any:
    sampling.require_points(start, end)
    start, end = (points.astype("float64").reshape(-1, 4, 2) for points in (start, end))
    return sampling.homography(np, np.linalg.solve, start, end)


def map_coordinates(
    inputs: Any, coordinates: Any, order: int, fill_mode: str = "constant", fill_value: float = 0.0
) -> Any:
    x, at = convert_to_tensor(inputs), convert_to_tensor(coordinates)
    sampling.require_coordinates(x, at, order, fill_mode)
    places = list(at.astype("float64").reshape(len(at), 1, -1))
    found = sampling.sampled(np, _widened(x)[None, ..., None], places, order, fill_mode, fill_value)
    return found.reshape(at.shape[1:]).astype(x.dtype, copy=False)


def displaced(
    images: Any,
    noise: Any,
    alpha: Any,
    sigma: Any,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
    data_format: str | None,
) -> Any:
    """The part of an elastic transform that comes after drawing the noise."""
    x = convert_to_tensor(images)
    moved = sampling.displaced(
        np,
        _widened(x),
        np.asarray(noise, "float64"),
        np.asarray(alpha, "float64"),
        np.asarray(sigma, "float64"),
        interpolation,
        fill_mode,
        fill_value,
        data_format,
    )
    return moved.astype(x.dtype, copy=False)


def _widened(x: Any) -> Any:
    """Return float16 and bfloat16 as float32."""
    return x.astype("float32") if str(x.dtype) in ("float16", "bfloat16") else x


def resize(
    images: Any,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Any:
    def resized(x: Any, pad: bool) -> Any:
        return eager.resize(
            x,
            size,
            interpolation,
            antialias,
            crop_to_aspect_ratio=crop_to_aspect_ratio,
            pad_to_aspect_ratio=pad,
            fill_mode=fill_mode,
            data_format=data_format,
        )

    if not pad_to_aspect_ratio or crop_to_aspect_ratio or images.ndim not in (3, 4):
        return resized(images, pad_to_aspect_ratio)
    axes = (-3, -2) if standardize_data_format(data_format) == "channels_last" else (-2, -1)
    widths = [(0, 0)] * images.ndim
    for own, other in (axes, axes[::-1]):
        needed = int(float(images.shape[other] * size[axes.index(own)]) / size[axes.index(other)])
        border = max(needed - images.shape[own], 0) // 2
        widths[own] = (border, border)
    return resized(np.pad(images, widths, constant_values=fill_value), False)


def gaussian_blur(
    images: Any,
    kernel_size: Sequence[int] = (3, 3),
    sigma: Any = (1.0, 1.0),
    data_format: str | None = None,
) -> Any:
    x = convert_to_tensor(images)
    if "float" in str(x.dtype):
        return eager.gaussian_blur(x, kernel_size, sigma, data_format)
    blurred = eager.gaussian_blur(x.astype("float32"), kernel_size, sigma, data_format)
    return np.round(blurred).astype(x.dtype)
