"""Images. Interpolation, resizing and colors each have a module."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from keras.src.backend.common.dtypes import result_type
from pytensor.tensor.variable import TensorVariable

from keras_theano.symbolic import linalg, sampling
from keras_theano.symbolic.bounds import checked
from keras_theano.symbolic.colors import hsv_to_rgb as hsv_to_rgb
from keras_theano.symbolic.colors import rgb_to_grayscale as rgb_to_grayscale
from keras_theano.symbolic.colors import rgb_to_hsv as rgb_to_hsv
from keras_theano.symbolic.resizing import resize as resize
from keras_theano.symbolic.resizing import scale_and_translate as scale_and_translate
from keras_theano.symbolic.sizes import size_of
from keras_theano.tracing.tensor import Tensor, as_node, cast, common_dtype


def affine_transform(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    """Move the pixels of images as `sampling.transformed` does.

    transform: shape (batch, 8), or (8,) for all images. It has a gradient if `interpolation` is "bilinear".
    Whole numbers are cut off after the point.
    """
    x, transforms = _converted(images), as_node(transform, "float64")
    sampling.require_images(x, interpolation, fill_mode)
    sampling.require_transforms(x, transforms)
    floats = x if x.type.dtype.startswith("float") else cast(x, "float64")
    moved = _transformed(floats, transforms, interpolation, fill_mode, fill_value, data_format)
    if floats is not x:
        # Pixels of one value keep it. The sum of its shares may be a little less in float64, but not in
        # float32.
        moved = cast(cast(moved, "float32"), x.type.dtype)
    return Tensor(moved)


def perspective_transform(
    images: Any,
    start_points: Any,
    end_points: Any,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    """Move the start points of images to the end points.

    start_points, end_points: the x and y of four points. Shape (batch, 4, 2), or (4, 2) for all images.
    """
    x = _converted(images)
    sampling.require_images(x, interpolation, "constant")
    transforms = _homography(_converted(start_points), _converted(end_points))
    sampling.require_transforms(x, transforms)
    return Tensor(_transformed(x, transforms, interpolation, "constant", fill_value, data_format))


def _transformed(
    x: TensorVariable,
    transforms: TensorVariable,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
    data_format: str | None,
) -> TensorVariable:
    moved = sampling.transformed(pt, x, transforms, interpolation, fill_mode, fill_value, data_format)
    return pt.specify_shape(moved, x.type.shape)


def compute_homography_matrix(start_points: Any, end_points: Any) -> Tensor:
    """Return what `sampling.homography` returns, in float32."""
    start, end = _converted(start_points), _converted(end_points)
    dtype = str(result_type(start.type.dtype, end.type.dtype, float))
    return Tensor(cast(_homography(start, end), dtype))


def _homography(start: TensorVariable, end: TensorVariable) -> TensorVariable:
    sampling.require_points(start, end)
    batches = [points if points.type.ndim == 3 else points[None] for points in (start, end)]
    start, end = (cast(points, "float64") for points in batches)
    return sampling.homography(pt, lambda a, b: linalg.solve(Tensor(a), Tensor(b)).node, start, end)


def map_coordinates(
    inputs: Any, coordinates: Any, order: int, fill_mode: str = "constant", fill_value: float = 0.0
) -> Tensor:
    """Return the values of an array at some places.

    coordinates: shape (axes of the inputs, ...). They have a gradient if `order` is 1.
    Returns the shape of the coordinates without its first axis.
    Raises ValueError if there are not as many coordinates as axes, now or when the step runs.
    """
    x, at = _converted(inputs), as_node(coordinates, "float64")
    sampling.require_coordinates(x, at, order, fill_mode)
    if at.type.shape[0] is None:
        message = f"`coordinates` must have {x.type.ndim} rows, one for each axis of the inputs"
        at = checked(at, ValueError, message, pt.eq(at.shape[0], x.type.ndim))
    places = [at[axis].reshape((1, -1)) for axis in range(x.type.ndim)]
    found = sampling.sampled(pt, x[None, ..., None], places, order, fill_mode, fill_value)
    sizes = [size_of(at, axis) for axis in range(1, at.type.ndim)]
    return Tensor(found.reshape(sizes))


def displaced(
    images: Any,
    noise: Any,
    alpha: Any,
    sigma: Any,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
    data_format: str | None,
) -> Tensor:
    """The part of an elastic transform that comes after drawing the noise."""
    x = _converted(images)
    moved = sampling.displaced(
        pt,
        x,
        as_node(noise, "float64"),
        as_node(alpha, "float64"),
        as_node(sigma, "float64"),
        interpolation,
        fill_mode,
        fill_value,
        data_format,
    )
    return Tensor(pt.specify_shape(moved, x.type.shape))


def gaussian_blur(
    images: Any,
    kernel_size: Sequence[int] = (3, 3),
    sigma: Any = (1.0, 1.0),
    data_format: str | None = None,
) -> Tensor:
    """Blur images. What lies outside of them is 0.

    kernel_size: the width and the height of the kernel, in pixels.
    sigma: the standard deviations along the width and the height, in pixels. They have a gradient.
    """
    x = _converted(images)
    sampling.require_images(x)
    floats = x.type.dtype.startswith("float")
    blurred = x if floats else cast(x, "float32")
    deviations = as_node(sigma, blurred.type.dtype)
    first = x.type.ndim - (2 if data_format == "channels_first" else 3)
    for axis, n in ((first, 1), (first + 1, 0)):
        blurred = _blurred(blurred, axis, int(kernel_size[n]), deviations[n])
    blurred = blurred if floats else cast(pt.round(blurred), x.type.dtype)
    return Tensor(pt.specify_shape(blurred, x.type.shape))


def _blurred(x: TensorVariable, axis: int, width: int, sigma: TensorVariable) -> TensorVariable:
    dtype = x.type.dtype
    apart = np.arange(width, dtype=dtype) - np.asarray((width - 1) / 2, dtype)
    kernel = pt.exp(np.asarray(-0.5, dtype) * pt.sqr(apart / sigma))
    kernel = kernel / kernel.sum()
    before = (width - 1) // 2
    return _filtered(x, axis, [(n - before, kernel[n]) for n in range(width)], 0)


def sobel_edges(images: Any, data_format: str | None = None) -> Tensor:
    """Return the derivatives along the height and the width, on a new last axis. Beyond its edge, an image
    goes on with the pixels at the edge.

    images: shape (batch, height, width, channels), or with the channels second.
    """
    x = _converted(images)
    if x.type.ndim != 4:
        raise ValueError(
            f"Invalid images rank: expected rank 4 (batch of images). Received: images.shape={x.type.shape}"
        )
    dtype = x.type.dtype
    floats = dtype.startswith("float")
    pixels = x if floats else cast(x, "int64")
    first = 2 if data_format == "channels_first" else 1
    edges = []
    for along, across in ((first, first + 1), (first + 1, first)):
        slope = _filtered(pixels, along, [(-1, -1), (1, 1)], None)
        if floats:
            # The eager op multiplies the pixel itself by 0. Compilers would replace this product by 0.
            finite = pt.lt(abs(x), np.asarray(np.inf, dtype))
            slope = pt.switch(finite, slope, np.asarray(np.nan, dtype))
        edges.append(_filtered(slope, across, [(-1, 1), (0, 2), (1, 1)], None))
    found = pt.stack(edges, axis=-1)
    if not floats:
        # What the dtype cannot represent overflows, as in the eager op.
        least, count = int(np.iinfo(dtype).min), 2 ** np.iinfo(dtype).bits
        found = cast((found - least) % count + least, dtype)
    return Tensor(found)


def _filtered(
    x: TensorVariable, axis: int, terms: Sequence[tuple[int, Any]], border: float | None
) -> TensorVariable:
    """Return the sum of the elements at some distances along an axis, each times its weight.

    terms: the distances and the weights.
    border: the value outside of the inputs. None repeats the element at the edge.
    """
    length = size_of(x, axis)
    before = max(0, -min(distance for distance, _ in terms))
    after = max(0, max(distance for distance, _ in terms))

    def edge(width: int, end: Any) -> list[TensorVariable]:
        if not width:
            return []
        one = x[(*[slice(None)] * axis, end)]
        one = one if border is None else pt.full_like(one, border)
        return [pt.repeat(one, width, axis=axis)]

    whole = pt.concatenate([*edge(before, slice(0, 1)), x, *edge(after, slice(-1, None))], axis=axis)
    total = None
    for distance, weight in terms:
        start = before + distance
        part = whole[(*[slice(None)] * axis, slice(start, start + length))]
        part = part * (np.asarray(weight, x.type.dtype) if isinstance(weight, int) else weight)
        total = part if total is None else total + part
    return total


def _converted(x: Any) -> TensorVariable:
    """Return the variable for `x` in the dtype that Keras converts it to: 64 bits become 32."""
    return as_node(x, common_dtype(x))
