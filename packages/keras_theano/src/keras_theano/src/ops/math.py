"""keras.ops.math: top_k, segments, Fourier transforms, special functions."""

from typing import Any

import numpy as np

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.dispatch import namespace
from keras_theano.symbolic.spectral_windows import weights_that_restore

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
    """Add up overlapping frames. At the ends of the signal, where fewer frames overlap, Keras's NumPy
    function differs from the other backends of Keras.
    """
    real, imaginary = x
    frames = np.fft.irfft(np.asarray(real) + 1j * np.asarray(imaginary), fft_length)
    frames = frames * weights_that_restore(window, sequence_length, sequence_stride, fft_length)
    count = frames.shape[-2]
    whole = np.zeros((*frames.shape[:-2], fft_length + sequence_stride * (count - 1)), frames.dtype)
    for n in range(count):
        whole[..., n * sequence_stride : n * sequence_stride + fft_length] += frames[..., n, :]
    start = fft_length // 2 if center else 0
    end = whole.shape[-1] - start if length is None else start + length
    return whole[..., start:end].astype(np.asarray(real).dtype)


globals().update(namespace(eager, fft=_fft, fft2=_fft2, istft=_istft))
