"""keras.ops.nn. Activations, normalization, losses, convolution and pooling can be traced."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras.src.backend import standardize_data_format

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src import eager_convolution
from keras_theano.src.dispatch import namespace
from keras_theano.symbolic.windows import pooled
from keras_theano.tracing.dtypes import as_array

eager = numpy_ops("nn")


def _dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Any:
    """Compute attention in which several heads of the query may share one head of the key and the value.
    Keras's own NumPy function does not support this.
    """
    if len(query.shape) == 4 and query.shape[2] != key.shape[2]:
        shared = query.shape[2] // key.shape[2]
        key, value = np.repeat(key, shared, axis=2), np.repeat(value, shared, axis=2)
    return eager.dot_product_attention(
        query, key, value, bias, mask, scale, is_causal, flash_attention, attn_logits_soft_cap
    )


def _one_hot(x: Any, num_classes: int | None, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    """Return one-hot vectors, which are all zeros for a value that is not a class: a number outside of
    [0, num_classes), NaN, or 1.5. Keras's own function raises IndexError for most of these.
    """
    if sparse:
        raise ValueError("one_hot is always dense on the Theano backend: sparse=True is not supported")
    values = np.asarray(x)
    classes = np.arange(num_classes or int(values.max()) + 1)
    return np.moveaxis((values[..., None] == classes).astype(dtype or "float32"), -1, axis)


def _multi_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    """Return vectors of which the elements for all classes in a row of `x` are 1."""
    values = as_array(x, "int32")
    hot = _one_hot(values, num_classes, axis, dtype, sparse)
    return hot.max(axis=1 if values.ndim > 1 else 0)


def _max_pool(
    inputs: Any,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    x = np.asarray(inputs)
    least = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else False if x.dtype == "bool" else -np.inf
    windows, axes = _windows(x, pool_size, strides, padding, data_format, least)
    return windows.max(axis=axes)


def _average_pool(
    inputs: Any,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    x = np.asarray(inputs)
    x = x if "float" in x.dtype.name else x.astype("float32")
    windows, axes = _windows(x, pool_size, strides, padding, data_format, 0)
    one_image = np.broadcast_to(np.ones((), "bool"), x.shape)
    inside, _ = _windows(one_image, pool_size, strides, padding, data_format, False)
    return (windows.sum(axis=axes) / inside.sum(axis=axes)).astype(x.dtype)


def _windows(
    x: Any,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None,
    padding: str,
    data_format: str | None,
    fill: Any,
) -> tuple[Any, tuple[int, ...]]:
    """Return a view of all windows, and the axes on which their elements lie.

    Keras's own pooling needs JAX, computes float64 in float32, and fails if the strides are None.

    fill: the number that stands for padding.
    """
    first = 1 if standardize_data_format(data_format) == "channels_last" else 2
    axes = tuple(range(first, first + x.ndim - 2))
    windows = pooled(x.shape[first : first + len(axes)], pool_size, strides, padding)
    width, index = [(0, 0)] * x.ndim, [slice(None)] * x.ndim
    for axis, (size, step, (count, before, after)) in zip(axes, windows, strict=True):
        # NumPy has no windows that are longer than the axis.
        width[axis] = (before, after) if count else (0, size)
        index[axis] = slice(0, count * step, step)
    padded = np.pad(x, width, constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(padded, [size for size, _, _ in windows], axes)
    return view[tuple(index)], tuple(range(x.ndim, x.ndim + len(axes)))


globals().update(
    namespace(
        eager,
        dot_product_attention=_dot_product_attention,
        max_pool=_max_pool,
        multi_hot=_multi_hot,
        one_hot=_one_hot,
        average_pool=_average_pool,
        conv=eager_convolution.conv,
        depthwise_conv=eager_convolution.depthwise_conv,
        separable_conv=eager_convolution.separable_conv,
        conv_transpose=eager_convolution.conv_transpose,
    )
)
