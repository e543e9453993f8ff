"""Fourier transforms. Complex numbers are pairs of their real and imaginary parts.

The gradient of a linear map is its adjoint, which is again a Fourier transform.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from keras.src.backend.config import floatx
from pytensor.tensor.variable import TensorVariable

from keras_theano.symbolic.filling import filled
from keras_theano.symbolic.numpy import pad
from keras_theano.symbolic.sizes import sizes_of
from keras_theano.symbolic.spectral_windows import weights_of_frame, weights_that_restore
from keras_theano.tracing.computed import computed
from keras_theano.tracing.tensor import Tensor, as_node, common_dtype

Parts = tuple[Tensor, Tensor]


def fft(x: Any) -> Parts:
    """Transform the last axis."""
    return _transformed(x, "fft", 1)


def fft2(x: Any) -> Parts:
    """Transform the last two axes."""
    return _transformed(x, "fft2", 2)


def ifft2(x: Any) -> Parts:
    """Transform the last two axes back."""
    return _transformed(x, "ifft2", 2)


def rfft(x: Any, fft_length: int | None = None) -> Parts:
    """Transform the last axis of real numbers. Returns fft_length // 2 + 1 numbers.

    fft_length: to which length the axis is cut, or padded with zeros. None keeps its length.
    """
    real, imaginary = _of_real(as_node(x), fft_length)
    return Tensor(real), Tensor(imaginary)


def irfft(x: Any, fft_length: int | None = None) -> Tensor:
    """Return the fft_length real numbers whose transform is `x`. None means 2 * (the length of x - 1)."""
    real, imaginary = _parts(x)
    return Tensor(_to_real(real, imaginary, fft_length))


def stft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> Parts:
    """Transform overlapping frames of the last axis.

    Returns shape (..., frames, fft_length // 2 + 1).
    """
    node = as_node(x, common_dtype(x))
    if node.type.dtype not in ("float32", "float64"):
        raise TypeError(
            f"Invalid input type. Expected `float32` or `float64`. Received: input type={node.type.dtype}"
        )
    if fft_length < sequence_length:
        raise ValueError(
            "`fft_length` must equal or larger than `sequence_length`. "
            f"Received: sequence_length={sequence_length}, fft_length={fft_length}"
        )
    if isinstance(window, str) and window not in ("hann", "hamming"):
        raise ValueError(
            "If a string is passed to `window`, it must be one of "
            f'`"hann"`, `"hamming"`. Received: window={window}'
        )
    if center:
        width = [*[(0, 0)] * (node.type.ndim - 1), (fft_length // 2, fft_length // 2)]
        node = pad(Tensor(node), width, "reflect").node
    weights = weights_of_frame(window, sequence_length, fft_length).astype(node.type.dtype)
    real, imaginary = _of_real(_frames(node, fft_length, sequence_stride) * weights, fft_length)
    return Tensor(real), Tensor(imaginary)


def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Tensor:
    """Add up overlapping frames, weighted in such a way that they restore the signal where they overlap
    fully.

    x: shape (..., frames, fft_length // 2 + 1).
    length: the length of the signal. None keeps all samples, without half a frame at both ends if `center`.
    """
    real, imaginary = _parts(x)
    weights = weights_that_restore(window, sequence_length, sequence_stride, fft_length)
    frames = _to_real(real, imaginary, fft_length) * weights.astype(real.type.dtype)
    signal = _added_up(frames, sequence_stride)
    start = fft_length // 2 if center else 0
    end = signal.shape[-1] - start if length is None else start + length
    return Tensor(signal[..., start:end])


# Graphs -------------------------------------------------------------------------------------------


def _parts(x: Any) -> tuple[TensorVariable, TensorVariable]:
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ValueError(f"Input `x` should be a tuple of two tensors - real and imaginary. Received: x={x}")
    real, imaginary = as_node(x[0]), as_node(x[1])
    shapes = real.type.shape, imaginary.type.shape
    if len(shapes[0]) != len(shapes[1]) or any(
        None not in pair and pair[0] != pair[1] for pair in zip(*shapes, strict=True)
    ):
        raise ValueError(
            "Both the real and imaginary parts should have the same shape. "
            f"Received: x[0].shape = {shapes[0]}, x[1].shape = {shapes[1]}"
        )
    if not all(part.type.dtype.startswith("float") for part in (real, imaginary)):
        raise ValueError(f"At least one tensor in input `x` is not of type float. Received: x={x}.")
    return real, imaginary


def _transformed(x: Any, name: str, axes: int) -> Parts:
    real, imaginary = _parts(x)
    if real.type.ndim < axes:
        raise ValueError(f"{name} transforms {axes} axes. Received: shape {real.type.shape}")
    found = _complex(real, imaginary, name)
    return Tensor(found[0]), Tensor(found[1])


def _complex(real: Any, imaginary: Any, name: str) -> list[Any]:
    both = np.result_type(real.type.dtype, imaginary.type.dtype).name
    shape = [a if b is None else b for a, b in zip(real.type.shape, imaginary.type.shape, strict=True)]
    # The dtypes are those of the eager functions.
    dtype = both if name == "ifft2" else real.type.dtype
    return computed(
        _transform, [real, imaginary], [(dtype, shape)] * 2, gradient=_adjoint_of_transform, name=name
    )


def _adjoint_of_transform(inputs: Any, _: Any, upstream: Sequence[Any], name: str) -> list[Any]:
    # The matrix of a transform is symmetric, so its adjoint is its complex conjugate.
    real, imaginary = _complex(upstream[0], -upstream[1], name)
    return [part.astype(given.type.dtype) for part, given in zip((real, -imaginary), inputs, strict=True)]


def _of_real(x: Any, length: int | None) -> list[Any]:
    x = x if x.type.dtype.startswith("float") else x.astype(floatx())
    size = length if length is not None else x.type.shape[-1]
    shape = (*x.type.shape[:-1], None if size is None else size // 2 + 1)
    return computed(
        _real_transform, [x], [(x.type.dtype, shape)] * 2, gradient=_adjoint_of_real_transform, length=length
    )


def _adjoint_of_real_transform(inputs: Any, _: Any, upstream: Sequence[Any], length: int | None) -> list[Any]:
    (x,), size = inputs, inputs[0].shape[-1]
    long = size if length is None else pt.constant(length)
    shares = _shares(upstream[0].shape[-1], long, x.type.dtype)
    real, imaginary = [part / shares for part in upstream]
    found = _with_length(real, imaginary, long)[0] * long.astype(x.type.dtype)
    return [pt.specify_shape(_resized(found, size), x.type.shape)]


def _to_real(real: Any, imaginary: Any, length: int | None) -> Any:
    size = real.type.shape[-1]
    long = length if length is not None else None if size is None else 2 * (size - 1)
    count = 2 * (real.shape[-1] - 1) if long is None else pt.constant(long)
    return _with_length(real, imaginary, count, long)[0]


def _with_length(real: Any, imaginary: Any, length: Any, known: int | None = None) -> list[Any]:
    """Return the real numbers with this transform.

    length: how many. known: their number, if it is known before the step runs.
    """
    return computed(
        _inverse_of_real,
        [real, imaginary, length.astype("int64")],
        [(real.type.dtype, (*real.type.shape[:-1], known))],
        gradient=_adjoint_of_inverse,
    )


def _adjoint_of_inverse(inputs: Any, outputs: Any, upstream: Sequence[Any]) -> list[Any]:
    real, imaginary, length = inputs
    dtype = real.type.dtype
    parts = _of_real(upstream[0], None)
    shares = _shares(parts[0].shape[-1], length, dtype) / length.astype(dtype)
    found = [_resized(part * shares, real.shape[-1]) for part in parts]
    return [
        *[
            pt.specify_shape(part.astype(given.type.dtype), given.type.shape)
            for part, given in zip(found, (real, imaginary), strict=True)
        ],
        None,
    ]


def _shares(size: Any, length: Any, dtype: str) -> Any:
    """Return how often a frequency occurs in the transform of `length` real numbers. Only the first, and for
    an even length the last, have no second one with the opposite sign.
    """
    place = pt.arange(size)
    alone = pt.or_(pt.eq(place, 0), pt.eq(2 * place, length))
    return pt.switch(alone, np.asarray(1, dtype), np.asarray(2, dtype))


def _resized(x: Any, size: Any) -> Any:
    """Return the first numbers of the last axis, with zeros where there are too few."""
    part = x[..., :size]
    missing = pt.maximum(size - x.shape[-1], 0)
    zeros = filled(as_node(0, x.type.dtype), [*sizes_of(x)[:-1], missing])
    return pt.concatenate([part, zeros], axis=-1)


def _frames(x: Any, length: int, stride: int) -> Any:
    size = x.type.shape[-1]
    count = None if size is None else max((size - length) // stride + 1, 0)
    return computed(
        _cut,
        [x],
        [(x.type.dtype, (*x.type.shape[:-1], count, length))],
        gradient=_adjoint_of_cut,
        length=length,
        stride=stride,
    )[0]


def _adjoint_of_cut(inputs: Any, _: Any, upstream: Sequence[Any], length: int, stride: int) -> list[Any]:
    (x,) = inputs
    return [pt.specify_shape(_resized(_added_up(upstream[0], stride), x.shape[-1]), x.type.shape)]


def _added_up(frames: Any, stride: int) -> Any:
    count, length = frames.type.shape[-2:]
    size = None if count is None or length is None else length + stride * (count - 1)
    return computed(
        _add_up,
        [frames],
        [(frames.type.dtype, (*frames.type.shape[:-2], size))],
        gradient=_adjoint_of_add_up,
        stride=stride,
    )[0]


def _adjoint_of_add_up(inputs: Any, _: Any, upstream: Sequence[Any], stride: int) -> list[Any]:
    (frames,) = inputs
    return [_frames(upstream[0], frames.type.shape[-1], stride)]


# Arrays -------------------------------------------------------------------------------------------


def _transform(real: Any, imaginary: Any, *, name: str) -> Any:
    found = getattr(np.fft, name)(real + 1j * imaginary)
    return found.real, found.imag


def _real_transform(x: Any, *, length: int | None) -> Any:
    found = np.fft.rfft(x, length)
    return found.real, found.imag


def _inverse_of_real(real: Any, imaginary: Any, length: Any) -> Any:
    return np.fft.irfft(real + 1j * imaginary, int(length))


def _cut(x: Any, *, length: int, stride: int) -> Any:
    if x.shape[-1] < length:
        return np.empty((*x.shape[:-1], 0, length), x.dtype)
    return np.lib.stride_tricks.sliding_window_view(x, length, axis=-1)[..., ::stride, :].copy()


def _add_up(frames: Any, *, stride: int) -> Any:
    count, length = frames.shape[-2:]
    whole = np.zeros((*frames.shape[:-2], length + stride * (count - 1) if count else 0), frames.dtype)
    for n in range(count):
        whole[..., n * stride : n * stride + length] += frames[..., n, :]
    return whole
