"""Images at places between their pixels, for recorded and for eager code.

The functions take PyTensor's variables or NumPy's arrays, and use only what both have in common. `xp` is the
module that belongs to them, pytensor.tensor or numpy. So both kinds of code give the same images, and this
module does not need PyTensor.

A place may lie anywhere. Which pixel the fill mode puts outside of an image is found by arithmetic with
indices. An image with a border as wide as the farthest place is never made.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from keras.src.backend import standardize_data_format

from keras_theano.symbolic.sizes import size_of

ORDERS = {"nearest": 0, "bilinear": 1}
FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")

# A greater index would not fit into 64 bits. Numbers that are not finite have no index either.
_BEYOND = 2.0**62


class _Neighbour(NamedTuple):
    """A pixel along one axis that a value is computed from.

    inside: whether the pixel lies in the image. None if the fill mode puts pixels of the image outside.
    weight: None stands for 1.
    """

    index: Any
    inside: Any
    weight: Any


def sampled(
    xp: Any, images: Any, places: Sequence[Any], order: int, fill_mode: str, fill_value: float
) -> Any:
    """Return the values of images at some places.

    images: shape (batch, *spatial, channels).
    places: the coordinates along each of the spatial axes, in pixels. float64, shape (batch, points), or
        (1, points) for the same places in all images.
    order: 0 takes the nearest pixel, and the following one if two are equally near. 1 interpolates linearly.
    fill_mode: what lies outside of an image: one of FILL_MODES.
    fill_value: the value outside of an image in the mode "constant".

    Returns shape (batch, points, channels), in the dtype of the images. Whole numbers are interpolated in
    float64 and rounded, halves away from 0. A coordinate that is not finite gives NaN if order is 1.
    """
    batch, points, channels = size_of(images, 0), size_of(places[0], 1), size_of(images, len(places) + 1)
    lengths = [size_of(images, axis + 1) for axis in range(len(places))]
    dtype = str(images.dtype)
    whole = order == 1 and not dtype.startswith(("float", "complex"))
    fill = np.asarray(fill_value).astype(dtype)
    if whole:
        images, fill = images.astype("float64"), fill.astype("float64")
    flat = images.reshape((-1, channels))
    first = xp.arange(batch, dtype="int64")[:, None]
    sides = zip(places, lengths, strict=True)
    neighbours = [_neighbours(xp, place, length, order, fill_mode) for place, length in sides]
    total: Any = None
    for corner in product(*neighbours):
        rows: Any = first
        weight: Any = None
        inside: Any = None
        for length, neighbour in zip(lengths, corner, strict=True):
            rows = rows * length + neighbour.index
            weight = neighbour.weight if weight is None else weight * neighbour.weight
            inside = neighbour.inside if inside is None else inside & neighbour.inside
        values = flat[rows.reshape((-1,))].reshape((batch, points, channels))
        if inside is not None:
            values = xp.where(inside[:, :, None], values, fill)
        if weight is not None:
            values = values * weight.astype(_REAL.get(dtype, str(flat.dtype)))[:, :, None]
        total = values if total is None else total + values
    if whole:
        total = xp.where(total > 0, xp.floor(total + 0.5), xp.ceil(total - 0.5)).astype(dtype)
    return total


_REAL = {"complex64": "float32", "complex128": "float64"}


def _neighbours(xp: Any, place: Any, length: Any, order: int, fill_mode: str) -> list[_Neighbour]:
    """Return the one or two pixels along an axis that the value at a place is computed from."""
    before = xp.floor(place + 0.5 if order == 0 else place)
    index = xp.where(abs(before) < _BEYOND, before, -1.0).astype("int64")
    if order == 0:
        return [_Neighbour(*_pixel(xp, index, length, fill_mode), None)]
    share = place - before
    return [
        _Neighbour(*_pixel(xp, index + step, length, fill_mode), weight)
        for step, weight in ((0, 1.0 - share), (1, share))
    ]


def _pixel(xp: Any, index: Any, length: Any, fill_mode: str) -> tuple[Any, Any]:
    """Return the index of the pixel that the fill mode puts at `index`, and what `_Neighbour.inside` is."""
    if fill_mode == "wrap":
        return index % length, None
    if fill_mode == "mirror":  # dcb|abcd|cba
        period = xp.maximum(2 * length - 2, 1)
        index = index % period
        return xp.minimum(index, period - index), None
    if fill_mode == "reflect":  # cba|abcd|dcb
        index = index % (2 * length)
        return xp.minimum(index, 2 * length - 1 - index), None
    inside = (index >= 0) & (index < length) if fill_mode == "constant" else None
    return xp.clip(index, 0, length - 1), inside


def transformed(
    xp: Any,
    images: Any,
    transforms: Any,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
    data_format: str | None,
) -> Any:
    """Return images in which the pixel at (x, y) is the one that the inputs have at
    ((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k), where k = c0 x + c1 y + 1.

    images: shape (batch, height, width, channels) or (height, width, channels), or with the channels in front
        of the height if `data_format` says so.
    transforms: a0, a1, a2, b0, b1, b2, c0 and c1. float64, shape (batch, 8), or (8,) for all images.
    """
    of_each = transforms if transforms.ndim == 2 else transforms[None]

    def move(batch: Any) -> Any:
        a0, a1, a2, b0, b1, b2, c0, c1 = [of_each[:, n, None, None] for n in range(8)]
        height, width = size_of(batch, 1), size_of(batch, 2)
        y = xp.arange(height, dtype="float64")[None, :, None]
        x = xp.arange(width, dtype="float64")[None, None, :]
        k = c0 * x + c1 * y + 1.0
        points = height * width
        places = [
            (along / k).reshape((size_of(along, 0), points))
            for along in (b0 * x + b1 * y + b2, a0 * x + a1 * y + a2)
        ]
        return sampled(xp, batch, places, ORDERS[interpolation], fill_mode, fill_value)

    return _of_batch(move, images, data_format)


def displaced(
    xp: Any,
    images: Any,
    noise: Any,
    alpha: Any,
    sigma: Any,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
    data_format: str | None,
) -> Any:
    """Return images in which each pixel is taken from a place nearby.

    images: as for `transformed`.
    noise: how far the pixels are moved down and to the right. float64, shape (2, batch, height, width).
    alpha, sigma: float64, shape (). The noise is multiplied by both and blurred with a Gaussian kernel whose
        standard deviation is `sigma` pixels, and whose size is int(6 * sigma), or one more if that is even.
    """

    def move(batch: Any) -> Any:
        height, width = size_of(batch, 1), size_of(batch, 2)
        columns = xp.tensordot(noise * sigma, _blurring(xp, width, sigma), axes=(3, 0))
        blurred = xp.tensordot(columns, _blurring(xp, height, sigma), axes=(2, 0)).transpose(0, 1, 3, 2)
        y = xp.arange(height, dtype="float64")[None, :, None]
        x = xp.arange(width, dtype="float64")[None, None, :]
        places = [
            (start + alpha * moved).reshape((size_of(moved, 0), height * width))
            for start, moved in ((y, blurred[0]), (x, blurred[1]))
        ]
        return sampled(xp, batch, places, ORDERS[interpolation], fill_mode, fill_value)

    return _of_batch(move, images, data_format)


def _blurring(xp: Any, length: Any, sigma: Any) -> Any:
    """Return the matrix that blurs an axis, shape (length, length)."""
    reach = xp.floor(6.0 * sigma) // 2.0
    at = xp.arange(length, dtype="float64")
    apart = abs(at[:, None] - at[None, :])
    # The matrix of an axis may be smaller than the kernel, whose sum is needed.
    far = xp.arange(1.0, reach + 1.0, dtype="float64")

    def weight(distance: Any) -> Any:
        # Without the condition, 0 / 0 would be NaN where sigma is 0.
        return xp.exp(-0.5 * xp.where(distance > 0, distance / sigma, 0.0) ** 2)

    return xp.where(apart <= reach, weight(apart), 0.0) / (1.0 + 2.0 * weight(far).sum())


def _of_batch(move: Callable[[Any], Any], images: Any, data_format: str | None) -> Any:
    """Apply a function of images in a batch with the channels last, which returns (batch, pixels, channels),
    and return the images in the layout of the inputs.
    """
    channels_last = standardize_data_format(data_format) == "channels_last"
    batch = images if images.ndim == 4 else images[None]
    batch = batch if channels_last else batch.transpose(0, 2, 3, 1)
    shape = tuple(size_of(batch, axis) for axis in range(4))
    moved = move(batch).reshape(shape)
    moved = moved if channels_last else moved.transpose(0, 3, 1, 2)
    return moved if images.ndim == 4 else moved[0]


def homography(xp: Any, solve: Callable[[Any, Any], Any], start: Any, end: Any) -> Any:
    """Return the transforms that take each end point to its start point, shape (batch, 8), for `transformed`.

    solve: solves systems of linear equations, as numpy.linalg.solve does.
    start, end: the x and y of four points for each image. float64, shape (batch, 4, 2).

    They are the solutions of eight linear equations, whose numbers are as large as the product of height and
    width. In float32 the solutions would have only three or four digits.
    """
    x, y = end[:, :, 0], end[:, :, 1]
    u, v = start[:, :, 0], start[:, :, 1]
    one, zero = xp.ones_like(x), xp.zeros_like(x)
    of_u = xp.stack([x, y, one, zero, zero, zero, -u * x, -u * y], axis=-1)
    of_v = xp.stack([zero, zero, zero, x, y, one, -v * x, -v * y], axis=-1)
    matrices = xp.concatenate([of_u, of_v], axis=1)
    return solve(matrices, xp.concatenate([u, v], axis=1)[:, :, None])[:, :, 0]


def require_images(images: Any, interpolation: str = "nearest", fill_mode: str = "constant") -> None:
    """Raise ValueError unless these are images, and a known interpolation and fill mode."""
    _require(interpolation in ORDERS, "interpolation", tuple(ORDERS), interpolation)
    _require(fill_mode in FILL_MODES, "fill_mode", FILL_MODES, fill_mode)
    if images.ndim not in (3, 4):
        raise ValueError(
            "Invalid images rank: expected rank 3 (single image) or rank 4 (batch of images). "
            f"Received input with shape: images.shape={shape_of(images)}"
        )


def require_transforms(images: Any, transforms: Any) -> None:
    """Raise ValueError unless there is one transform for each image or for all of them."""
    if transforms.ndim not in (1, 2):
        raise ValueError(
            "Invalid transform rank: expected rank 1 (single transform) or rank 2 (batch of transforms). "
            f"Received input with shape: transform.shape={shape_of(transforms)}"
        )
    count = shape_of(transforms)[0] if transforms.ndim == 2 else 1
    batch = shape_of(images)[0] if images.ndim == 4 else 1
    if shape_of(transforms)[-1] not in (8, None) or (None not in (count, batch) and count not in (1, batch)):
        raise ValueError(
            "expected eight numbers for each image or for all of them. Received: "
            f"images.shape={shape_of(images)}, transform.shape={shape_of(transforms)}"
        )


def require_points(start: Any, end: Any) -> None:
    """Raise ValueError unless these are the x and y of four points, or of four points for each image."""
    for name, points in (("start_points", start), ("end_points", end)):
        if points.ndim not in (2, 3) or shape_of(points)[-2:] != (4, 2):
            raise ValueError(
                f"Invalid {name} shape: expected (4,2) for a single image or (N,4,2) for a batch. "
                f"Received shape: {shape_of(points)}"
            )
    if shape_of(start) != shape_of(end):
        raise ValueError(
            "start_points and end_points must have the same shape. "
            f"Received start_points.shape={shape_of(start)}, end_points.shape={shape_of(end)}"
        )


def require_coordinates(inputs: Any, coordinates: Any, order: int, fill_mode: str) -> None:
    """Raise ValueError unless there is a coordinate for each axis of the inputs."""
    if shape_of(coordinates)[:1] not in ((inputs.ndim,), (None,)):
        raise ValueError(
            "First dim of `coordinates` must be the same as the rank of `inputs`. "
            f"Received inputs with shape: {shape_of(inputs)} and coordinates of shape {shape_of(coordinates)}"
        )
    if coordinates.ndim < 2:
        raise ValueError(
            "Invalid coordinates rank: expected at least rank 2. "
            f"Received input with shape: {shape_of(coordinates)}"
        )
    _require(fill_mode in FILL_MODES, "fill_mode", FILL_MODES, fill_mode)
    _require(order in ORDERS.values(), "order", tuple(ORDERS.values()), order)


def _require(known: bool, argument: str, expected: Any, received: Any) -> None:
    if not known:
        raise ValueError(
            f"Invalid value for argument `{argument}`. Expected one of {expected}. "
            f"Received: {argument}={received}"
        )


def shape_of(x: Any) -> tuple[Any, ...]:
    """Return the shape, with None for each size that is not known."""
    return tuple(x.type.shape if hasattr(x, "type") else x.shape)
