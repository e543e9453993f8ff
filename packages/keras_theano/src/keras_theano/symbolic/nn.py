"""Activations, losses, normalization, convolution and pooling.

At a kink, a function has the gradient that JAX and TensorFlow choose (for relu: 0). If the branch that is not
taken has an infinite or NaN derivative, it does not spoil the gradient of the branch that is taken.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from keras.src.backend.config import epsilon as fuzz
from pytensor.gradient import disconnected_grad
from pytensor.tensor.special import Softmax
from pytensor.tensor.variable import TensorVariable

from keras_theano.hook.keras_versions import SPARSEMAX_PROJECTS, numpy_ops
from keras_theano.symbolic.bounds import checked
from keras_theano.symbolic.convolution import conv as conv
from keras_theano.symbolic.convolution import conv_transpose as conv_transpose
from keras_theano.symbolic.convolution import depthwise_conv as depthwise_conv
from keras_theano.symbolic.convolution import separable_conv as separable_conv
from keras_theano.symbolic.ctc import ctc_decode as ctc_decode
from keras_theano.symbolic.ctc import ctc_loss as ctc_loss
from keras_theano.symbolic.patches import fold as fold
from keras_theano.symbolic.patches import unfold as unfold
from keras_theano.symbolic.pooling import adaptive_average_pool as adaptive_average_pool
from keras_theano.symbolic.pooling import adaptive_max_pool as adaptive_max_pool
from keras_theano.symbolic.pooling import average_pool as average_pool
from keras_theano.symbolic.pooling import max_pool as max_pool
from keras_theano.tracing.tensor import Tensor, as_node, cast, common_dtype, shape_of, sizes, traceable

eager = numpy_ops("nn")

Formula = Callable[..., TensorVariable]


def elementwise(formula: Formula, eager_function: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return an op that takes one tensor and numbers.

    formula: computes the op on floats.
    eager_function: decides the dtype of the result, also for integers.
    """

    def op(x: Any, *args: Any, **kwargs: Any) -> Tensor:
        node = as_node(x)
        dtype = str(eager_function(np.ones((1,) * node.type.ndim, node.type.dtype), *args, **kwargs).dtype)
        return Tensor(cast(formula(_floats(node), *args, **kwargs), traceable(dtype)))

    op.__name__ = op.__qualname__ = formula.__name__
    return op


def _activation(formula: Formula) -> Callable[..., Tensor]:
    return elementwise(formula, getattr(eager, formula.__name__))


def _floats(node: TensorVariable) -> TensorVariable:
    return node if node.type.dtype.startswith(("float", "complex")) else cast(node, "float64")


def _like(x: TensorVariable, number: Any) -> TensorVariable:
    """Return `number` in the dtype of `x`. PyTensor would widen float32 for most decimal fractions."""
    return as_node(number, x.type.dtype)


def _widened(*nodes: TensorVariable | None) -> str:
    """Return the dtype that NumPy gives to arithmetic on these nodes whose result is a float."""
    dtype = np.result_type(*[node.type.dtype for node in nodes if node is not None])
    return traceable(dtype if dtype.kind in "fc" else np.result_type(dtype, "float16"))


@_activation
def relu(x: TensorVariable) -> TensorVariable:
    # The zero comes first, because PyTensor gives the gradient of a tie to the first argument. A switch would
    # do the same, but its branch is mispredicted for every second number, which makes a training step a third
    # slower.
    return pt.maximum(_like(x, 0), x)


@_activation
def relu6(x: TensorVariable) -> TensorVariable:
    return pt.minimum(_like(x, 6), pt.maximum(_like(x, 0), x))


@_activation
def sigmoid(x: TensorVariable) -> TensorVariable:
    return pt.sigmoid(x)


@_activation
def sparse_sigmoid(x: TensorVariable) -> TensorVariable:
    inside = _like(x, 0.5) * (x + 1)
    return pt.switch(x <= -1, _like(x, 0), pt.switch(x >= 1, _like(x, 1), inside))


@_activation
def tanh(x: TensorVariable) -> TensorVariable:
    return pt.tanh(x)


@_activation
def tanh_shrink(x: TensorVariable) -> TensorVariable:
    return x - pt.tanh(x)


def _positive_part(x: TensorVariable) -> TensorVariable:
    """Return max(x, 0) with a derivative of 1/2 at 0. PyTensor gives the gradient of a maximum's tie to the
    first argument.
    """
    return _like(x, 0.5) * (pt.maximum(x, _like(x, 0)) + pt.maximum(_like(x, 0), x))


def _beyond_positive_part(x: TensorVariable) -> TensorVariable:
    """Return softplus(x) - max(x, 0). The result is precise even if it is tiny."""
    return pt.log1p(pt.exp(-pt.abs(x)))


def _softplus(x: TensorVariable) -> TensorVariable:
    return _positive_part(x) + _beyond_positive_part(x)


@_activation
def softplus(x: TensorVariable) -> TensorVariable:
    return _softplus(x)


@_activation
def softsign(x: TensorVariable) -> TensorVariable:
    return x / (1 + pt.abs(x))


@_activation
def soft_shrink(x: TensorVariable, threshold: Any = 0.5) -> TensorVariable:
    edge = _like(x, threshold)
    return pt.switch(x > edge, x - edge, pt.switch(x < -edge, x + edge, _like(x, 0)))


@_activation
def sparse_plus(x: TensorVariable) -> TensorVariable:
    return pt.switch(x <= -1, _like(x, 0), pt.switch(x < 1, _like(x, 0.25) * pt.sqr(x + 1), x))


@_activation
def silu(x: TensorVariable) -> TensorVariable:
    return x * pt.sigmoid(x)


@_activation
def squareplus(x: TensorVariable, b: Any = 4) -> TensorVariable:
    return (x + pt.sqrt(pt.sqr(x) + _like(x, b))) / 2


@_activation
def log_sigmoid(x: TensorVariable) -> TensorVariable:
    return -_softplus(-x)


@_activation
def leaky_relu(x: TensorVariable, negative_slope: Any = 0.2) -> TensorVariable:
    return pt.maximum(x, _like(x, negative_slope) * x)


def _hard_sigmoid(x: TensorVariable) -> TensorVariable:
    line = x / 6 + _like(x, 0.5)
    return pt.switch(line <= 0, _like(x, 0), pt.switch(line >= 1, _like(x, 1), line))


@_activation
def hard_sigmoid(x: TensorVariable) -> TensorVariable:
    return _hard_sigmoid(x)


@_activation
def hard_silu(x: TensorVariable) -> TensorVariable:
    return x * _hard_sigmoid(x)


def _elu(x: TensorVariable, alpha: Any) -> TensorVariable:
    negative = pt.expm1(pt.minimum(x, _like(x, 0)))  # never infinite, because 0 times infinity would be NaN
    return pt.switch(x >= 0, x, _like(x, alpha) * negative)


@_activation
def elu(x: TensorVariable, alpha: Any = 1.0) -> TensorVariable:
    return _elu(x, alpha)


@_activation
def selu(x: TensorVariable) -> TensorVariable:
    # The constants come from https://arxiv.org/abs/1706.02515. They make mean 0 and variance 1 a fixed point.
    return _like(x, 1.0507009873554804934193349852946) * _elu(x, 1.6732632423543772848170429916717)


@_activation
def gelu(x: TensorVariable, approximate: bool = True) -> TensorVariable:
    if approximate:
        inner = _like(x, math.sqrt(2 / math.pi)) * (x + _like(x, 0.044715) * (x * x * x))
        return x * (_like(x, 0.5) * (1 + pt.tanh(inner)))
    return x * (pt.erf(x / _like(x, math.sqrt(2))) + 1) / 2


@_activation
def celu(x: TensorVariable, alpha: Any = 1.0) -> TensorVariable:
    scale = _like(x, alpha)
    return pt.switch(x >= 0, x, scale * pt.expm1(pt.minimum(x, _like(x, 0)) / scale))


def glu(x: Any, axis: int = -1) -> Tensor:
    node = as_node(x, common_dtype(x))
    size = node.type.shape[axis]
    if size is not None and size % 2:
        raise ValueError(
            f"axis size must be divisible by 2. Received: x.shape={node.type.shape}, axis={axis}"
        )
    half = (node.shape[axis] if size is None else size) // 2
    before = (slice(None),) * (axis % node.type.ndim)
    value, gate = node[(*before, slice(None, half))], node[(*before, slice(half, None))]
    return Tensor(cast(_floats(value) * pt.sigmoid(_floats(gate)), node.type.dtype))


@_activation
def hard_tanh(x: TensorVariable) -> TensorVariable:
    return pt.switch(x > 1, _like(x, 1), pt.switch(x < -1, _like(x, -1), x))


@_activation
def hard_shrink(x: TensorVariable, threshold: Any = 0.5) -> TensorVariable:
    return pt.switch(pt.abs(x) > _like(x, threshold), x, _like(x, 0))


@_activation
def threshold(x: TensorVariable, threshold: Any, default_value: Any) -> TensorVariable:
    return pt.switch(x > _like(x, threshold), x, _like(x, default_value))


@_activation
def softmax(x: TensorVariable, axis: int | Sequence[int] | None = -1) -> TensorVariable:
    return Softmax(axis=_axes(x, axis), inline=True)(x)


def _log_softmax(x: TensorVariable, axis: int | Sequence[int] | None) -> TensorVariable:
    # PyTensor's own op compiles a function in its gradient, which takes seconds even in the interpreter.
    axes = _axes(x, axis)
    below = x - disconnected_grad(pt.max(x, axis=axes, keepdims=True))
    return below - pt.log(pt.sum(pt.exp(below), axis=axes, keepdims=True))


@_activation
def log_softmax(x: TensorVariable, axis: int | Sequence[int] | None = -1) -> TensorVariable:
    return _log_softmax(x, axis)


def _axes(x: TensorVariable, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.type.ndim))
    return tuple(n % x.type.ndim for n in ([axis] if isinstance(axis, int) else axis))


@_activation
def sparsemax(x: TensorVariable, axis: int = -1) -> TensorVariable:
    """Compute sparsemax.

    From Keras 3.16 on, it is the projection of https://arxiv.org/abs/1602.02068. In earlier versions, all
    backends of Keras take as threshold a sum of the cumulative sums over the support. This differs from the
    projection unless the support is a single class.
    """
    values = disconnected_grad(pt.moveaxis(x, axis, -1))
    order = pt.argsort(-values, axis=-1)
    descending = pt.take_along_axis(values, order, axis=-1)
    place = pt.arange(values.shape[-1], dtype=x.type.dtype)
    supported = descending - (pt.cumsum(descending, axis=-1) - 1) / (place + 1) > 0
    size = cast(pt.sum(supported, axis=-1, keepdims=True), x.type.dtype)
    # The number of cumulative sums over the support in which a value occurs.
    times = pt.maximum(size - cast(pt.argsort(order, axis=-1), x.type.dtype), _like(x, 0))
    if SPARSEMAX_PROJECTS:
        times = pt.minimum(times, _like(x, 1))
    times, size = pt.moveaxis(times, -1, axis), pt.moveaxis(size, -1, axis)
    # Logits outside of the support may be infinite: masked logits are. Multiplying those by 0 would give NaN.
    weighted = pt.switch(pt.gt(times, _like(x, 0)), times * x, _like(x, 0))
    tau = (pt.sum(weighted, axis=axis, keepdims=True) - 1) / size
    return pt.maximum(_like(x, 0), x - tau)


def one_hot(
    x: Any, num_classes: int | None, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Tensor:
    """Return one-hot vectors. They are all zeros for a class number outside of [0, num_classes)."""
    if sparse:
        raise ValueError("one_hot is always dense on the Theano backend: sparse=True is not supported")
    if not num_classes:
        raise ValueError("one_hot of a traced tensor needs num_classes")
    return Tensor(cast(_is_class(as_node(x), num_classes, axis), traceable(dtype or "float32")))


def _is_class(x: TensorVariable, num_classes: int, axis: int) -> TensorVariable:
    """Return bools, with an additional axis of classes."""
    return pt.moveaxis(pt.eq(x[..., None], pt.constant(np.arange(num_classes, dtype="int32"))), -1, axis)


def multi_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Tensor:
    node = as_node(x, "int32")
    hot = one_hot(Tensor(node), num_classes, axis, "int32", sparse).node
    return Tensor(cast(pt.max(hot, axis=1 if node.type.ndim > 1 else 0), traceable(dtype or "float32")))


def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Tensor:
    target, output = as_node(target), as_node(output)
    _same_shape(target.type.shape, output.type.shape)
    if not output.type.ndim:
        raise ValueError("Arguments `target` and `output` must be at least rank 1. Received scalars")
    dtype = _widened(target, output)
    log_probabilities = cast(_log_probabilities(output, from_logits, axis), dtype)
    return Tensor(-pt.sum(cast(target, dtype) * log_probabilities, axis=axis))


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """target: class numbers. A negative number adds no loss.
    output: predictions. Those for the other classes do not count, even if they are infinite or NaN. The eager
        function multiplies them by 0, which gives NaN.
    Raises IndexError when the step runs, if a number in `target` is too large for a class.
    """
    target, output = as_node(target, "int32"), as_node(output)
    if not output.type.ndim:
        raise ValueError("Argument `output` must be at least rank 1. Received a scalar")
    if target.type.ndim == output.type.ndim and target.type.shape[-1] == 1:
        target = target[..., 0]
    _same_shape(target.type.shape, output.type.shape[:-1], "up until the last dimension")
    classes = output.type.shape[axis]
    if classes is None:
        raise ValueError(f"the number of classes must be known. Received: output.shape={output.type.shape}")
    message = f"a label lies outside of the classes, which are 0 to {classes - 1}"
    target = checked(target, IndexError, message, pt.lt(target, classes))
    log_probabilities = _log_probabilities(output, from_logits, axis)
    chosen = pt.switch(_is_class(target, classes, axis), log_probabilities, _like(log_probabilities, 0))
    return Tensor(-pt.sum(chosen, axis=axis))


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Tensor:
    """The result from logits is exact, and NaN for most infinite logits. Keras's NumPy function clips the
    probability instead, so that its gradient vanishes for logits beyond about 16 in size.
    """
    target, output = as_node(target), as_node(output)
    _same_shape(target.type.shape, output.type.shape)
    ones = [np.ones(1, node.type.dtype) for node in (target, output)]
    dtype = traceable(str(eager.binary_crossentropy(*ones).dtype))
    target, output = cast(target, dtype), cast(output, dtype)
    if from_logits:
        # In this order, the two large terms cancel before the small term is added.
        return Tensor((_positive_part(output) - target * output) + _beyond_positive_part(output))
    output = _clipped(output)
    return Tensor(-(target * pt.log(output) + (1 - target) * pt.log(1 - output)))


def _log_probabilities(output: TensorVariable, from_logits: bool, axis: int) -> TensorVariable:
    output = _floats(output)
    if from_logits:
        return _log_softmax(output, axis)
    return pt.log(_clipped(output / pt.sum(output, axis=axis, keepdims=True)))


def _clipped(probability: TensorVariable) -> TensorVariable:
    low, high = _like(probability, fuzz()), _like(probability, 1.0 - fuzz())
    return pt.minimum(pt.maximum(probability, low), high)


def _same_shape(target: Sequence[int | None], output: Sequence[int | None], until: str = "") -> None:
    """Raise ValueError if the known sizes differ.

    until: what the message says about the axes that are compared.
    """
    if len(target) != len(output) or any(
        None not in pair and pair[0] != pair[1] for pair in zip(target, output, strict=True)
    ):
        raise ValueError(
            f"Arguments `target` and `output` must have the same shape{until and ' ' + until}. "
            f"Received: {tuple(target)} and {tuple(output)}"
        )


def moments(
    x: Any, axes: int | Sequence[int], keepdims: bool = False, synchronized: bool = False
) -> tuple[Tensor, Tensor]:
    """Return E[x] and E[x^2] - E[x]^2."""
    if synchronized:
        raise NotImplementedError("moments(synchronized=True): the Theano backend runs on one device")
    node = _floats(as_node(x))
    along = _axes(node, axes)
    mean = pt.mean(node, axis=along, keepdims=keepdims)
    variance = pt.mean(pt.sqr(node), axis=along, keepdims=keepdims) - pt.sqr(mean)
    return Tensor(mean), Tensor(variance)


def batch_normalization(
    x: Any, mean: Any, variance: Any, axis: int, offset: Any = None, scale: Any = None, epsilon: float = 1e-3
) -> Tensor:
    node = as_node(x)
    statistics = [None if part is None else as_node(part) for part in (mean, variance, offset, scale)]
    dtype = _widened(node, *statistics)
    along: list[Any] = ["x"] * node.type.ndim
    along[axis % node.type.ndim] = 0
    x = cast(node, dtype)
    mean, variance, offset, scale = (
        None if part is None else cast(part, dtype).dimshuffle(along) for part in statistics
    )
    factor = 1 / pt.sqrt(variance + _like(x, epsilon))
    if scale is not None:
        factor = factor * scale
    shift = -mean * factor
    if offset is not None:
        shift = shift + offset
    return Tensor(x * factor + shift)


def psnr(x1: Any, x2: Any, max_val: Any) -> Tensor:
    first, second = as_node(x1), as_node(x2)
    if first.type.ndim != second.type.ndim:
        raise ValueError(f"Input shapes {first.type.shape} and {second.type.shape} must match")
    dtype = _widened(first, second)
    error = pt.mean(pt.sqr(cast(first, dtype) - cast(second, dtype)))
    peak = as_node(max_val, dtype)
    return Tensor(20 * pt.log10(peak) - 10 * pt.log10(error))


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    """Compute attention.

    query: shape (batch, queries, heads, features).
    key, value: shape (batch, keys, heads, features).
    bias, mask: broadcast to (batch, heads, queries, keys).

    The softmax is computed in float32, as in Keras.
    """
    if flash_attention:
        raise ValueError("Flash attention is not supported in the Theano backend")
    if any(len(x.shape) != 4 for x in (query, key, value)):
        raise ValueError(
            "`dot_product_attention` only supports 4D inputs. Received: "
            f"{tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}"
        )
    dtype = traceable(common_dtype(query, key, value))
    # Heads come before time, so that there is one matrix product for each head.
    query, key, value = (as_node(x, dtype).transpose(0, 2, 1, 3) for x in (query, key, value))
    features = key.type.shape[3]
    if scale is None:
        scale = 1.0 / math.sqrt(features)
    wide = traceable(np.promote_types(dtype, "float32"))
    scores = cast(pt.matmul(query, key.transpose(0, 1, 3, 2)), wide) * as_node(scale, wide)
    if bias is not None:
        scores = scores + as_node(bias, wide)
    allowed = None if mask is None else as_node(mask, "bool")
    if is_causal:
        past = pt.le(pt.arange(scores.shape[3]), pt.arange(scores.shape[2])[:, None])
        allowed = past if allowed is None else pt.and_(allowed, past)
    if allowed is not None:
        # Keras uses this number in place of minus infinity. So a row that is masked out completely becomes
        # uniform.
        scores = pt.switch(allowed, scores, as_node(-0.7 * 3.38953e38, wide))
    weights = cast(_softmax_last(cast(scores, "float32")), dtype)
    return Tensor(pt.matmul(weights, value).transpose(0, 2, 1, 3))


def _softmax_last(x: TensorVariable) -> TensorVariable:
    return Softmax(axis=(x.type.ndim - 1,), inline=True)(x)


def depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> Tensor:
    return _blocks(x, block_size, data_format, (0, 1, 3, 2, 4, 5), (0, 1, 4, 2, 5, 3), to_space=True)


def space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> Tensor:
    return _blocks(x, block_size, data_format, (0, 1, 3, 2, 4, 5), (0, 1, 3, 5, 2, 4), to_space=False)


def _blocks(
    x: Any, block: int, data_format: str, last: tuple[int, ...], first: tuple[int, ...], to_space: bool
) -> Tensor:
    """Move blocks of pixels into the channels, or back.

    last: the order of the six axes if the channels are last.
    first: the order of the six axes if the channels are first.
    to_space: whether channels become pixels.
    """
    node = as_node(x)
    channels_last = data_format == "channels_last"
    n, *rest = sizes(shape_of(Tensor(node)))
    (height, width, depth) = rest if channels_last else (rest[1], rest[2], rest[0])
    if to_space:
        depth = depth // block**2
        split = (
            [n, height, width, block, block, depth]
            if channels_last
            else [n, depth, block, block, height, width]
        )
        height, width = height * block, width * block
    else:
        height, width = height // block, width // block
        split = (
            [n, height, block, width, block, depth]
            if channels_last
            else [n, depth, height, block, width, block]
        )
        depth = depth * block**2
    joined = [n, height, width, depth] if channels_last else [n, depth, height, width]
    return Tensor(node.reshape(split).transpose(*(last if channels_last else first)).reshape(joined))
