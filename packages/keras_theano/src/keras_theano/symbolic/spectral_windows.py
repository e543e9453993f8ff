"""Windows for short-time Fourier transforms. This module does not need PyTensor."""

from typing import Any

import numpy as np


def weights_of_frame(window: Any, sequence_length: int, fft_length: int) -> Any:
    """Return the weights of the samples of a frame.

    window: the name of a window, or its weights, shape (sequence_length,). None weighs the whole frame with
        1.
    Returns float64 of shape (fft_length,). The window lies in the middle.
    """
    from scipy.signal import get_window

    if window is None:
        return np.ones(fft_length)
    weights = get_window(window, sequence_length) if isinstance(window, str) else np.asarray(window)
    if weights.shape != (sequence_length,):
        raise ValueError(
            "The shape of `window` must be equal to [sequence_length]. "
            f"Received: window shape={weights.shape}"
        )
    before = (fft_length - sequence_length) // 2
    return np.pad(weights.astype("float64"), (before, fft_length - sequence_length - before))


def weights_that_restore(window: Any, sequence_length: int, sequence_stride: int, fft_length: int) -> Any:
    """Return the weights with which overlapping frames add up to the signal where they overlap fully. This is
    how the other backends of Keras treat the ends of the signal, where fewer frames overlap.
    """
    if window is None:
        return np.ones(fft_length)
    weights = weights_of_frame(window, sequence_length, fft_length)
    overlapping = -(-fft_length // sequence_stride)
    squares = np.pad(weights**2, (0, overlapping * sequence_stride - fft_length))
    total = squares.reshape(overlapping, sequence_stride).sum(axis=0)
    return weights / np.tile(total, overlapping)[:fft_length]
