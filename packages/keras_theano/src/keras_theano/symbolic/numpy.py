"""Symbolic counterparts of keras.src.backend.numpy.numpy: arithmetic, reductions, shapes and products.

Each function takes the same arguments as the eager function of its name. It returns a Tensor where that
function returns an array, with the same shape and dtype. Operands are first cast to the dtype of the result,
because PyTensor has other rules: it turns int32 with float32 into float64, and may do so with a Python
number.

If a size is known before the call, it stays known. PyTensor broadcasts an axis only if it knows that its size
is 1.
"""

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from keras.src.backend.common import KerasVariable
from keras.src.backend.common.dtypes import result_type
from keras.src.backend.config import floatx
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from pytensor.tensor.signal import convolve1d

from keras_theano.symbolic.bounds import checked, within
from keras_theano.symbolic.filling import filled
from keras_theano.symbolic.limits import refusal
from keras_theano.symbolic.occurrences import nonzero as nonzero
from keras_theano.symbolic.occurrences import true_places
from keras_theano.symbolic.occurrences import unique as unique
from keras_theano.symbolic.refused_gradient import without_gradient
from keras_theano.symbolic.sizes import size_of, sizes_of
from keras_theano.tracing.computed import computed
from keras_theano.tracing.custom_gradient import with_gradient
from keras_theano.tracing.tensor import Tensor, as_node, as_nodes, cast, sizes, traceable

Op = Callable[..., Any]
# PyTensor's variables have attributes that depend on their type, so they cannot be typed.
Node = Any
Axis = int | Sequence[int] | None

# Dtypes -------------------------------------------------------------------------------------------


def _tensor(x: Any) -> Node:
    """Convert `x` as convert_to_tensor does eagerly: everything except Variables becomes 32 bits wide."""
    node = as_node(x)
    return node if isinstance(x, KerasVariable) else _to(node, result_type(node.type.dtype))


def _to(node: Node, dtype: Any) -> Node:
    return node if node.type.dtype == dtype else cast(node, str(dtype))


def _constant(value: Any, dtype: str) -> Node:
    return pt.constant(np.asarray(value, dtype))


def _is_float(node: Node) -> bool:
    return bool(node.type.dtype.startswith("float"))


def _is_whole(node: Node) -> bool:
    return "int" in node.type.dtype or node.type.dtype == "bool"


def _floating(dtype: str) -> str:
    return str(floatx() if dtype == "int64" else result_type(dtype, float))


def _floating_or_same(dtype: str) -> str:
    return str(floatx() if "int" in dtype or dtype == "bool" else dtype)


def _float32_or_same(dtype: str) -> str:
    return str(result_type(dtype, "float32") if "int" in dtype or dtype == "bool" else dtype)


def _at_least_float32(dtype: str) -> str:
    if dtype in ("int64", "float64"):
        return "float64"
    return dtype if dtype.startswith("complex") else str(floatx())


def _float64_if_int64(dtype: str) -> str:
    return "float64" if dtype == "int64" else _floating_or_same(dtype)


def _summed(dtype: str) -> str:
    """Return the dtype in which sums and products of small integers are computed."""
    if dtype in ("bool", "int8", "int16"):
        return "int32"
    return "uint32" if dtype in ("uint8", "uint16") else dtype


def _accumulator(node: Node) -> Node:
    """Return integers as wide as NumPy makes them when it accumulates."""
    if not _is_whole(node):
        return node
    return _to(node, "uint64" if node.type.dtype.startswith("uint") else "int64")


def _together(x1: Any, x2: Any, *others: Any) -> tuple[Node, Node]:
    """Return both as tensors, in the common dtype that Keras chooses for them and for `others`. A Python
    number counts as a tensor here.
    """
    first, second = _tensor(x1), _tensor(x2)
    dtype = result_type(first.type.dtype, second.type.dtype, *others)
    return _to(first, dtype), _to(second, dtype)


def _promoted(*xs: Any) -> list[Node]:
    """Return the arguments in the dtype that NumPy chooses for them together. This is for functions for which
    Keras leaves the choice to NumPy.

    If a Python int does not fit into the dtype of the tensors, such as -1 into uint8, all become int64.
    """
    dtype = np.result_type(
        *[x if isinstance(x, (int, float, complex)) else as_node(x).type.dtype for x in xs]
    )
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not builtins.all(limits.min <= x <= limits.max for x in xs if isinstance(x, int)):
            dtype = np.dtype("int64")
    return [as_node(x, dtype.name) for x in xs]


# Shapes -------------------------------------------------------------------------------------------


def _product(dims: Sequence[Any]) -> Any:
    """Return the product of sizes, as an int if it is known, otherwise as a node."""
    known = math.prod(size for size in dims if isinstance(size, int))
    unknown = [size for size in dims if not isinstance(size, int)]
    return math.prod(unknown[1:], start=unknown[0] * _constant(known, "int64")) if unknown else known


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    return tuple(range(ndim)) if axis is None else tuple(normalize_axis_tuple(axis, ndim))


def _along(ndim: int, axis: int, key: Any) -> tuple[Any, ...]:
    """Return an index that uses `key` for one axis and takes everything of the others."""
    return tuple(key if n == axis else slice(None) for n in range(ndim))


def _flat(node: Node) -> Node:
    count = _product(sizes_of(node))
    return node if node.type.ndim == 1 else _reshaped(node, [count if isinstance(count, int) else -1])


def _flat_if_no_axis(node: Node, axis: int | None) -> tuple[Node, int]:
    if axis is None:
        return _flat(node), 0
    return node, normalize_axis_index(axis, node.type.ndim)


def _reshaped(node: Node, dims: Sequence[Any]) -> Node:
    return pt.reshape(node, list(dims), ndim=len(dims))


def _at_least(node: Node, ndim: int) -> Node:
    """Return the node with axes of size 1 added in front."""
    return pt.expand_dims(node, tuple(range(builtins.max(ndim - node.type.ndim, 0))))


def _range(size: Any, dtype: str = "int64") -> Node:
    return _constant(np.arange(size), dtype) if isinstance(size, int) else pt.arange(size, dtype=dtype)


# Elementwise functions of one argument ------------------------------------------------------------


def _unary(function: Op, dtype: Callable[[str], str]) -> Op:
    """Return an op of one argument.

    function: computes the op.
    dtype: takes the dtype of the argument and returns the dtype in which the op is computed, which is also
        that of the result.
    """

    def op(x: Any) -> Tensor:
        node = _tensor(x)
        return Tensor(function(_to(node, dtype(node.type.dtype))))

    return op


def _plain(function: Op) -> Op:
    """Return an op that computes `function` without changing the dtype of its argument first."""

    def op(x: Any) -> Tensor:
        return Tensor(function(as_node(x)))

    return op


arccos = _unary(pt.arccos, _floating)
arccosh = _unary(pt.arccosh, _floating)
arcsin = _unary(pt.arcsin, _floating)
arcsinh = _unary(pt.arcsinh, _floating)
arctan = _unary(pt.arctan, _floating)
arctanh = _unary(pt.arctanh, _floating)
ceil = _unary(pt.ceil, _floating)
cos = _unary(pt.cos, _floating)
cosh = _unary(pt.cosh, _floating)
floor = _unary(pt.floor, _floating)
log = _unary(pt.log, _floating)
log10 = _unary(pt.log10, _floating)
log1p = _unary(pt.log1p, _floating)
log2 = _unary(pt.log2, _floating)
sin = _unary(pt.sin, _floating)
sinh = _unary(pt.sinh, _floating)
sqrt = _unary(pt.sqrt, _floating)
tan = _unary(pt.tan, _floating)
tanh = _unary(pt.tanh, _floating)
exp = _unary(pt.exp, _floating_or_same)
exp2 = _unary(pt.exp2, _floating_or_same)
expm1 = _unary(pt.expm1, _floating_or_same)
fabs = _unary(pt.abs, _floating_or_same)
deg2rad = _unary(pt.deg2rad, _at_least_float32)
rad2deg = _unary(pt.rad2deg, _at_least_float32)
i0 = _unary(pt.i0, lambda dtype: "float64" if dtype in ("int64", "float64") else _floating(dtype))
square = _unary(pt.sqr, lambda dtype: "int32" if dtype == "bool" else dtype)
trunc = _unary(lambda node: node if _is_whole(node) else pt.trunc(node), lambda dtype: dtype)


def _sign(node: Node) -> Node:
    """Return the sign. Unsigned numbers are compared with 0, because Numba would take them for signed
    numbers.
    """
    return _to(pt.gt(node, 0), node.type.dtype) if node.type.dtype.startswith("uint") else pt.sign(node)


negative = _plain(pt.neg)
sign = _plain(_sign)
logical_not = _plain(lambda node: pt.invert(_to(node, "bool")))
bitwise_not = bitwise_invert = _plain(pt.invert)
conjugate = conj = _plain(lambda node: _to(node, "int8") if node.type.dtype == "bool" else pt.conj(node))
copy = _plain(lambda node: node)


def absolute(x: Any) -> Tensor:
    node = as_node(x)
    if node.type.dtype == "bool":
        return Tensor(node)
    return Tensor(without_gradient(pt.abs(node), "real") if _is_complex(node) else pt.abs(node))


abs = absolute


def _angle(node: Node) -> Node:
    if _is_float(node):
        return pt.arctan2(pt.zeros_like(node), node)
    if _is_complex(node):
        return without_gradient(pt.arctan2(pt.imag(node), pt.real(node)), "real")
    return pt.angle(node)


angle = _unary(_angle, _floating)


def _cbrt(node: Node) -> Node:
    return pt.sign(node) * pt.abs(node) ** _constant(1 / 3, node.type.dtype)


cbrt = _unary(_cbrt, _float64_if_int64)


def _sinc(node: Node) -> Node:
    """Return sin(pi x) / (pi x). Even the branch that is not taken must not divide by 0, because its gradient
    would be NaN.
    """
    zero = pt.eq(node, 0)
    scaled = pt.switch(zero, _constant(1, node.type.dtype), node) * _constant(math.pi, node.type.dtype)
    return pt.switch(zero, _constant(1, node.type.dtype), pt.sin(scaled) / scaled)


sinc = _unary(_sinc, _floating)


def _reciprocal(node: Node) -> Node:
    """Return the reciprocal. Among whole numbers, only 1 and -1 have a reciprocal other than 0."""
    if _is_whole(node):
        return pt.switch(pt.eq(pt.abs(node), 1), node, _constant(0, node.type.dtype))
    return pt.reciprocal(node)


reciprocal = _plain(_reciprocal)


def _nowhere(node: Node) -> Node:
    return filled(_constant(False, "bool"), sizes_of(node))


def _isnan(node: Node) -> Node:
    return _nowhere(node) if _is_whole(node) else pt.isnan(node)


def _isinf(node: Node) -> Node:
    return _nowhere(node) if _is_whole(node) else pt.isinf(node)


def _equals_infinity(value: float) -> Op:
    return lambda node: _nowhere(node) if _is_whole(node) else pt.eq(node, _constant(value, node.type.dtype))


def _signbit(node: Node) -> Node:
    """Return whether the sign bit is set. For floats the angle is used, because it differs between -0.0 and
    0.0.
    """
    if _is_float(node):
        return pt.lt(pt.arctan2(node, _constant(-1, node.type.dtype)), 0)
    return _nowhere(node) if node.type.dtype == "bool" else pt.lt(node, 0)


def _is_complex(node: Node) -> bool:
    return bool(node.type.dtype.startswith("complex"))


isnan = _plain(_isnan)
isinf = _plain(_isinf)
isfinite = _plain(lambda node: pt.invert(pt.or_(_isnan(node), _isinf(node))))
isposinf = _plain(_equals_infinity(math.inf))
isneginf = _plain(_equals_infinity(-math.inf))
isreal = _plain(lambda node: pt.eq(pt.imag(node), 0) if _is_complex(node) else pt.invert(_nowhere(node)))
signbit = _plain(_signbit)
real = _plain(lambda node: without_gradient(pt.real(node), "real") if _is_complex(node) else node)
imag = _plain(
    lambda node: (
        without_gradient(pt.imag(node), "real")
        if _is_complex(node)
        else filled(_constant(0, node.type.dtype), sizes_of(node))
    )
)


def round(x: Any, decimals: int = 0) -> Tensor:
    """Round. Halves go to the even neighbour, and the gradient is 0."""
    node = as_node(x)
    if _is_whole(node):
        if decimals < 0:
            tens = _constant(10.0**-decimals, "float64")
            return Tensor(_to(pt.round(_to(node, "float64") / tens) * tens, node.type.dtype))
        return Tensor(node)
    if decimals == 0:
        return Tensor(pt.round(node))
    scale = _constant(10.0 ** builtins.abs(decimals), node.type.dtype)
    return Tensor(pt.round(node * scale) / scale if decimals > 0 else pt.round(node / scale) * scale)


def nan_to_num(x: Any, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
    node = as_node(x)
    if _is_whole(node):
        return Tensor(node)
    dtype = node.type.dtype
    most = float(np.finfo(dtype).max)
    high = as_node(most if posinf is None else posinf, dtype)
    low = as_node(-most if neginf is None else neginf, dtype)
    finite = pt.switch(pt.isinf(node), pt.switch(pt.gt(node, 0), high, low), node)
    return Tensor(pt.switch(pt.isnan(node), as_node(nan, dtype), finite))


def clip(x: Any, x_min: Any, x_max: Any) -> Tensor:
    """Clip. At a limit, the gradient goes to `x`."""
    dtype = _tensor(x).type.dtype
    limits = [limit for limit in (x_min, x_max) if limit is not None]
    node, *nodes = _promoted(x if isinstance(x, KerasVariable) else Tensor(_tensor(x)), *limits)
    if x_min is not None:
        node = pt.maximum(node, nodes.pop(0))
    if x_max is not None:
        node = pt.minimum(node, nodes.pop(0))
    return Tensor(_to(node, "int32" if dtype == "bool" else dtype))


# Elementwise functions of two arguments -----------------------------------------------------------


def _binary(function: Op, of_bools: Op | str | None = None) -> Op:
    """Return an op of two arguments, in which Python numbers adapt to tensors.

    function: computes the op.
    of_bools: the function for two bools, or the dtype in which `function` computes them.
    """

    def op(x1: Any, x2: Any) -> Tensor:
        first, second = as_nodes(x1, x2)
        if of_bools is not None and first.type.dtype == "bool":
            if not isinstance(of_bools, str):
                return Tensor(of_bools(first, second))
            first, second = _to(first, of_bools), _to(second, of_bools)
        return Tensor(function(first, second))

    return op


def _binary_of_tensors(function: Op, *others: Any) -> Op:
    """Return an op of two arguments, in which Python numbers count as tensors.

    function: computes the op.
    others: more dtypes that take part in choosing the dtype of the result.
    """

    def op(x1: Any, x2: Any) -> Tensor:
        return Tensor(function(*_together(x1, x2, *others)))

    return op


def _bitwise(function: Op) -> Op:
    def op(x: Any, y: Any) -> Tensor:
        return Tensor(function(*_together(x, y)))

    return op


def _comparison(function: Op) -> Op:
    def op(x1: Any, x2: Any) -> Tensor:
        return Tensor(function(*_promoted(x1, x2)))

    return op


def _logical(function: Op) -> Op:
    def op(x1: Any, x2: Any) -> Tensor:
        return Tensor(function(_to(as_node(x1), "bool"), _to(as_node(x2), "bool")))

    return op


def _unless_nan(function: Op) -> Op:
    """Return a function that gives the other argument where one is NaN."""

    def of_nodes(first: Node, second: Node) -> Node:
        result = function(first, second)
        if _is_whole(result):
            return result
        return pt.switch(pt.isnan(first), second, pt.switch(pt.isnan(second), first, result))

    return of_nodes


def _divisor(second: Node) -> tuple[Node, Node, Node]:
    """Make a divisor of whole numbers safe.

    In C, division by 0 raises, and dividing the least number by -1 may end the process. NumPy's results for
    these are 0 and the least number.

    Returns the divisor with 1 in place of 0 and -1, where it was 0, and where it was -1.
    """
    zero = negative = pt.eq(second, 0)
    if not second.type.dtype.startswith("uint"):
        negative = pt.eq(second, _constant(-1, second.type.dtype))
    return pt.switch(pt.or_(zero, negative), _constant(1, second.type.dtype), second), zero, negative


def _divides(second: Node) -> bool:
    """Return whether it is safe to divide by this: it consists of floats, or of known whole numbers other
    than 0 and -1.
    """
    known = getattr(second, "data", None)
    return not _is_whole(second) or (known is not None and not np.isin(known, (0, -1)).any())


def _quotient(first: Node, second: Node) -> Node:
    if _is_float(second):
        # This is what NumPy returns, because its remainder is NaN.
        nothing = pt.and_(pt.isinf(first), pt.neq(second, 0))
        return pt.switch(nothing, _constant(math.nan, first.type.dtype), pt.int_div(first, second))
    if _divides(second):
        return pt.int_div(first, second)
    divisor, zero, negative = _divisor(second)
    quotient = pt.int_div(first, divisor)
    if not second.type.dtype.startswith("uint"):
        quotient = pt.switch(negative, pt.neg(first), quotient)
    return pt.switch(zero, _constant(0, quotient.type.dtype), quotient)


def _remainder(first: Node, second: Node) -> Node:
    return pt.mod(first, second if _divides(second) else _divisor(second)[0])


def _power(first: Node, second: Node) -> Node:
    if _is_whole(second) and not second.type.dtype.startswith(("uint", "bool")):
        message = "Integers to negative integer powers are not allowed."  # the text is NumPy's
        second = checked(second, ValueError, message, pt.ge(second, 0))
    return pt.pow(first, second)


add = _binary(pt.add, pt.or_)
subtract = _binary(pt.sub)
multiply = _binary(pt.mul, pt.and_)
maximum = _binary(pt.maximum, pt.or_)
minimum = _binary(pt.minimum, pt.and_)
fmax = _binary(_unless_nan(pt.maximum), pt.or_)
fmin = _binary(_unless_nan(pt.minimum), pt.and_)
power = _binary(_power, "int8")
floor_divide = _binary(_quotient, "int8")
arctan2 = _binary_of_tensors(pt.arctan2, float)
bitwise_and = _bitwise(pt.and_)
bitwise_or = _bitwise(pt.or_)
bitwise_xor = _bitwise(pt.xor)
equal = _comparison(pt.eq)
not_equal = _comparison(pt.neq)
less = _comparison(pt.lt)
less_equal = _comparison(pt.le)
greater = _comparison(pt.gt)
greater_equal = _comparison(pt.ge)
logical_and = _logical(pt.and_)
logical_or = _logical(pt.or_)
logical_xor = _logical(pt.xor)


def divide(x1: Any, x2: Any) -> Tensor:
    first, second, _ = as_nodes(x1, x2, 1.0)
    return Tensor(pt.true_div(first, second))


true_divide = divide


def divide_no_nan(x1: Any, x2: Any) -> Tensor:
    """Divide. The result and the gradient are 0 where x2 is 0."""
    first, second, _ = as_nodes(x1, x2, 1.0)
    zero = pt.eq(second, 0)
    quotient = first / pt.switch(zero, _constant(1, second.type.dtype), second)
    return Tensor(pt.switch(zero, _constant(0, quotient.type.dtype), quotient))


def _as_int32_if_bool(first: Node, second: Node) -> tuple[Node, Node]:
    dtype = "int32" if first.type.dtype == "bool" else first.type.dtype
    return _to(first, dtype), _to(second, dtype)


def mod(x1: Any, x2: Any) -> Tensor:
    """Return the remainder with the sign of x2."""
    return Tensor(_remainder(*_as_int32_if_bool(*_together(x1, x2))))


def fmod(x1: Any, x2: Any) -> Tensor:
    """Return the remainder with the sign of x1."""
    first, second = _as_int32_if_bool(*_together(x1, x2))
    return Tensor(_sign(first) * _remainder(pt.abs(first), pt.abs(second)))


def _log_sum_of_exponentials(first: Node, second: Node) -> Node:
    """Return log(exp(first) + exp(second)). It starts from the greater one, so that nothing overflows. Two
    equal infinities are handled separately, because they have no difference.
    """
    same = pt.and_(pt.eq(first, second), pt.isinf(first))
    difference = pt.switch(same, _constant(0, first.type.dtype), second - first)
    return pt.switch(pt.ge(first, second), first + pt.softplus(difference), second + pt.softplus(-difference))


logaddexp = _binary_of_tensors(_log_sum_of_exponentials, float)


def _logaddexp2(first: Node, second: Node) -> Node:
    log_of_2 = _constant(math.log(2), first.type.dtype)
    return _log_sum_of_exponentials(first * log_of_2, second * log_of_2) / log_of_2


logaddexp2 = _binary_of_tensors(_logaddexp2, float)


def heaviside(x1: Any, x2: Any) -> Tensor:
    first, second = _together(x1, x2)
    dtype = _float64_if_int64(first.type.dtype)
    result = "bool" if first.type.dtype == "bool" else dtype
    first, second = _to(first, dtype), _to(second, dtype)
    step = pt.switch(pt.isnan(first), first, _to(pt.gt(first, 0), dtype))
    return Tensor(_to(pt.switch(pt.eq(first, 0), second, step), result))


def hypot(x1: Any, x2: Any) -> Tensor:
    """Return the length of a hypotenuse. It is computed in float64, so that the squares do not overflow. The
    result is infinite if one argument is infinite, even if the other is NaN.
    """
    first, second = _together(x1, x2)
    dtype = first.type.dtype if first.type.dtype == "bool" else _float64_if_int64(first.type.dtype)
    squares = pt.sqr(_to(first, "float64")) + pt.sqr(_to(second, "float64"))
    if _is_float(first):
        infinite = pt.or_(pt.isinf(first), pt.isinf(second))
        squares = pt.switch(infinite, _constant(math.inf, "float64"), squares)
    return Tensor(_to(pt.sqrt(squares), dtype))


def ldexp(x1: Any, x2: Any) -> Tensor:
    exponent = _tensor(x2)
    if "int" not in exponent.type.dtype:
        raise TypeError(f"ldexp exponent must be an integer type. Received: x2 dtype={exponent.type.dtype}")
    first, second = _together(x1, x2, float)
    dtype = first.type.dtype
    # The power of 2 may be infinite where the product is not. So it is split into three factors, each of
    # which stays finite for every exponent that can matter for 64 bits.
    exponent = pt.clip(_to(second, "float64"), -2100.0, 2100.0)
    third = pt.trunc(exponent / 3.0)
    power, rest = pt.exp2(third), pt.exp2(exponent - 2.0 * third)
    return Tensor(_to(_to(first, "float64") * power * power * rest, dtype))


def _by_numpy(function: Op, first: Node, second: Node) -> Node:
    """Return a ufunc of NumPy of two nodes of one dtype. It has no gradient. Numba has these functions too,
    but its gcd is wrong for some numbers.
    """
    # Adding zeros broadcasts by the rules of a recorded step.
    both = first + pt.zeros_like(second), second + pt.zeros_like(first)
    return computed(function, both, [(first.type.dtype, both[0].type.shape)])[0]


def _of_whole_numbers(function: Op) -> Op:
    def op(x1: Any, x2: Any) -> Tensor:
        first, second = _together(x1, x2)
        if not _is_whole(first) or first.type.dtype == "bool":
            raise TypeError(f"expected whole numbers. Received: arguments of dtype {first.type.dtype}")
        return Tensor(_by_numpy(function, first, second))

    return op


gcd = _of_whole_numbers(np.gcd)
lcm = _of_whole_numbers(np.lcm)


def nextafter(x1: Any, x2: Any) -> Tensor:
    """Return the number next to `x1` in the direction of `x2`. The gradient is that of `x1`."""
    nodes = [_tensor(x) for x in (x1, x2)]
    dtype = result_type(*[node.type.dtype for node in nodes], float)
    # As in NumPy, the neighbour is one among the numbers of the dtype of the arguments.
    common = np.result_type(*[node.type.dtype for node in nodes])
    first, second = [_to(node, common.name if common.kind == "f" else "float64") for node in nodes]
    found = _by_numpy(np.nextafter, first, second)
    moved = first + pt.zeros_like(found)
    (found,) = as_nodes(*with_gradient([Tensor(found)], [Tensor(moved)], lambda upstream: upstream))
    return Tensor(_to(found, dtype))


def copysign(x1: Any, x2: Any) -> Tensor:
    first, second = _together(x1, x2, float)
    return Tensor(pt.switch(_signbit(second), -pt.abs(first), pt.abs(first)))


def float_power(x1: Any, x2: Any) -> Tensor:
    """Return the power, computed in float64 also for whole numbers."""
    dtype = result_type(*[as_node(x).type.dtype for x in (x1, x2)], float)
    return Tensor(_to(pt.power(as_node(x1, "float64"), as_node(x2, "float64")), dtype))


def _to_shift(x: Any, y: Any) -> tuple[Node, Node]:
    if isinstance(y, int):
        node = _tensor(x)
        return node, as_node(y, node.type.dtype)
    return _together(x, y)


def _shifted_by(second: Node, bits: int) -> tuple[Node, Node]:
    """Split shifts into possible and impossible ones.

    Returns the number of bits as int64, with 0 in place of impossible shifts, and where the shift is
    impossible.
    """
    by = _to(second, "int64")
    far = pt.or_(pt.lt(by, 0), pt.ge(by, _constant(bits, "int64")))
    return pt.switch(far, _constant(0, "int64"), by), far


def bitwise_left_shift(x: Any, y: Any) -> Tensor:
    """Shift left. PyTensor has no shifts, so this multiplies whole numbers. The result is 0 for a negative
    shift, and for at least as many bits as the dtype has.
    """
    first, second = _to_shift(x, y)
    by, far = _shifted_by(second, 8 * np.dtype(first.type.dtype).itemsize)
    product = first * _constant(2, first.type.dtype) ** _to(by, first.type.dtype)
    return Tensor(pt.switch(far, _constant(0, first.type.dtype), product))


def bitwise_right_shift(x: Any, y: Any) -> Tensor:
    """Shift right. It divides in 64 bits, where the power of 2 keeps its sign."""
    first, second = _to_shift(x, y)
    by, far = _shifted_by(second, 63)
    power_of_2 = _constant(2, "int64") ** pt.switch(far, _constant(62, "int64"), by)
    return Tensor(_to(_to(first, "int64") // power_of_2, first.type.dtype))


left_shift, right_shift = bitwise_left_shift, bitwise_right_shift


def isclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    first, second = [_to(node, _float64_if_int64(node.type.dtype)) for node in _promoted(x1, x2)]
    dtype = first.type.dtype
    bound = as_node(atol, dtype) + as_node(rtol, dtype) * pt.abs(second)
    finite = pt.invert(pt.or_(pt.isinf(second), pt.isnan(second)))
    close = pt.or_(pt.and_(pt.le(pt.abs(first - second), bound), finite), pt.eq(first, second))
    if equal_nan:
        close = pt.or_(close, pt.and_(pt.isnan(first), pt.isnan(second)))
    return Tensor(close)


def allclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    return Tensor(pt.all(isclose(x1, x2, rtol, atol, equal_nan).node))


def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Tensor:
    first, second = _promoted(Tensor(_tensor(x1)), Tensor(_flat(_tensor(x2))))
    found = pt.any(pt.eq(pt.expand_dims(first, -1), second), axis=-1)
    return Tensor(pt.invert(found) if invert else found)


def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    if x1 is None or x2 is None:
        return true_places(condition)
    first, second = as_nodes(x1, x2)
    return Tensor(pt.switch(_to(as_node(condition), "bool"), first, second))


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Tensor:
    """Return the first choice whose condition holds."""
    *choices, chosen = _promoted(*choicelist, default)
    for condition, choice in zip(reversed(list(condlist)), reversed(choices), strict=True):
        chosen = pt.switch(_to(as_node(condition), "bool"), choice, chosen)
    return Tensor(chosen)


# Reductions ---------------------------------------------------------------------------------------


def _count(node: Node, axes: Sequence[int], dtype: str) -> Node:
    """Return the number of elements that are reduced to one."""
    dims = sizes_of(node)
    count = _product([dims[axis] for axis in axes])
    return _constant(count, dtype) if isinstance(count, int) else _to(count, dtype)


def _mean(node: Node, axes: Sequence[int], keepdims: bool) -> Node:
    """Return the mean. Whole numbers are averaged in float64, as in NumPy."""
    node = _to(node, "float64") if _is_whole(node) else node
    return pt.sum(node, axis=axes, keepdims=keepdims) / _count(node, axes, node.type.dtype)


def _var(node: Node, axes: Sequence[int], keepdims: bool) -> Node:
    centered = node - _mean(node, axes, True)
    return _mean(pt.sqr(pt.abs(centered)) if _is_complex(node) else pt.sqr(centered), axes, keepdims)


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    node = as_node(x)
    axes = _axes(axis, node.type.ndim)
    return Tensor(pt.sum(node, axis=axes, keepdims=keepdims, dtype=_summed(node.type.dtype)))


def prod(x: Any, axis: Axis = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    node = _tensor(x)
    dtype = dtype or _summed(result_type(node.type.dtype))
    axes = _axes(axis, node.type.ndim)
    return Tensor(pt.prod(as_node(Tensor(node), dtype), axis=axes, keepdims=keepdims, dtype=dtype))


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    node = _tensor(x)
    dtype = _float32_or_same(node.type.dtype)
    return Tensor(_to(_mean(node, _axes(axis, node.type.ndim), keepdims), dtype))


def var(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    node = _tensor(x)
    centered = _to(node, result_type(node.type.dtype, "float32"))
    result = _var(centered, _axes(axis, node.type.ndim), keepdims)
    return Tensor(_to(result, result_type(node.type.dtype, float)))


def std(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    node = _tensor(x)
    node = _to(node, _floating_or_same(node.type.dtype))
    return Tensor(pt.sqrt(_var(node, _axes(axis, node.type.ndim), keepdims)))


def average(x: Any, axis: Axis = None, weights: Any = None) -> Tensor:
    """Return the weighted average.

    weights: has the shape of x, or one axis.
    """
    node = _tensor(x)
    if weights is None:
        node = _to(node, result_type(node.type.dtype, float))
        return Tensor(_mean(node, _axes(axis, node.type.ndim), False))
    node, weight = _together(Tensor(node), weights, float)
    axes = _axes(axis, node.type.ndim)
    if weight.type.ndim != node.type.ndim:
        weight = weight.dimshuffle([axes.index(n) if n in axes else "x" for n in range(node.type.ndim)])
    total = pt.sum(node * weight, axis=axes)
    weight = filled(weight, sizes_of(node))
    return Tensor(total / pt.sum(weight, axis=axes))


def _max(node: Node, axes: Sequence[int], keepdims: bool) -> Node:
    reduce = pt.any if node.type.dtype == "bool" else pt.max
    return reduce(node, axis=axes, keepdims=keepdims)


def _min(node: Node, axes: Sequence[int], keepdims: bool) -> Node:
    """Return the least element. For whole numbers, the order is reversed by complements, because the negative
    of the least number overflows.
    """
    if _is_whole(node):
        return pt.invert(_max(pt.invert(node), axes, keepdims))
    return pt.min(node, axis=axes, keepdims=keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False, initial: Any = None) -> Tensor:
    """Return the greatest element. If several are equal, all of them get the gradient."""
    node = as_node(x)
    result = _max(node, _axes(axis, node.type.ndim), keepdims)
    return Tensor(result if initial is None else pt.maximum(result, as_node(initial, node.type.dtype)))


def min(x: Any, axis: Axis = None, keepdims: bool = False, initial: Any = None) -> Tensor:
    """Return the least element. If several are equal, all of them get the gradient."""
    node = as_node(x)
    result = _min(node, _axes(axis, node.type.ndim), keepdims)
    return Tensor(result if initial is None else pt.minimum(result, as_node(initial, node.type.dtype)))


def amax(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return max(x, axis, keepdims)


def amin(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return min(x, axis, keepdims)


def ptp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return Tensor(max(x, axis, keepdims).node - min(x, axis, keepdims).node)


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    node = _to(as_node(x), "bool")
    return Tensor(pt.all(node, axis=_axes(axis, node.type.ndim), keepdims=keepdims))


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    node = _to(as_node(x), "bool")
    return Tensor(pt.any(node, axis=_axes(axis, node.type.ndim), keepdims=keepdims))


def count_nonzero(x: Any, axis: Axis = None) -> Tensor:
    node = pt.neq(as_node(x), 0)
    return Tensor(pt.sum(node, axis=_axes(axis, node.type.ndim), dtype="int32"))


def _argmax(node: Node, axis: int | None, keepdims: bool) -> Node:
    node = _to(node, "int8") if node.type.dtype == "bool" else node
    return _to(pt.argmax(node, axis=axis, keepdims=keepdims), "int32")


def _reversed_order(node: Node) -> Node:
    return pt.invert(node) if _is_whole(node) else -node


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the place of the first of equal elements. Here -0.0 equals 0.0, but the eager function regards
    it as smaller.
    """
    return Tensor(_argmax(_tensor(x), axis, keepdims))


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the place of the first of equal elements. Here -0.0 equals 0.0, but the eager function regards
    it as smaller.
    """
    return Tensor(_argmax(_reversed_order(_tensor(x)), axis, keepdims))


def _cumulated(function: Op, node: Node, axis: int | None, dtype: str) -> Tensor:
    node, axis = _flat_if_no_axis(_accumulator(_to(node, dtype)), axis)
    return Tensor(_to(function(node, axis=axis), dtype))


def _cumulation_dtype(x: Any, dtype: Any) -> str:
    dtype = str(result_type(dtype or as_node(x).type.dtype))
    return "int32" if dtype == "bool" else dtype


def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    return _cumulated(pt.cumsum, as_node(x), axis, _cumulation_dtype(x, dtype))


def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Return cumulative products. PyTensor's gradient divides by x, so it is NaN where x is 0."""
    return _cumulated(pt.cumprod, as_node(x), axis, _cumulation_dtype(x, dtype))


# Reductions that pass over NaN --------------------------------------------------------------------


def _without_nan(node: Node, value: float) -> Node:
    """Return the node with `value` in place of NaN."""
    return node if _is_whole(node) else pt.switch(pt.isnan(node), _constant(value, node.type.dtype), node)


def nansum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return sum(Tensor(_without_nan(as_node(x), 0)), axis, keepdims)


def nanprod(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return prod(Tensor(_without_nan(_tensor(x), 1)), axis, keepdims)


def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    return cumsum(Tensor(_without_nan(as_node(x), 0)), axis, dtype)


def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    return cumprod(Tensor(_without_nan(as_node(x), 1)), axis, dtype)


def _nan_where_all_are(node: Node, result: Node, axes: Sequence[int], keepdims: bool) -> Node:
    nothing = pt.all(pt.isnan(node), axis=axes, keepdims=keepdims)
    return pt.switch(nothing, _constant(math.nan, result.type.dtype), result)


def nanmax(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    node = as_node(x)
    axes = _axes(axis, node.type.ndim)
    result = _max(_without_nan(node, -math.inf), axes, keepdims)
    return Tensor(result if _is_whole(node) else _nan_where_all_are(node, result, axes, keepdims))


def nanmin(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    node = as_node(x)
    axes = _axes(axis, node.type.ndim)
    result = _min(_without_nan(node, math.inf), axes, keepdims)
    return Tensor(result if _is_whole(node) else _nan_where_all_are(node, result, axes, keepdims))


def _nanmean(node: Node, axes: Sequence[int], keepdims: bool) -> Node:
    if _is_whole(node):
        return _mean(node, axes, keepdims)
    count = pt.sum(pt.invert(pt.isnan(node)), axis=axes, keepdims=keepdims, dtype="int64")
    return pt.sum(_without_nan(node, 0), axis=axes, keepdims=keepdims) / _to(count, node.type.dtype)


def _nanvar(node: Node, axes: Sequence[int], keepdims: bool) -> Node:
    """Return the variance of the elements that are not NaN. NaN must not get into the squares, because it
    would make their gradient NaN.
    """
    centered = node - _nanmean(node, axes, True)
    if _is_whole(node):
        return _mean(pt.sqr(centered), axes, keepdims)
    squares = pt.sqr(pt.switch(pt.isnan(node), _constant(0, node.type.dtype), centered))
    count = pt.sum(pt.invert(pt.isnan(node)), axis=axes, keepdims=keepdims, dtype="int64")
    return pt.sum(squares, axis=axes, keepdims=keepdims) / _to(count, node.type.dtype)


def nanmean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    node = as_node(x)
    dtype = result_type(node.type.dtype, float)
    return Tensor(_to(_nanmean(node, _axes(axis, node.type.ndim), keepdims), dtype))


def nanvar(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    node = _tensor(x)
    computed = _to(node, result_type(node.type.dtype, "float32"))
    result = _nanvar(computed, _axes(axis, node.type.ndim), keepdims)
    return Tensor(_to(result, result_type(node.type.dtype, float)))


def nanstd(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return Tensor(pt.sqrt(nanvar(x, axis, keepdims).node))


def _nan_where(node: Node, value: float, reverse: bool, axis: int | None, keepdims: bool) -> Tensor:
    order = _reversed_order if reverse else (lambda ordered: ordered)
    found = _argmax(order(_without_nan(node, value)), axis, keepdims)
    nothing = pt.all(_isnan(node), axis=_axes(axis, node.type.ndim), keepdims=keepdims)
    return Tensor(found if _is_whole(node) else pt.switch(nothing, _constant(-1, "int32"), found))


def nanargmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the place of the element, or -1 if all elements are NaN."""
    return _nan_where(as_node(x), -math.inf, False, axis, keepdims)


def nanargmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the place of the element, or -1 if all elements are NaN."""
    return _nan_where(as_node(x), math.inf, True, axis, keepdims)


# Order --------------------------------------------------------------------------------------------


def sort(x: Any, axis: int | None = -1) -> Tensor:
    node, axis = _flat_if_no_axis(as_node(x), axis)
    return Tensor(pt.sort(node, axis=axis))


def argsort(x: Any, axis: int | None = -1) -> Tensor:
    """Return the order of the elements. Equal elements keep their order. In eager code they have no fixed
    order, as in NumPy.
    """
    node, axis = _flat_if_no_axis(as_node(x), axis)
    return Tensor(_to(pt.argsort(node, axis=axis), "int32"))


def argpartition(x: Any, kth: Any, axis: int = -1) -> Tensor:
    """Return an order in which the kth element has its sorted place. All elements are sorted, which is more
    than necessary.
    """
    return argsort(x, axis)


_PLACES: dict[str, Op] = {
    "lower": pt.floor,
    "higher": pt.ceil,
    "nearest": pt.round,
}


def _quantile(
    x: Node, q: Any, axis: Axis, method: str, keepdims: bool, percent: bool = False, skip_nan: bool = False
) -> Node:
    """Return quantiles. A quantile lies between the two sorted elements around the place q * (count - 1).

    method: one of NumPy's names, or "mean" for the mean of the two elements, which is the median for q = 0.5.
    percent: whether q is given in percent.
    skip_nan: whether NaN is ignored.

    Returns floats in the dtype of x, or float64 for whole numbers. The shape is that of q followed by the
    remaining axes of x.
    """
    x = _to(x, "float64") if _is_whole(x) else x
    dtype = x.type.dtype
    share = as_node(q, dtype) / _constant(100 if percent else 1, dtype)
    message = f"{'Percentiles' if percent else 'Quantiles'} must be in the range [0, {100 if percent else 1}]"
    low, high = _constant(0, dtype), _constant(1, dtype)
    share = checked(share, ValueError, message, pt.ge(share, low), pt.le(share, high))
    axes = _axes(axis, x.type.ndim)
    kept = [n for n in range(x.type.ndim) if n not in axes]
    dims = sizes_of(x)
    rows = _reshaped(
        x.dimshuffle([*kept, *axes]), [dims[n] for n in kept] + [_product([dims[n] for n in axes])]
    )
    # Sorting moves NaN to the end.
    ordered = pt.sort(rows, axis=-1)
    if skip_nan:
        count = _to(pt.sum(pt.invert(pt.isnan(rows)), axis=-1, keepdims=True, dtype="int64"), dtype)
    else:
        count = _at_least(_count(rows, [rows.type.ndim - 1], dtype), rows.type.ndim)
    zero, half, one = (_constant(number, dtype) for number in (0, 0.5, 1))
    place = pt.maximum(_flat(share) * (count - _constant(1, dtype)), zero)

    def element(index: Node) -> Node:
        return _along_axis(ordered, _to(index, "int64"), ordered.type.ndim - 1)

    if method in _PLACES:
        found = element(_PLACES[method](place))
    elif method in ("linear", "midpoint"):
        part = place - pt.floor(place)
        if method == "midpoint":
            part = pt.switch(pt.gt(part, zero), half, zero)
        lower, upper = element(pt.floor(place)), element(pt.ceil(place))
        # Interpolate from the nearer element, as NumPy does. If one of them is infinite, this decides whether
        # the result is infinite or NaN.
        step = upper - lower
        found = pt.switch(pt.ge(part, half), upper - step * (one - part), lower + step * part)
    elif method == "mean":
        # The sum keeps two equal infinities, which have no difference to interpolate.
        lower, upper = element(pt.floor(place)), element(pt.ceil(place))
        found = pt.switch(pt.eq(pt.floor(place), place), lower, (lower + upper) * half)
    else:
        raise refusal("quantile", f"method={method!r}")
    if not skip_nan:
        last = pt.expand_dims(ordered[..., -1], -1)
        found = pt.switch(pt.isnan(last), _constant(math.nan, dtype), found)
    found = pt.moveaxis(found, -1, 0)
    found = _reshaped(found, [*sizes_of(share), *[dims[n] for n in kept]])
    if keepdims:
        found = pt.expand_dims(found, tuple(share.type.ndim + n for n in axes))
    return found


def _floats_if_bool(x: Any) -> Node:
    node = _tensor(x)
    return _to(node, floatx()) if node.type.dtype == "bool" else node


def median(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    node = as_node(x)
    return Tensor(_to(_quantile(node, 0.5, axis, "mean", keepdims), result_type(node.type.dtype, float)))


def nanmedian(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    node = as_node(x)
    result = _quantile(node, 0.5, axis, "mean", keepdims, skip_nan=True)
    return Tensor(_to(result, result_type(node.type.dtype, float)))


def quantile(x: Any, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    node = _floats_if_bool(x)
    return Tensor(_to(_quantile(node, q, axis, method, keepdims), _floating(node.type.dtype)))


def percentile(x: Any, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    node = _floats_if_bool(x)
    result = _quantile(node, q, axis, method, keepdims, percent=True)
    return Tensor(_to(result, result_type(node.type.dtype, float)))


def nanquantile(x: Any, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    node = _floats_if_bool(x)
    result = _quantile(node, q, axis, method, keepdims, skip_nan=True)
    return Tensor(_to(result, result_type(node.type.dtype, float)))


def nanpercentile(
    x: Any, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    node = _floats_if_bool(x)
    result = _quantile(node, q, axis, method, keepdims, percent=True, skip_nan=True)
    return Tensor(_to(result, _floating_or_same(node.type.dtype)))


def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Tensor:
    ordered = as_node(sorted_sequence)
    if ordered.type.ndim != 1:
        raise ValueError(
            f"searchsorted takes a sequence with one axis. Received: shape={ordered.type.shape}. "
            "To search in several sequences, use keras.ops.vectorized_map"
        )
    ordered, sought = _promoted(sorted_sequence, values)
    return Tensor(_to(pt.searchsorted(ordered, sought, side=side), "int32"))


def digitize(x: Any, bins: Any) -> Tensor:
    """Return the bin of each element.

    bins: in ascending order, or in descending order if their values are known now.
    """
    node, edges = _promoted(x, bins)
    values = getattr(edges, "data", None)
    if values is not None and values.size > 1 and values[0] > values[-1]:
        found = len(values) - pt.searchsorted(edges[::-1], node, side="left")
    else:
        found = pt.searchsorted(edges, node, side="right")
    return Tensor(_to(found, "int32"))


def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Tensor:
    """Count whole numbers.

    x: ints that are not negative, shape (n,) or (rows, n). There are as many bins as the greatest of all
        needs.
    """
    if sparse:
        raise ValueError("Unsupported value `sparse=True` with the Theano backend")
    node = _tensor(x)
    if weights is None:
        dtype, weight = "int32", _constant(1, "int32")
    else:
        weight = _tensor(weights)
        dtype = str(result_type(node.type.dtype, weight.type.dtype))
        weight = _flat(_to(weight, dtype))
    node = _to(node, "int64")
    node = checked(node, ValueError, "bincount takes no negative numbers", pt.ge(node, 0))
    bins = pt.maximum(pt.max(node) + _constant(1, "int64"), _constant(minlength, "int64"))
    counted = [bins]
    if node.type.ndim == 2:
        rows = size_of(node, 0)
        node = node + pt.expand_dims(_range(rows), 1) * bins
        counted = [rows, bins]
    counts = filled(_constant(0, dtype), [_product(counted)])[_flat(node)].inc(weight)
    return Tensor(_reshaped(counts, counted))


def histogram(x: Any, bins: Any = 10, range: Any = None) -> tuple[Tensor, Tensor]:
    """Return the counts as int64, and the edges of the bins."""
    node = _flat(as_node(x))
    if isinstance(bins, int):
        dtype = node.type.dtype if _is_float(node) else "float64"
        low, high = [as_node(end, dtype) for end in range or (min(Tensor(node)), max(Tensor(node)))]
        widen = pt.switch(pt.eq(low, high), _constant(0.5, dtype), _constant(0, dtype))
        edges = _spaced(low - widen, high + widen, bins + 1, True)
    else:
        edges = as_node(bins)
    ordered, limits = _promoted(Tensor(pt.sort(node)), Tensor(edges))
    starts = pt.searchsorted(ordered, limits[:-1], side="left")
    end = pt.searchsorted(ordered, limits[-1:], side="right")
    return Tensor(pt.diff(pt.concatenate([starts, end]))), Tensor(edges)


# Creation -----------------------------------------------------------------------------------------


def array(x: Any, dtype: Any = None) -> Tensor:
    return Tensor(_tensor(x) if dtype is None else as_node(x, dtype))


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    return Tensor(filled(as_node(fill_value, dtype or floatx()), sizes(shape)))


def zeros(shape: Any, dtype: Any = None) -> Tensor:
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = None) -> Tensor:
    return full(shape, 1, dtype)


def empty(shape: Any, dtype: Any = None) -> Tensor:
    return full(shape, 0, dtype)


def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    node = as_node(x)
    return Tensor(filled(as_node(fill_value, dtype or node.type.dtype), sizes_of(node)))


def zeros_like(x: Any, dtype: Any = None) -> Tensor:
    return full_like(x, 0, dtype)


def ones_like(x: Any, dtype: Any = None) -> Tensor:
    return full_like(x, 1, dtype)


def empty_like(x: Any, dtype: Any = None) -> Tensor:
    return full_like(x, 0, dtype)


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Tensor:
    if dtype is None:
        given = [x for x in (start, stop, step) if x is not None]
        dtype = result_type(*[getattr(x, "dtype", type(x)) for x in given])
    if stop is None:
        start, stop = 0, start
    ends = [as_node(x) for x in (start, stop, 1 if step is None else step)]
    return Tensor(_to(pt.arange(*ends, dtype=dtype), dtype))


def _spaced(start: Node, stop: Node, num: int, endpoint: bool) -> Node:
    """Return evenly spaced numbers along a new first axis.

    start, stop: have the same dtype.
    """
    dtype = start.type.dtype
    start, stop = pt.broadcast_arrays(start, stop)
    steps = num - 1 if endpoint else num
    places = pt.expand_dims(_range(num, dtype), tuple(range_ + 1 for range_ in range(start.type.ndim)))
    spaced = start + places * ((stop - start) / _constant(builtins.max(steps, 1), dtype))
    if endpoint and num > 1:
        spaced = pt.switch(pt.eq(places, _constant(num - 1, dtype)), stop, spaced)
    return spaced


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    first, last, _ = as_nodes(start, stop, 1.0)
    dtype = dtype or first.type.dtype
    spaced = pt.moveaxis(_spaced(first, last, num, endpoint), 0, axis)
    spaced = as_node(Tensor(pt.floor(spaced) if "int" in str(dtype) else spaced), dtype)
    if not retstep:
        return Tensor(spaced)
    steps = num - 1 if endpoint else num
    return Tensor(spaced), Tensor(
        (last - first) / _constant(steps if steps > 0 else math.nan, first.type.dtype)
    )


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10,
    dtype: Any = None,
    axis: int = 0,
) -> Tensor:
    first, last, _ = as_nodes(start, stop, 1.0)
    spaced = as_node(base, first.type.dtype) ** _spaced(first, last, num, endpoint)
    return Tensor(as_node(Tensor(pt.moveaxis(spaced, 0, axis)), dtype or first.type.dtype))


def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Tensor:
    first, last, _ = as_nodes(start, stop, 1.0)
    dtype = dtype or floatx()
    exponents = _spaced(pt.zeros_like(first), pt.ones_like(last), num, endpoint)
    spaced = first * (last / first) ** exponents
    # The ends are exactly the arguments, even if their ratio is infinite or NaN.
    spaced = pt.switch(pt.eq(exponents, 0), first, spaced)
    if endpoint and num > 1:
        spaced = pt.switch(pt.eq(exponents, 1), pt.switch(pt.isnan(first), first, last), spaced)
    return Tensor(as_node(Tensor(pt.moveaxis(spaced, 0, axis)), dtype))


def eye(N: Any, M: Any = None, k: Any = 0, dtype: Any = None) -> Tensor:
    rows, columns = sizes([N, N if M is None else M])
    return Tensor(pt.eye(rows, columns, as_node(k), dtype=dtype or floatx()))


def identity(n: Any, dtype: Any = None) -> Tensor:
    return eye(n, dtype=dtype)


def _not_above(dims: Sequence[Any], k: Any, more: int = 0) -> Node:
    """Return where a matrix is at or below the diagonal k + more, as bools of shape (rows, columns).

    dims: the two sizes, or one for both.
    """
    offset = _to(as_node(k), "int64") + _constant(more, "int64")
    return pt.ge(pt.expand_dims(_range(dims[0]), 1) + offset, _range(dims[-1]))


def tri(N: Any, M: Any = None, k: Any = 0, dtype: Any = None) -> Tensor:
    below = _not_above(sizes([N, N if M is None else M]), k)
    return Tensor(as_node(Tensor(below), dtype or floatx()))


def tril(x: Any, k: Any = 0) -> Tensor:
    node = as_node(x)
    return Tensor(pt.switch(_not_above(sizes_of(node)[-2:], k), node, _constant(0, node.type.dtype)))


def triu(x: Any, k: Any = 0) -> Tensor:
    node = as_node(x)
    return Tensor(pt.switch(_not_above(sizes_of(node)[-2:], k, -1), _constant(0, node.type.dtype), node))


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Tensor:
    node = _tensor(x)
    computed = _to(node, result_type(node.type.dtype, floatx()))
    powers = _range(size_of(node, 0) if N is None else N, computed.type.dtype)
    columns = pt.expand_dims(computed, 1) ** (powers if increasing else powers[::-1])
    return Tensor(_to(columns, result_type(node.type.dtype)))


def _window(formula: Op) -> Op:
    """Return the op for a window function.

    formula: takes the places, which are evenly spaced from -1 to 1. A single place is 0.
    """

    def op(x: Any) -> Tensor:
        count = _to(_tensor(x), "float64")
        one = _constant(1, "float64")
        places = pt.arange(one - count, count, _constant(2, "float64"), dtype="float64")
        return Tensor(_to(formula(places / pt.maximum(count - one, one)), floatx()))

    return op


bartlett = _window(lambda places: 1 - pt.abs(places))
hamming = _window(lambda places: 0.54 + 0.46 * pt.cos(math.pi * places))
hanning = _window(lambda places: 0.5 + 0.5 * pt.cos(math.pi * places))
blackman = _window(lambda places: 0.42 + 0.5 * pt.cos(math.pi * places) + 0.08 * pt.cos(2 * math.pi * places))


def kaiser(x: Any, beta: Any) -> Tensor:
    def formula(places: Node) -> Node:
        shape = as_node(beta, "float64")
        return pt.i0(shape * pt.sqrt(pt.maximum(1 - pt.sqr(places), 0.0))) / pt.i0(shape)

    result: Tensor = _window(formula)(x)
    return result


# Shape --------------------------------------------------------------------------------------------


def ndim(x: Any) -> int:
    return int(as_node(x).type.ndim)


def size(x: Any) -> Any:
    """Return the number of elements: an int if it is known, otherwise a Tensor of int32 and shape ()."""
    count = _product(sizes_of(as_node(x)))
    return count if isinstance(count, int) else Tensor(_to(count, "int32"))


def reshape(x: Any, newshape: Any) -> Tensor:
    return Tensor(_reshaped(as_node(x), sizes(newshape)))


def ravel(x: Any) -> Tensor:
    return Tensor(_flat(as_node(x)))


def broadcast_to(x: Any, shape: Any) -> Tensor:
    return Tensor(filled(as_node(x), sizes(shape)))


def expand_dims(x: Any, axis: Axis) -> Tensor:
    return Tensor(pt.expand_dims(as_node(x), axis))


def squeeze(x: Any, axis: Axis = None) -> Tensor:
    """Remove axes of size 1. Without an axis, only those whose size is known to be 1 are removed."""
    node = as_node(x)
    if axis is None:
        return Tensor(pt.squeeze(node))
    axes = _axes(axis, node.type.ndim)
    if builtins.any(node.type.shape[n] is None for n in axes):
        node = pt.specify_shape(node, [1 if n in axes else known for n, known in enumerate(node.type.shape)])
    return Tensor(pt.squeeze(node, axes))


def transpose(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    node = as_node(x)
    order = range(node.type.ndim)[::-1] if axes is None else _axes(axes, node.type.ndim)
    return Tensor(node.dimshuffle(list(order)))


def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    return Tensor(pt.swapaxes(as_node(x), axis1, axis2))


def moveaxis(x: Any, source: Any, destination: Any) -> Tensor:
    return Tensor(pt.moveaxis(as_node(x), source, destination))


def flip(x: Any, axis: Axis = None) -> Tensor:
    node = as_node(x)
    axes = _axes(axis, node.type.ndim)
    return Tensor(node[tuple(slice(None, None, -1 if n in axes else None) for n in range(node.type.ndim))])


def fliplr(x: Any) -> Tensor:
    return flip(x, 1)


def flipud(x: Any) -> Tensor:
    return flip(x, 0)


def rot90(array: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    node = as_node(array)
    if node.type.ndim < 2:
        raise ValueError(f"rot90 takes at least two axes. Received: array.ndim={node.type.ndim}")
    if len(axes) != 2 or axes[0] == axes[1]:
        raise ValueError(f"Invalid axes: {axes}. rot90 needs two different axes")
    first, second = _axes(axes, node.type.ndim)
    turned = Tensor(node)
    if k % 4 == 2:
        return flip(turned, (first, second))
    if k % 4 == 1:
        return swapaxes(flip(turned, second), first, second)
    return flip(swapaxes(turned, first, second), second) if k % 4 == 3 else turned


def roll(x: Any, shift: Any, axis: Axis = None) -> Tensor:
    node = as_node(x)
    if axis is None:
        return Tensor(_reshaped(roll(Tensor(_flat(node)), shift, 0).node, sizes_of(node)))
    axes = _axes(axis, node.type.ndim)
    shifts = list(shift) if isinstance(shift, (list, tuple)) else [shift] * len(axes)
    for n, by in zip(axes * (len(shifts) // len(axes)), shifts, strict=True):
        length = size_of(node, n)
        if isinstance(by, int) and isinstance(length, int):
            cut = (length - by) % length if length else 0
            parts = [slice(cut, None), slice(None, cut)]
            node = pt.join(n, *[node[_along(node.type.ndim, n, part)] for part in parts]) if cut else node
        else:
            node = pt.roll(node, by if isinstance(by, int) else _to(as_node(by), "int64"), axis=n)
    return Tensor(node)


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Tensor:
    node, axis = _flat_if_no_axis(as_node(x), axis)
    length = size_of(node, axis)
    counts = as_node(repeats)
    known = getattr(counts, "data", None)
    if counts.type.ndim == 0 or (known is not None and known.size == 1):
        times = _to(counts, "int64") if known is None else int(known.item())
        dims = sizes_of(node)
        repeated = filled(pt.expand_dims(node, axis + 1), [*dims[: axis + 1], times, *dims[axis + 1 :]])
        dims[axis] = _product([length, times])
        return Tensor(_reshaped(repeated, dims))
    if known is not None and isinstance(length, int):
        places = np.repeat(np.arange(length), known)
        return Tensor(_taken(node, _constant(places, "int64"), axis))
    return Tensor(pt.repeat(node, _to(counts, "int64"), axis=axis))


def tile(x: Any, repeats: Any) -> Tensor:
    counts = sizes(repeats)
    node = _at_least(as_node(x), len(counts))
    counts = [1] * (node.type.ndim - len(counts)) + counts
    dims = sizes_of(node)
    pairs = [part for pair in zip(counts, dims, strict=True) for part in pair]
    tiled = filled(pt.expand_dims(node, tuple(range(0, 2 * len(dims), 2))), pairs)
    return Tensor(_reshaped(tiled, [_product(pair) for pair in zip(counts, dims, strict=True)]))


def meshgrid(*x: Any, indexing: str = "xy") -> list[Tensor]:
    flat = [_flat(as_node(part)) for part in x]
    dims = [size_of(node, 0) for node in flat]
    grids = []
    for n, node in enumerate(flat):
        others = tuple(m for m in range(len(flat)) if m != n)
        grids.append(Tensor(filled(pt.expand_dims(node, others), dims)))
    return [swapaxes(grid, 0, 1) for grid in grids] if indexing == "xy" and len(flat) > 1 else grids


def _in_one_dtype(xs: Any) -> list[Node]:
    """Return the nodes of `xs` in one dtype. If they have one already, nothing changes."""
    xs = list(xs)
    nodes = [as_node(x) for x in xs]
    return nodes if len({node.type.dtype for node in nodes}) == 1 else as_nodes(*xs)


def concatenate(xs: Any, axis: int | None = 0) -> Tensor:
    nodes = _in_one_dtype(xs)
    if axis is None:
        nodes, axis = [_flat(node) for node in nodes], 0
    return Tensor(pt.join(normalize_axis_index(axis, nodes[0].type.ndim), *nodes))


def stack(x: Any, axis: int = 0) -> Tensor:
    nodes = _in_one_dtype(x)
    axis = normalize_axis_index(axis, nodes[0].type.ndim + 1)
    return Tensor(pt.join(axis, *[pt.expand_dims(node, axis) for node in nodes]))


def column_stack(xs: Any) -> Tensor:
    """Join vectors and matrices along the second axis. A vector is one column."""
    nodes = [_at_least(node, 1) for node in _in_one_dtype([Tensor(_tensor(x)) for x in xs])]
    return Tensor(pt.join(1, *[pt.expand_dims(node, 1) if node.type.ndim == 1 else node for node in nodes]))


def vstack(xs: Any) -> Tensor:
    return Tensor(pt.join(0, *[_at_least(node, 2) for node in _in_one_dtype(xs)]))


def hstack(xs: Any) -> Tensor:
    nodes = [_at_least(node, 1) for node in _in_one_dtype(xs)]
    return Tensor(pt.join(0 if nodes[0].type.ndim == 1 else 1, *nodes))


def dstack(xs: Any) -> Tensor:
    nodes = [_at_least(node, 2) for node in _in_one_dtype(xs)]
    return Tensor(pt.join(2, *[pt.expand_dims(node, 2) if node.type.ndim == 2 else node for node in nodes]))


def append(x1: Any, x2: Any, axis: int | None = None) -> Tensor:
    first, second = _together(x1, x2)
    return concatenate([Tensor(first), Tensor(second)], axis)


def _parts(x: Any, indices_or_sections: Any, axis: int, even: bool) -> list[Tensor]:
    """Split an axis into parts.

    even: whether the parts must have the same size.
    """
    node = as_node(x)
    axis = normalize_axis_index(axis, node.type.ndim)
    length = size_of(node, axis)
    if not isinstance(indices_or_sections, (int, np.integer)):
        ends = [as_node(end) for end in indices_or_sections]
        pairs = zip([None, *ends], [*ends, None], strict=True)
        return [Tensor(node[_along(node.type.ndim, axis, slice(start, end))]) for start, end in pairs]
    count = int(indices_or_sections)
    if even and isinstance(length, int) and length % count:
        raise ValueError(
            f"an axis of size {length} cannot be split into {count} equal parts. Use keras.ops.array_split"
        )
    if count == 1:
        return [Tensor(node)]
    if isinstance(length, int):
        parts: Any = [length // count + (n < length % count) for n in range(count)]
    else:
        whole, rest = length // count, length % count
        parts = [whole if even else whole + _to(pt.gt(rest, n), "int64") for n in range(count)]
    return [Tensor(part) for part in pt.split(node, parts, n_splits=count, axis=axis)]


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    return _parts(x, indices_or_sections, axis, True)


def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    return _parts(x, indices_or_sections, axis, False)


def vsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    return split(Tensor(_tensor(x)), indices_or_sections, 0)


def hsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    return split(Tensor(_tensor(x)), indices_or_sections, 1 if ndim(x) > 1 else 0)


def dsplit(x: Any, indices_or_sections: Any) -> list[Tensor]:
    return split(Tensor(_tensor(x)), indices_or_sections, 2)


def _padding_of(pad_width: Any, axes: int) -> list[tuple[int, int]]:
    """Return the widths before and after each axis."""
    widths = np.broadcast_to(np.asarray(pad_width, dtype="int64"), (axes, 2))
    return [(int(before), int(after)) for before, after in widths]


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Tensor:
    if constant_values is not None and mode != "constant":
        raise ValueError(
            "Argument `constant_values` can only be provided when `mode == 'constant'`. "
            f"Received: mode={mode}"
        )
    node = as_node(x)
    widths = _padding_of(pad_width, node.type.ndim)
    dims = sizes_of(node)
    if mode == "constant":
        value = as_node(0 if constant_values is None else constant_values, node.type.dtype)
        padded = filled(
            value, [length + before + after for length, (before, after) in zip(dims, widths, strict=True)]
        )
        inside = tuple(
            slice(before, before + length if isinstance(length, int) else -after or None)
            for length, (before, after) in zip(dims, widths, strict=True)
        )
        return Tensor(padded[inside].set(node))
    if mode not in _PADDED_PLACES:
        raise refusal("pad", f"mode={mode!r}")
    for axis, ((before, after), length) in enumerate(zip(widths, dims, strict=True)):
        if before or after:
            last = _constant(length, "int64") if isinstance(length, int) else length
            places = pt.arange(-before, last + after, dtype="int64")
            node = _taken(node, _PADDED_PLACES[mode](places, last - 1), axis)
    return Tensor(node)


def _reflected(places: Node, last: Node) -> Node:
    return last - pt.abs(last - places % pt.maximum(2 * last, 1))


# These functions map places outside of an axis, such as -1 or last + 1, to the places inside that hold the
# value.
_PADDED_PLACES: dict[str, Op] = {
    "edge": lambda places, last: pt.maximum(pt.minimum(places, last), 0),
    "reflect": _reflected,
    "symmetric": lambda places, last: pt.minimum(places % (2 * last + 2), (-1 - places) % (2 * last + 2)),
    "wrap": lambda places, last: places % (last + 1),
}


def view(x: Any, dtype: Any = None) -> Tensor:
    """Read the same bytes as numbers of another dtype. Where the size of a number changes, so does the size
    of the last axis. There is no gradient, unless the dtype stays the same.

    Raises NotImplementedError for a dtype that a recorded step does not compute in.
    """
    node = _tensor(x)
    new = np.dtype(dtype)
    if new == node.type.dtype:
        return Tensor(node)
    if traceable(new) != new.name:
        raise refusal("view", f"dtype={new.name}")
    shape = list(node.type.shape)
    old = np.dtype(node.type.dtype)
    if old.itemsize != new.itemsize:
        if not shape or (shape[-1] is not None and shape[-1] * old.itemsize % new.itemsize):
            raise ValueError(f"an array of {old.name} and shape {tuple(shape)} cannot be read as {new.name}")
        shape[-1] = None if shape[-1] is None else shape[-1] * old.itemsize // new.itemsize
    return Tensor(computed(_read_as, [node], [(new.name, shape)], dtype=new.name)[0])


def _read_as(x: Any, *, dtype: str) -> Any:
    return np.ascontiguousarray(x).reshape(x.shape).view(dtype).copy()


# Elements -----------------------------------------------------------------------------------------


def _taken(node: Node, places: Node, axis: int) -> Node:
    """Pick elements along an axis.

    places: whole numbers. If they have several axes, these are flattened first, because PyTensor's fastest op
        takes only one.
    """
    if places.type.ndim < 2:
        return node[_along(node.type.ndim, axis, places)]
    dims = sizes_of(node)
    found = node[_along(node.type.ndim, axis, _flat(places))]
    return _reshaped(found, [*dims[:axis], *sizes_of(places), *dims[axis + 1 :]])


def _along_axis(node: Node, places: Node, axis: int) -> Node:
    """Pick an element of each row along an axis. The two arguments have the same number of axes, and all axes
    except `axis` broadcast.
    """
    key = []
    for n, length in enumerate(sizes_of(node)):
        others = tuple(m for m in range(node.type.ndim) if m != n)
        key.append(places if n == axis else pt.expand_dims(_range(length), others))
    return node[tuple(key)]


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    node, axis = _flat_if_no_axis(as_node(x), axis)
    return Tensor(_taken(node, _to(as_node(indices), "int64"), axis))


def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    places = _to(as_node(indices), "int64")
    if axis is None:
        return Tensor(_flat(as_node(x))[places])
    node = as_node(x)
    return Tensor(_along_axis(node, places, normalize_axis_index(axis, node.type.ndim)))


def unravel_index(indices: Any, shape: Any) -> tuple[Tensor, ...]:
    node = _tensor(indices)
    places = []
    count = _product(sizes(shape))
    node = within(node, count, "an index lies outside of an array of this shape", False, ValueError)
    for length in reversed(sizes(shape)):
        length = _to(as_node(length), node.type.dtype) if isinstance(length, int) else length
        places.append(Tensor(_to(node % length, _tensor(indices).type.dtype)))
        node = node // length
    return tuple(reversed(places))


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return a diagonal. It is picked by indices, because the gradient of PyTensor's own op is slow to
    compile.
    """
    node = pt.moveaxis(as_node(x), (axis1, axis2), (0, 1))
    down, right = builtins.max(-offset, 0), builtins.max(offset, 0)
    rows, columns = sizes_of(node)[:2]
    if isinstance(rows, int) and isinstance(columns, int):
        length: Any = builtins.max(builtins.min(rows - down, columns - right), 0)
    else:
        length = pt.maximum(pt.minimum(rows - down, columns - right), _constant(0, "int64"))
    places = _range(length)
    return Tensor(
        pt.moveaxis(node[places + _constant(down, "int64"), places + _constant(right, "int64")], 0, -1)
    )


def diag(x: Any, k: int = 0) -> Tensor:
    node = as_node(x)
    if node.type.ndim == 2:
        return diagonal(Tensor(node), k)
    if node.type.ndim != 1:
        raise ValueError(f"diag takes one axis or two. Received: x.ndim={node.type.ndim}")
    rows = pad(Tensor(node), (builtins.max(-k, 0), builtins.max(k, 0))).node
    places = _range(size_of(rows, 0))
    here = pt.eq(places, pt.expand_dims(places, 1) + _constant(k, "int64"))
    return Tensor(pt.switch(here, pt.expand_dims(rows, 1), _constant(0, node.type.dtype)))


def diagflat(x: Any, k: int = 0) -> Tensor:
    return diag(Tensor(_flat(as_node(x))), k)


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    return sum(diagonal(Tensor(_tensor(x)), offset, axis1, axis2), -1)


def _differences(node: Node, n: int, axis: int) -> Node:
    for _ in range(n):
        after = node[_along(node.type.ndim, axis, slice(1, None))]
        before = node[_along(node.type.ndim, axis, slice(None, -1))]
        node = pt.neq(after, before) if node.type.dtype == "bool" else after - before
    return node


def diff(a: Any, n: int = 1, axis: int = -1) -> Tensor:
    node = as_node(a)
    return Tensor(_differences(node, n, normalize_axis_index(axis, node.type.ndim)))


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Tensor:
    node = _tensor(y)
    dtype = result_type(node.type.dtype, float)
    node = _to(node, dtype)
    axis = normalize_axis_index(axis, node.type.ndim)
    if x is None:
        widths = as_node(dx, dtype)
    else:
        places = _to(_tensor(x), dtype)
        if places.type.ndim == 1:
            places = pt.expand_dims(places, tuple(n for n in range(node.type.ndim) if n != axis))
        widths = _differences(places, 1, axis)
    after = node[_along(node.type.ndim, axis, slice(1, None))]
    before = node[_along(node.type.ndim, axis, slice(None, -1))]
    return Tensor(pt.sum(widths * (after + before) * _constant(0.5, dtype), axis=axis))


# Products -----------------------------------------------------------------------------------------


def _int32_if_all_int8(nodes: list[Node]) -> list[Node]:
    dtypes = [node.type.dtype for node in nodes]
    dtype = "int32" if set(dtypes) == {"int8"} else result_type(*dtypes)
    return [_to(node, dtype) for node in nodes]


def _matmul(first: Node, second: Node) -> Node:
    """Multiply matrices. A product of many rows with one matrix is a single product, forward and backward."""
    if first.type.ndim == 1:
        return _matmul(pt.expand_dims(first, 0), second)[..., 0, :]
    if second.type.ndim == 1:
        return _matmul(first, pt.expand_dims(second, 1))[..., 0]
    if second.type.ndim == 2:
        return pt.dot(first, second) if first.type.ndim == 2 else pt.tensordot(first, second, [[-1], [0]])
    return pt.matmul(first, second)


def matmul(x1: Any, x2: Any) -> Tensor:
    first, second = _int32_if_all_int8([_tensor(x1), _tensor(x2)])
    if first.type.ndim == 1 and second.type.ndim == 1:
        return Tensor(pt.dot(first, second))
    return Tensor(_matmul(first, second))


def dot(x1: Any, x2: Any) -> Tensor:
    first, second = _together(x1, x2)
    if first.type.ndim == 0 or second.type.ndim == 0:
        return Tensor(pt.and_(first, second) if first.type.dtype == "bool" else first * second)
    return Tensor(pt.tensordot(first, second, [[-1], [-1 if second.type.ndim == 1 else -2]]))


def inner(x1: Any, x2: Any) -> Tensor:
    first, second = _together(x1, x2)
    if first.type.ndim == 0 or second.type.ndim == 0:
        return Tensor(pt.and_(first, second) if first.type.dtype == "bool" else first * second)
    return Tensor(pt.tensordot(first, second, [[-1], [-1]]))


def vdot(x1: Any, x2: Any) -> Tensor:
    first, second = _together(x1, x2)
    return Tensor(pt.dot(_flat(pt.conj(first)), _flat(second)))


def outer(x1: Any, x2: Any) -> Tensor:
    first, second = _together(x1, x2)
    return multiply(Tensor(pt.expand_dims(_flat(first), 1)), Tensor(_flat(second)))


def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Tensor:
    return Tensor(pt.tensordot(*_together(x1, x2), axes))


def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Tensor:
    """Compute an Einstein sum from left to right, ignoring `optimize`.

    PyTensor's own einsum is an op that contains a graph. Modes that keep this op compile the graph
    separately.
    """
    if set(kwargs) - {"optimize"}:
        raise refusal("einsum", str(sorted(kwargs)))
    nodes = _int32_if_all_int8([_tensor(x) for x in operands])
    *inputs, output = _labels(subscripts, [node.type.ndim for node in nodes])
    terms = [_without_repeats(node, labels) for node, labels in zip(nodes, inputs, strict=True)]
    product, *others = terms
    for n, other in enumerate(others):
        needed = set(output).union(*[labels for _, labels in others[n + 1 :]])
        product = _contracted(_summed_over(*product, needed | set(other[1])), other, needed)
    node, labels = _summed_over(*product, set(output))
    return Tensor(node.dimshuffle([labels.index(label) for label in output]))


# An axis in einsum is a letter, or a number that counts the axes of the ellipsis from the last one.
_Labels = list[str | int]


def _labels(subscripts: str, axes: Sequence[int]) -> list[_Labels]:
    """Return the labels of each operand and then those of the result.

    axes: the number of axes of each operand.
    """
    given, arrow, wanted = subscripts.replace(" ", "").partition("->")
    parts = given.split(",")
    if len(parts) != len(axes):
        raise ValueError(f"einsum of {subscripts!r} takes {len(parts)} operands. Received: {len(axes)}")
    elided = [count - len(part.replace("...", "")) for part, count in zip(parts, axes, strict=True)]
    if builtins.any(
        count < 0 or (count > 0 and "..." not in part) for part, count in zip(parts, elided, strict=True)
    ):
        raise ValueError(f"einsum of {subscripts!r} does not fit operands with {list(axes)} axes")
    if not arrow:
        once = sorted(letter for letter in set(given) - set(".,") if given.count(letter) == 1)
        wanted = ("..." if "..." in given else "") + "".join(once)

    def labels(part: str, count: int) -> _Labels:
        before, dots, after = part.partition("...")
        return [*before, *(reversed(range(count)) if dots else ()), *after]

    most = builtins.max(
        [count for part, count in zip(parts, elided, strict=True) if "..." in part], default=0
    )
    return [*[labels(part, count) for part, count in zip(parts, elided, strict=True)], labels(wanted, most)]


def _without_repeats(node: Node, labels: _Labels) -> tuple[Node, _Labels]:
    """Return the diagonals of axes that have the same label."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            node = diagonal(Tensor(node), 0, first, second).node
            labels = [*[other for n, other in enumerate(labels) if n not in (first, second)], label]
    return node, labels


def _summed_over(node: Node, labels: _Labels, needed: set[str | int]) -> tuple[Node, _Labels]:
    """Sum over the axes that are not needed."""
    axes = [n for n, label in enumerate(labels) if label not in needed]
    if not axes:
        return node, labels
    return sum(Tensor(node), axes).node, [label for label in labels if label in needed]


def _contracted(
    first: tuple[Node, _Labels], second: tuple[Node, _Labels], needed: set[str | int]
) -> tuple[Node, _Labels]:
    """Return the product of two operands, summed over the axes that they share and that are not needed
    otherwise.
    """
    second = _summed_over(*second, needed | set(first[1]))
    (left, left_labels), (right, right_labels) = first, second
    shared = [label for label in left_labels if label in right_labels]
    batch = [label for label in shared if label in needed]
    inner = [label for label in shared if label not in needed]
    rows = [label for label in left_labels if label not in shared]
    columns = [label for label in right_labels if label not in shared]
    lefts = dict(zip(left_labels, sizes_of(left), strict=True))
    rights = dict(zip(right_labels, sizes_of(right), strict=True))
    left = left.dimshuffle([left_labels.index(label) for label in [*batch, *rows, *inner]])
    right = right.dimshuffle([right_labels.index(label) for label in [*batch, *inner, *columns]])
    labels = [*batch, *rows, *columns]
    if not inner:
        places = range(left.type.ndim, left.type.ndim + len(columns))
        left = pt.expand_dims(left, tuple(places))
        right = pt.expand_dims(right, tuple(range(len(batch), len(batch) + len(rows))))
        return multiply(Tensor(left), Tensor(right)).node, labels

    def size(of: dict[str | int, Any], some: _Labels) -> Any:
        return _product([of[label] for label in some])

    if (len(rows), len(inner)) != (1, 1):
        left = _reshaped(left, [*[lefts[n] for n in batch], size(lefts, rows), size(lefts, inner)])
    if (len(inner), len(columns)) != (1, 1):
        right = _reshaped(right, [*[rights[n] for n in batch], size(rights, inner), size(rights, columns)])
    product = _matmul(left, right)
    if (len(rows), len(columns)) != (1, 1):
        dims = [rights[label] if lefts[label] == 1 else lefts[label] for label in batch]
        product = _reshaped(product, [*dims, *[lefts[n] for n in rows], *[rights[n] for n in columns]])
    return product, labels


def kron(x1: Any, x2: Any) -> Tensor:
    first, second = _together(x1, x2)
    axes = builtins.max(first.type.ndim, second.type.ndim)
    first, second = _at_least(first, axes), _at_least(second, axes)
    dims = [_product(pair) for pair in zip(sizes_of(first), sizes_of(second), strict=True)]
    first = pt.expand_dims(first, tuple(range(1, 2 * axes, 2)))
    second = pt.expand_dims(second, tuple(range(0, 2 * axes, 2)))
    return Tensor(_reshaped(multiply(Tensor(first), Tensor(second)).node, dims))


def _components(node: Node) -> list[Node]:
    """Return three components of the last axis. A missing one is 0."""
    parts = [node[..., n] for n in range(node.type.shape[-1])]
    return parts if len(parts) == 3 else [*parts, pt.zeros_like(parts[0])]


def cross(
    x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Tensor:
    """Return cross products of vectors with two or three components along an axis of known size. For two
    vectors with two components, the result is only the third component.
    """
    first, second = _together(x1, x2)
    if axis is not None:
        axisa = axisb = axisc = axis
    first, second = pt.moveaxis(first, axisa, -1), pt.moveaxis(second, axisb, -1)
    lengths = first.type.shape[-1], second.type.shape[-1]
    if not set(lengths) <= {2, 3}:
        raise ValueError(
            f"cross takes vectors of 2 or 3 components, known before the call. Received: {lengths}"
        )
    a, b = _components(first), _components(second)

    def component(n: int, m: int) -> Node:
        return a[n] * b[m] - a[m] * b[n]

    if lengths == (2, 2):
        return Tensor(component(0, 1))
    parts = pt.broadcast_arrays(component(1, 2), component(2, 0), component(0, 1))
    return Tensor(pt.moveaxis(pt.stack(parts, axis=-1), -1, axisc))


def _products_of_deviations(node: Node) -> tuple[Node, Node]:
    """Return the products of the deviations of all pairs of variables from their means, added up, and the
    number of observations. Both are float64.

    node: the variables in rows, or a single variable.
    """
    rows = _to(_at_least(node, 2), "float64")
    centered = rows - _mean(rows, [1], True)
    return pt.dot(centered, centered.T), _to(rows.shape[1], "float64")


def cov(x: Any) -> Tensor:
    """Return covariances, or the variance of a single variable.

    x: the variables in rows, or a single variable.
    """
    node = _tensor(x)
    products, count = _products_of_deviations(node)
    found = products / (count - 1)
    alone = node.type.ndim < 2 or node.type.shape[0] == 1
    return Tensor(_to(found[0, 0] if alone else found, _at_least_float32(node.type.dtype)))


def corrcoef(x: Any) -> Tensor:
    """Return correlation coefficients.

    x: the variables in rows, or a single variable.
    """
    node = as_node(x)
    dtype = _at_least_float32(node.type.dtype)
    products, _ = _products_of_deviations(node)
    norms = pt.sqrt(diagonal(Tensor(products)).node)
    coefficients = products / pt.expand_dims(norms, 1) / norms
    limit = _constant(1, "float64")
    coefficients = pt.maximum(pt.minimum(coefficients, limit), -limit)
    return Tensor(_to(coefficients if node.type.ndim > 1 else coefficients[0, 0], dtype))


def correlate(x1: Any, x2: Any, mode: str = "valid") -> Tensor:
    """Return the cross-correlation.

    Raises NotImplementedError if mode is "same" and a size is not known.
    """
    dtype = result_type(as_node(x1).type.dtype, as_node(x2).type.dtype)
    dtype = {"int64": "float64", "float64": "float64"}.get(dtype, "float32")
    first, second = as_node(x1, dtype), as_node(x2, dtype)[::-1]
    if mode != "same":
        return Tensor(convolve1d(first, second, mode=mode))
    length, other = first.type.shape[0], second.type.shape[0]
    if length is None or other is None:
        raise refusal("correlate", f"arrays of shape {first.type.shape} and {second.type.shape}")
    start = (other - 1) // 2 if length >= other else length // 2
    return Tensor(convolve1d(first, second, mode="full")[start : start + builtins.max(length, other)])


def slogdet(x: Any) -> tuple[Tensor, Tensor]:
    """Return the sign of the determinant and the logarithm of its absolute value.

    x: shape (..., n, n).
    """
    node = as_node(x)
    node = _to(node, "float64") if _is_whole(node) else node
    found, logarithm = pt.linalg.slogdet(node)
    return Tensor(_to(found, node.type.dtype)), Tensor(_to(logarithm, node.type.dtype))
