"""keras.ops.math: top_k, segments, Fourier transforms, special functions."""

from typing import Any

import numpy as np

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.dispatch import namespace

eager = numpy_ops("math")

# ops.polar looks for it under this name.
_get_complex_tensor_from_tuple = eager._get_complex_tensor_from_tuple


def _fft(x: Any) -> Any:
    """Transform the last axis. Keras's own function needs JAX, and returns float32 for float64.

    x: the real and the imaginary parts.
    """
    return _in_parts(np.fft.fft, x)


def _fft2(x: Any) -> Any:
    """Transform the last two axes. `x` is as for `_fft`."""
    return _in_parts(np.fft.fft2, x)


def _in_parts(transform: Any, x: Any) -> Any:
    """Return the real and the imaginary parts of a transform, in the dtype of the real parts of `x`."""
    outputs = transform(_get_complex_tensor_from_tuple(x))
    return outputs.real.astype(x[0].dtype), outputs.imag.astype(x[0].dtype)


def _istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """Add up overlapping frames, weighted in such a way that they restore the signal where they overlap
    fully.
    This is how the other backends of Keras treat the ends of the signal, where fewer frames overlap. Keras's
    NumPy function differs from them there.
    """
    from scipy.signal import get_window

    real, imaginary = x
    frames = np.fft.irfft(np.asarray(real) + 1j * np.asarray(imaginary), fft_length)
    if window is not None:
        weights = get_window(window, sequence_length) if isinstance(window, str) else np.asarray(window)
        if weights.shape != (sequence_length,):
            raise ValueError(
                "The shape of `window` must be equal to [sequence_length]. "
                f"Received: window shape={weights.shape}"
            )
        before = (fft_length - sequence_length) // 2
        weights = np.pad(weights, (before, fft_length - sequence_length - before))
        overlapping = -(-fft_length // sequence_stride)
        squares = np.pad(weights**2, (0, overlapping * sequence_stride - fft_length))
        total = squares.reshape(overlapping, sequence_stride).sum(axis=0)
        frames = frames * (weights / np.tile(total, overlapping)[:fft_length])
    count = frames.shape[-2]
    whole = np.zeros((*frames.shape[:-2], fft_length + sequence_stride * (count - 1)), frames.dtype)
    for n in range(count):
        whole[..., n * sequence_stride : n * sequence_stride + fft_length] += frames[..., n, :]
    start = fft_length // 2 if center else 0
    end = whole.shape[-1] - start if length is None else start + length
    return whole[..., start:end].astype(np.asarray(real).dtype)


globals().update(namespace(eager, fft=_fft, fft2=_fft2, istft=_istft))
