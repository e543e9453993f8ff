"""Resizing of images. The other image functions are eager only."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
from keras.src.backend import standardize_data_format
from pytensor.tensor.variable import TensorVariable

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.tracing.tensor import Tensor, as_node, cast

eager = numpy_ops("image")


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
) -> Tensor:
    """Resize images.

    images: shape (batch, height, width, channels) or (height, width, channels), or with the channels in front
        of the height. The height and the width must be known before the call.

    Every interpolation is linear in the pixels along one axis. So the eager op, applied to the identity
    matrix, gives the matrix of the interpolation.
    """
    x = as_node(images)
    axes = (-3, -2) if standardize_data_format(data_format) == "channels_last" else (-2, -1)
    axes = tuple(axis % x.type.ndim for axis in axes)
    target = tuple(int(length) for length in size)
    # The eager op refuses whatever Keras refuses.
    eager.resize(
        np.zeros([1 if length is None else length for length in x.type.shape], "float32"),
        (1, 1),
        interpolation,
        crop_to_aspect_ratio=crop_to_aspect_ratio,
        pad_to_aspect_ratio=pad_to_aspect_ratio,
        fill_mode=fill_mode,
        data_format=data_format,
    )
    known = [x.type.shape[axis] for axis in axes]
    if None in known:
        raise NotImplementedError(
            f"the Theano backend only resizes images of known height and width. Received: {x.type.shape}"
        )
    if crop_to_aspect_ratio:
        x = _cropped(x, axes, known, target)
    elif pad_to_aspect_ratio:
        x = _padded(x, axes, known, target, fill_value)
    dtype, whole = x.type.dtype, not x.type.dtype.startswith(("float", "complex"))
    if whole and interpolation != "nearest":
        lowest, highest = x.min(), x.max()
        x = cast(x, "float32")
    resized = x
    for axis, length in zip(axes, target, strict=True):
        if x.type.shape[axis] == length:
            continue
        before = x.type.shape[axis]
        identity = np.eye(before)[:, :, None]
        matrix = eager.resize(
            identity, (length, before), interpolation, antialias, data_format="channels_last"
        )
        if interpolation == "nearest":
            resized = pt.take(resized, matrix[:, :, 0].argmax(axis=1), axis=axis)
        else:
            weights = matrix[:, :, 0].astype(resized.type.dtype)
            resized = pt.moveaxis(pt.tensordot(weights, resized, axes=(1, axis)), 0, axis)
    if whole and interpolation != "nearest":
        resized = cast(pt.clip(pt.round(resized), lowest, highest), dtype)
    shape = [target[axes.index(axis)] if axis in axes else n for axis, n in enumerate(x.type.shape)]
    return Tensor(pt.specify_shape(resized, shape))


def _cropped(x: TensorVariable, axes: Any, sizes: Any, target: Any) -> TensorVariable:
    """Return the middle part of the images that has the aspect ratio of the target."""
    for own, other in ((0, 1), (1, 0)):
        length = max(min(sizes[own], int(float(sizes[other] * target[own]) / target[other])), 1)
        start = int(float(sizes[own] - length) / 2)
        x = x[(*[slice(None)] * axes[own], slice(start, start + length))]
    return x


def _padded(x: TensorVariable, axes: Any, sizes: Any, target: Any, value: float) -> TensorVariable:
    """Return the images with a border of `value` along one of the axes, of the same width on both sides."""
    for own, other in ((0, 1), (1, 0)):
        border = (max(sizes[own], int(float(sizes[other] * target[own]) / target[other])) - sizes[own]) // 2
        if border > 0:
            shape = [border if axis == axes[own] else x.shape[axis] for axis in range(x.type.ndim)]
            edge = pt.full(shape, np.asarray(value, x.type.dtype))
            return pt.concatenate([edge, x, edge], axis=axes[own])
    return x
