"""Resizing of images. It is linear in the pixels, so along each axis it is a product with a matrix."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from keras.src.backend import standardize_data_format
from pytensor.tensor.variable import TensorVariable

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.symbolic.filling import filled
from keras_theano.symbolic.sizes import size_of
from keras_theano.tracing.conditional import ifelse
from keras_theano.tracing.tensor import Tensor, as_node, cast, common_dtype

eager = numpy_ops("image")
Kernel = Callable[[TensorVariable], TensorVariable]


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
        of the height.
    size: the new height and width.
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
    shape = [target[axes.index(axis)] if axis in axes else n for axis, n in enumerate(x.type.shape)]
    if crop_to_aspect_ratio:
        x = _cropped(x, axes, target)
    elif pad_to_aspect_ratio:
        x = _padded(x, axes, target, fill_value)
    if interpolation == "nearest":
        for axis, length in zip(axes, target, strict=True):
            x = _with_nearest(x, axis, length)
        return Tensor(pt.specify_shape(x, shape))

    def along_both(pixels: TensorVariable) -> TensorVariable:
        for axis, length in zip(axes, target, strict=True):
            pixels = _interpolated(pixels, axis, length, interpolation, antialias)
        return pixels

    return Tensor(pt.specify_shape(_in_floats(x, along_both), shape))


def scale_and_translate(
    images: Any,
    output_shape: Sequence[int],
    scale: Any,
    translation: Any,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> Tensor:
    """Move the pixel at p to p * scale + translation along some axes, and interpolate. What lies outside of
    the images is 0.

    images: any shape.
    output_shape: the sizes of all axes of the result.
    scale, translation: one number for each of `spatial_dims`. Both have gradients.
    spatial_dims: the numbers of the axes.
    """
    x = as_node(images, common_dtype(images))
    if method not in eager.SCALE_AND_TRANSLATE_METHODS:
        raise ValueError(
            "Invalid value for argument `method`. Expected of one "
            f"{eager.SCALE_AND_TRANSLATE_METHODS}. Received: method={method}"
        )
    dtype = common_dtype(scale, translation)
    dtype = dtype if dtype.startswith("float") else "float64"
    scales, shifts = as_node(scale, dtype), as_node(translation, dtype)

    def along_all(pixels: TensorVariable) -> TensorVariable:
        for n, dim in enumerate(spatial_dims):
            axis = dim % x.type.ndim
            matrix = _weights(
                size_of(x, axis), int(output_shape[axis]), scales[n], shifts[n], _KERNELS[method], antialias
            )
            pixels = _multiplied(pixels, axis, cast(matrix, pixels.type.dtype).T)
        return pixels

    return Tensor(_in_floats(x, along_all) if len(spatial_dims) else x)


def _in_floats(x: TensorVariable, interpolate: Callable[[TensorVariable], TensorVariable]) -> TensorVariable:
    """Return what `interpolate` makes of images. Whole numbers become float32 and are rounded afterwards, and
    no result is beyond their least and greatest.
    """
    dtype = x.type.dtype
    if dtype.startswith(("float", "complex")):
        return interpolate(x)
    return cast(pt.clip(pt.round(interpolate(cast(x, "float32"))), x.min(), x.max()), dtype)


def _with_nearest(x: TensorVariable, axis: int, length: int) -> TensorVariable:
    before = size_of(x, axis)
    if before == length:
        return x
    steps = np.arange(length, dtype="float32") + np.float32(0.5)
    if isinstance(before, int):
        return pt.take(x, np.floor(steps * before / length).astype("int32"), axis=axis)
    places = pt.floor(steps * cast(before, "float32") / np.float32(length))
    return pt.take(x, cast(places, "int64"), axis=axis)


def _interpolated(
    x: TensorVariable, axis: int, length: int, interpolation: str, antialias: bool
) -> TensorVariable:
    before = size_of(x, axis)
    if before == length:
        return x
    if isinstance(before, int):
        # The eager op makes the matrix of the interpolation out of the identity matrix.
        matrix = eager.resize(
            np.eye(before)[:, :, None],
            (length, before),
            interpolation,
            antialias,
            data_format="channels_last",
        )
        return _multiplied(x, axis, matrix[:, :, 0].astype(x.type.dtype))
    scale = np.float64(length) / cast(before, "float64")
    shift = pt.zeros_like(scale)
    matrix = _weights(before, length, scale, shift, _KERNELS[interpolation], antialias)
    # An axis that keeps its size is not multiplied, because a product with an infinity has NaN.
    return ifelse(  # type: ignore[no-any-return]
        pt.eq(before, length), x, _multiplied(x, axis, cast(matrix, x.type.dtype).T)
    )


def _multiplied(x: TensorVariable, axis: int, matrix: Any) -> TensorVariable:
    """Return the images with an axis multiplied by a matrix, whose shape is (size after, size before)."""
    return pt.moveaxis(pt.tensordot(matrix, x, axes=(1, axis)), 0, axis)


def _weights(
    before: Any, after: int, scale: TensorVariable, shift: TensorVariable, kernel: Kernel, antialias: bool
) -> TensorVariable:
    """Return the share that each old pixel has in each new one, shape (before, after).

    before, after: the sizes of an axis.
    scale, shift: where the pixels of the axis go, as in `scale_and_translate`. The dtype of the result.
    kernel: the weight of a pixel at a distance, in pixels.
    antialias: whether the kernel becomes wider if the images become smaller.
    """
    dtype = scale.type.dtype
    half, one = np.asarray(0.5, dtype), np.asarray(1, dtype)
    inverse = one / scale
    source = (pt.arange(after, dtype=dtype) + half) * inverse - shift * inverse - half
    apart = abs(source[None, :] - pt.arange(before, dtype=dtype)[:, None])
    weights = kernel(apart / pt.maximum(inverse, one) if antialias else apart)
    total = weights.sum(axis=0, keepdims=True)
    least = np.asarray(1000.0 * np.finfo("float32").eps, dtype)
    weights = pt.switch(abs(total) > least, weights / pt.switch(pt.eq(total, 0), one, total), 0 * one)
    last = cast(pt.as_tensor_variable(before), dtype) - half
    return pt.switch(((source >= -half) & (source <= last))[None, :], weights, 0 * one)


def _triangle(x: TensorVariable) -> TensorVariable:
    one = np.asarray(1, x.type.dtype)
    return pt.maximum(0 * one, one - x)


def _cubic(x: TensorVariable) -> TensorVariable:
    """Keys's kernel with the parameter -0.5 (https://doi.org/10.1109/TASSP.1981.1163711)."""
    half, one, two, three, four, five = (np.asarray(n, x.type.dtype) for n in (0.5, 1, 2, 3, 4, 5))
    near = (three * half * x - five * half) * x * x + one
    far = ((five * half - half * x) * x - four) * x + two
    return pt.switch(x >= two, 0 * one, pt.switch(x >= one, far, near))


def _lanczos(radius: int) -> Kernel:
    def kernel(x: TensorVariable) -> TensorVariable:
        pi, reach, one, tiny = (np.asarray(n, x.type.dtype) for n in (np.pi, radius, 1, 1e-3))
        angle = pi * x
        square = pt.switch(pt.eq(x, 0), one, angle**2)
        wave = reach * pt.sin(angle) * pt.sin(angle / reach) / square
        return pt.switch(x > reach, 0 * one, pt.switch(x > tiny, wave, one))

    return kernel


_KERNELS: dict[str, Kernel] = {
    **dict.fromkeys(("linear", "bilinear", "trilinear", "triangle"), _triangle),
    **dict.fromkeys(("cubic", "bicubic", "tricubic"), _cubic),
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
}


# Sizes are ints, or symbolic scalars where they are not known before the step runs.


def _cropped(x: TensorVariable, axes: Sequence[int], target: Sequence[int]) -> TensorVariable:
    """Return the middle part of the images that has the aspect ratio of the target."""
    sizes = [size_of(x, axis) for axis in axes]
    for own, other in ((0, 1), (1, 0)):
        length = _greater(_less(sizes[own], _share(sizes[other], target[own], target[other])), 1)
        start = (sizes[own] - length) // 2
        x = x[(*[slice(None)] * axes[own], slice(start, start + length))]
    return x


def _padded(x: TensorVariable, axes: Sequence[int], target: Sequence[int], value: float) -> TensorVariable:
    """Return the images with a border of `value` along one of the axes, of the same width on both sides."""
    sizes = [size_of(x, axis) for axis in axes]
    for own, other in ((0, 1), (1, 0)):
        needed = _greater(sizes[own], _share(sizes[other], target[own], target[other]))
        border = (needed - sizes[own]) // 2
        if isinstance(border, int) and border == 0:
            continue
        shape = [border if axis == axes[own] else size_of(x, axis) for axis in range(x.type.ndim)]
        edge = filled(as_node(value, x.type.dtype), shape)
        x = pt.concatenate([edge, x, edge], axis=axes[own])
    return x


def _share(length: Any, numerator: int, denominator: int) -> Any:
    """Return length * numerator / denominator without the fraction."""
    if isinstance(length, int):
        return int(float(length * numerator) / denominator)
    return cast(cast(length * numerator, "float64") / np.float64(denominator), "int64")


def _less(a: Any, b: Any) -> Any:
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else pt.minimum(a, b)


def _greater(a: Any, b: Any) -> Any:
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else pt.maximum(a, b)
