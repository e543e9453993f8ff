"""Segments, top-k, distances, Fourier transforms and special functions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from keras.src.backend.common.dtypes import result_type
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.symbolic.bounds import checked
from keras_theano.symbolic.filling import filled
from keras_theano.symbolic.fourier import fft as fft
from keras_theano.symbolic.fourier import fft2 as fft2
from keras_theano.symbolic.fourier import ifft2 as ifft2
from keras_theano.symbolic.fourier import irfft as irfft
from keras_theano.symbolic.fourier import istft as istft
from keras_theano.symbolic.fourier import rfft as rfft
from keras_theano.symbolic.fourier import stft as stft
from keras_theano.symbolic.nn import elementwise
from keras_theano.symbolic.sizes import sizes_of
from keras_theano.tracing.tensor import Tensor, as_node, cast, is_traced, traceable

eager = numpy_ops("math")

# Segments


@dataclass(frozen=True)
class Reduction:
    """A way to reduce several numbers to one.

    combine: reduces two arrays, element by element.
    reduce: reduces an array along an axis.
    empty: takes a dtype, and returns the result for no numbers at all.
    """

    combine: Callable[[TensorVariable, TensorVariable], TensorVariable]
    reduce: Callable[..., TensorVariable]
    empty: Callable[[Any], Any]


def _lowest(dtype: Any) -> Any:
    return -np.inf if np.dtype(dtype).kind == "f" else np.iinfo(dtype).min


def _highest(dtype: Any) -> Any:
    return np.inf if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max


MAX = Reduction(pt.maximum, pt.max, _lowest)
MIN = Reduction(pt.minimum, pt.min, _highest)
PROD = Reduction(pt.mul, pt.prod, lambda dtype: 1)


def grouped(data: TensorVariable, ids: TensorVariable, count: Any, reduction: Reduction) -> TensorVariable:
    """Reduce all rows of `data` that have the same number in `ids` to one row.

    data: shape (n, ...).
    ids: shape (n,).
    Returns shape (count, ...).

    This needs memory for count * data.size numbers, because addition is the only reduction that PyTensor can
    do in place.
    """
    mine = pt.eq(pt.arange(count, dtype="int64")[:, None], ids[None, :])
    mine = mine[(..., *[None] * (data.type.ndim - 1))]
    dtype = data.type.dtype
    rows = pt.switch(mine, data[None], as_node(reduction.empty(dtype), dtype))
    return cast(reduction.reduce(rows, axis=1), dtype)


def _count(segment_ids: Any, num_segments: Any) -> Any:
    if num_segments is not None:
        return as_node(num_segments, "int64") if is_traced(num_segments) else int(num_segments)
    if is_traced(segment_ids):
        return pt.maximum(pt.max(as_node(segment_ids, "int64")), -1) + 1
    return int(np.max(segment_ids)) + 1


def _in_segments(segment_ids: Any, count: Any) -> TensorVariable:
    """Return the ids. A negative id drops its row.

    Raises IndexError when the step runs, if an id is num_segments or greater.
    """
    ids = pt.maximum(as_node(segment_ids, "int64"), -1)
    message = "a segment id lies outside of the segments: it must be less than num_segments"
    return checked(ids, IndexError, message, pt.lt(ids, count))


def segment_sum(data: Any, segment_ids: Any, num_segments: Any = None, sorted: bool = False) -> Tensor:
    """Add up the rows of each segment. A negative id drops its row."""
    node, count = as_node(data), _count(segment_ids, num_segments)
    ids = _in_segments(segment_ids, count)
    # Dropped rows are added to an extra row, which is cut off at the end.
    sums = filled(as_node(0, node.type.dtype), [count + 1, *sizes_of(node)[1:]])
    return Tensor(pt.inc_subtensor(sums[pt.switch(ids < 0, count, ids)], node)[:-1])


def _segment(reduction: Reduction) -> Callable[..., Tensor]:
    def op(data: Any, segment_ids: Any, num_segments: Any = None, sorted: bool = False) -> Tensor:
        node = as_node(data)
        if reduction is not PROD and np.dtype(node.type.dtype).kind != "f":
            node = cast(node, "float64")  # as in NumPy, because the result for an empty segment is infinite
        count = _count(segment_ids, num_segments)
        return Tensor(grouped(node, _in_segments(segment_ids, count), count, reduction))

    return op


segment_max = _segment(MAX)
segment_min = _segment(MIN)
segment_prod = _segment(PROD)

# Order


def top_k(x: Any, k: int, sorted: bool = True, is_stable: bool = False) -> tuple[Tensor, Tensor]:
    """Return the k greatest numbers and their places. They are always sorted, with the greatest first.

    is_stable: whether the first of equal numbers comes first. Keras 3.16 passes this argument.
    """
    node = as_node(x)
    if is_stable:
        # This is the old name of the stable sort, the only one that PyTensor's Numba mode knows.
        order = node.shape[-1] - 1 - pt.argsort(node[..., ::-1], axis=-1, kind="mergesort")[..., -k:]
    else:
        order = pt.argsort(node, axis=-1)[..., -k:]
    if k > 1:
        # This must not be done for k = 1. If a reversed slice of size 1 is squeezed afterwards, PyTensor
        # 3.0.7 takes the last element for the first (local_dimshuffle_subtensor).
        order = order[..., ::-1]
    return Tensor(pt.take_along_axis(node, order, axis=-1)), Tensor(order)


def in_top_k(targets: Any, predictions: Any, k: int) -> Tensor:
    node = as_node(predictions)
    own = pt.take_along_axis(node, cast(as_node(targets), "int64")[..., None], axis=-1)
    # NaN counts as greater than any number. Counting needs no sort.
    greater = pt.sum(pt.invert(pt.le(node, own)), axis=-1)
    return Tensor(pt.and_(pt.lt(greater, k), pt.eq(own[..., 0], own[..., 0])))


# Sums and distances


def _logsumexp(
    x: TensorVariable, axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> TensorVariable:
    highest = disconnected_grad(pt.max(x, axis=axis, keepdims=True))
    highest = pt.switch(pt.isinf(highest), as_node(0, x.type.dtype), highest)
    total = pt.log(pt.sum(pt.exp(x - highest), axis=axis, keepdims=True)) + highest
    if keepdims:
        return total
    axes = range(x.type.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    return pt.squeeze(total, axis=tuple(n % x.type.ndim for n in axes))


logsumexp = elementwise(_logsumexp, eager.logsumexp)


def root(square: TensorVariable) -> TensorVariable:
    """Return the square root. Its derivative at 0 is 0 instead of infinity."""
    zero = pt.eq(square, 0)
    one = as_node(1, square.type.dtype)
    return pt.switch(zero, as_node(0, square.type.dtype), pt.sqrt(pt.switch(zero, one, square)))


def cdist(x: Any, y: Any) -> Tensor:
    """Return the Euclidean distances between rows.

    x: shape (..., n, features).
    y: shape (..., m, features).
    Returns shape (..., n, m).
    """
    first, second = as_node(x), as_node(y)
    if first.type.ndim < 2 or second.type.ndim < 2:
        raise ValueError("`cdist` inputs must have rank >= 2")
    ends = first.type.shape[-1], second.type.shape[-1]
    if None not in ends and ends[0] != ends[1]:
        raise ValueError("Last dimension of inputs to `cdist` must match")
    ones = [np.ones((1, 1), node.type.dtype) for node in (first, second)]
    name = traceable(str(eager.cdist(*ones).dtype))
    first, second = cast(first, name), cast(second, name)
    return Tensor(root(pt.sum(pt.sqr(first[..., :, None, :] - second[..., None, :, :]), axis=-1)))


def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Tensor:
    """Cut windows out of the last axis.

    x: shape (..., time).
    Returns shape (..., windows, sequence_length).
    """
    node = as_node(x)
    size = node.type.shape[-1]
    time = node.shape[-1] if size is None else size
    windows = (time - (sequence_length - sequence_stride)) // sequence_stride
    start = pt.arange(windows) if size is None else pt.constant(np.arange(windows))
    return Tensor(node[..., start[:, None] * sequence_stride + np.arange(sequence_length)[None, :]])


# Special functions


def _special(formula: Callable[[TensorVariable], TensorVariable], *others: Any) -> Callable[[Any], Tensor]:
    """Return the op for a special function.

    formula: computes the function.
    others: dtypes that the dtype of the result depends on, besides that of the argument.
    """

    def op(x: Any) -> Tensor:
        node = as_node(x)
        dtype = traceable(result_type(node.type.dtype, *others))
        working = node if node.type.dtype.startswith("float") else cast(node, "float64")
        return Tensor(cast(formula(working), dtype))

    return op


rsqrt = _special(lambda x: 1 / pt.sqrt(x))
erf = _special(pt.erf)
erfc = _special(pt.erfc, float)
erfinv = _special(pt.erfinv, float)


lgamma = _special(pt.gammaln, float)


def gammainc(x1: Any, x2: Any) -> Tensor:
    """Return the regularized lower incomplete gamma function of `x2` with the shape `x1`."""
    first, second = as_node(x1), as_node(x2)
    dtype = traceable(result_type(first.type.dtype, second.type.dtype, float))
    both = np.result_type(first.type.dtype, second.type.dtype)
    working = both.name if both.kind == "f" else "float64"
    return Tensor(cast(pt.gammainc(cast(first, working), cast(second, working)), dtype))


def logdet(x: Any) -> Tensor:
    """Return log |det x|. It is a sum over the diagonal of a triangular factor, because the determinant
    itself would overflow soon.
    """
    node = as_node(x)
    *batch, rows, columns = node.type.shape
    # Without the sizes, PyTensor's gradient of QR fails.
    node = pt.specify_shape(node, (*batch, rows or columns, columns or rows))
    _, factor = pt.linalg.qr(node, mode="economic")
    return Tensor(pt.sum(pt.log(pt.abs(pt.diagonal(factor, axis1=-2, axis2=-1))), axis=-1))
