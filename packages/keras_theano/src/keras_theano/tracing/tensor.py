"""The symbolic value that Keras sees inside a trace."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from keras.src.backend.common import KerasVariable
from keras.src.backend.common.dtypes import result_type
from keras.src.backend.common.variables import standardize_dtype
from pytensor.tensor.variable import TensorVariable

from keras_theano.tracing import dimshuffles, trace, values
from keras_theano.tracing.dtypes import converted
from keras_theano.tracing.narrow import FLOAT8, HALF, narrowed
from keras_theano.tracing.values import refuse_none

dimshuffles.read_once()

UNTRACEABLE_DTYPES = ("float8_e4m3fn", "float8_e5m2", "int4", "uint4", "string")


class NoValueYet(TypeError, NotImplementedError):
    """Python code or another library asked for the numbers in a traced tensor. Code that needs no gradients
    can run without a trace instead.
    """


class Tensor:
    """A symbolic tensor.

    node: the PyTensor variable.
    shape: a tuple of ints, with None for each size that is not known before the call.
    dtype: NumPy's name of the dtype.
    """

    __slots__ = ("_keras_mask", "node")  # Keras stores a mask on tensors

    def __init__(self, node: TensorVariable) -> None:
        self.node = node

    @property
    def shape(self) -> tuple[int | None, ...]:
        return tuple(self.node.type.shape)

    @property
    def dtype(self) -> str:
        return str(self.node.type.dtype)

    @property
    def ndim(self) -> int:
        return int(self.node.type.ndim)

    def __repr__(self) -> str:
        return f"<traced tensor, shape={self.shape}, dtype={self.dtype}>"

    def __len__(self) -> int:
        if not self.shape or self.shape[0] is None:
            raise TypeError(f"{self!r} has no length that is known before the call. Use keras.ops.shape.")
        return self.shape[0]

    def __iter__(self) -> "Iterator[Tensor]":
        return iter([self[n] for n in range(len(self))])

    def _no_value(self, *_: object) -> Any:
        raise NoValueYet(
            f"{self!r} has no value yet: the Theano backend runs this code once, to record what is computed, "
            "and then runs what it recorded. Use keras.ops.cond or keras.ops.where instead of Python's `if`, "
            "and keras.ops instead of NumPy."
        )

    __bool__ = __int__ = __float__ = __index__ = __array__ = numpy = item = tolist = _no_value

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> "Tensor":
        """Return a traced result. Python asks NumPy first to compute `array + tensor` and `array += tensor`,
        and NumPy calls this method.
        """
        name = _UFUNCS.get(ufunc.__name__)
        if name is None or method != "__call__":
            self._no_value()
        return getattr(values.operators, name)(*inputs)  # type: ignore[no-any-return, arg-type]

    def __getitem__(self, key: Any) -> "Tensor":
        part = self.node[_index(key)]
        first = key[0] if isinstance(key, tuple) and key else key
        if part.type.ndim and part.type.shape[0] is None and _is_one(first):
            # PyTensor broadcasts an axis only if it knows that its size is 1.
            part = pt.specify_shape(part, (1, *part.type.shape[1:]))
        return Tensor(part)

    def __hash__(self) -> int:
        return id(self)


def _is_one(key: Any) -> bool:
    """Return whether `key` is a slice of the first or of the last element only."""
    if not isinstance(key, slice) or key.step not in (None, 1):
        return False
    known = all(end is None or isinstance(end, int) for end in (key.start, key.stop))
    return known and (key.start, key.stop) in ((None, 1), (0, 1), (-1, None))


def _index(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(_index(part) for part in key)
    if isinstance(key, slice):
        return slice(_index(key.start), _index(key.stop), _index(key.step))
    return as_node(key) if isinstance(key, (Tensor, KerasVariable)) else key


def _operator(name: str, swapped: bool = False) -> Any:
    def operate(self: Tensor, *others: Any) -> Any:
        if any(other is None or isinstance(other, str) for other in others):
            return NotImplemented
        op = getattr(values.operators, name)
        return op(*others, self) if swapped else op(self, *others)

    return operate


for _python, _op in {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "mod",
    "pow": "power",
    "matmul": "matmul",
    "and": "logical_and",
    "or": "logical_or",
    "xor": "logical_xor",
}.items():
    setattr(Tensor, f"__{_python}__", _operator(_op))
    setattr(Tensor, f"__r{_python}__", _operator(_op, swapped=True))
for _python, _op in {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "neg": "negative",
    "abs": "absolute",
    "invert": "logical_not",
}.items():
    setattr(Tensor, f"__{_python}__", _operator(_op))


# The ufuncs behind the operators of NumPy's arrays, and the ops that Keras uses for the same operators.
_UFUNCS = {
    **{name: name for name in ("add", "subtract", "multiply", "floor_divide", "power", "matmul", "absolute")},
    **{name: name for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")},
    "divide": "true_divide",
    "remainder": "mod",
    "negative": "negative",
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
    "invert": "logical_not",
}


def is_traced(x: Any) -> bool:
    """Return whether `x` is symbolic while a trace is open, or contains something that is."""
    if isinstance(x, (Tensor, KerasVariable)):
        return True
    if isinstance(x, (list, tuple)):
        return any(is_traced(part) for part in x)
    if isinstance(x, dict):
        return any(is_traced(part) for part in x.values())
    return False


def as_node(x: Any, dtype: Any = None) -> TensorVariable:
    """Return the PyTensor variable for anything that Keras passes as a tensor: a Tensor, a Variable, an
    array, a number, or a list of them.

    dtype: the dtype of the result. None keeps the dtype, by Keras's rules for numbers and lists. For a float8
        dtype, the values are rounded to those that it can represent, and the result is float32.
    Raises NotImplementedError if the dtype cannot be traced. Raises ValueError if `x` is None.
    """
    refuse_none(x)
    if dtype is not None:
        dtype = standardize_dtype(dtype)
        if dtype in FLOAT8:
            return narrowed(as_node(x, "float32"), dtype)
        dtype = traceable(dtype)
    if isinstance(x, KerasVariable):
        x = x.value
    if isinstance(x, Tensor):
        node = x.node
    elif isinstance(x, (list, tuple)) and is_traced(x):
        node = pt.stack(as_nodes(*x))
    else:
        array = converted(x, dtype)
        node = pt.constant(array.astype(traceable(array.dtype), copy=False))
    if dtype is not None and dtype != node.type.dtype:
        node = cast(node, dtype)
    return node


def as_stored(x: Any, dtype: str) -> TensorVariable:
    """Return the variable for a value that is stored in a dtype. If the dtype is float16 or bfloat16, the
    values are rounded to those that it can represent, and the result is float32.
    """
    node = as_node(x, dtype)
    return narrowed(node, dtype) if dtype in HALF else node


def cast(node: TensorVariable, dtype: str) -> TensorVariable:
    """Convert `node` to a dtype. Complex numbers lose their imaginary part, as in NumPy, unless they become
    booleans.

    dtype: NumPy's name of the dtype.
    """
    if dtype == "bool":
        return pt.neq(node, 0)
    if node.type.dtype.startswith("complex") and not dtype.startswith("complex"):
        node = pt.real(node)
    if node.type.dtype.startswith("float") and dtype.startswith(("int", "uint")):
        return _as_whole(node, dtype)
    return pt.cast(node, dtype)


def _as_whole(node: TensorVariable, dtype: str) -> TensorVariable:
    """Convert floats to integers, by the rule of dtypes.as_array. Compilers have no rule of their own."""
    if node.type.dtype == "float16":
        node = pt.cast(node, "float32")
    limits = np.iinfo(dtype)
    least, greatest = (np.asarray(limit, node.type.dtype) for limit in (limits.min, limits.max))
    inside = pt.and_(pt.gt(node, least), pt.lt(node, greatest))
    whole = pt.cast(pt.switch(inside, node, np.zeros((), node.type.dtype)), dtype)
    whole = pt.switch(pt.le(node, least), np.asarray(limits.min, dtype), whole)
    return pt.switch(pt.ge(node, greatest), np.asarray(limits.max, dtype), whole)


def as_nodes(*xs: Any) -> list[TensorVariable]:
    """Return the variables of `xs`, cast to the dtype in which Keras computes them together."""
    dtype = common_dtype(*xs)
    return [as_node(x, dtype) for x in xs]


def common_dtype(*xs: Any) -> str:
    """Return the dtype in which Keras computes `xs` together, by its rule that Python numbers adapt to
    tensors (https://keras.io/api/ops/).
    """
    return str(result_type(*[_dtype_or_type(x) for x in xs]))


def _dtype_or_type(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return common_dtype(*x) if is_traced(x) else converted(x).dtype
    dtype = getattr(x, "dtype", None)
    return type(x) if dtype is None else _computed_in(str(dtype))


def _computed_in(dtype: str) -> str:
    return (trace.current() or _NO_TRACE).computed_in(dtype)


_NO_TRACE = trace.Trace()


def traceable(dtype: Any) -> str:
    """Return NumPy's name of the dtype in which `dtype` is computed.

    Raises NotImplementedError if there is no such dtype.
    """
    name = _computed_in(str(standardize_dtype(dtype)))
    if name in UNTRACEABLE_DTYPES:
        raise NotImplementedError(
            f"the Theano backend does not compute in {name} when it trains or compiles. Use float32: "
            "keras.config.set_dtype_policy('float32')"
        )
    return name


def shape_of(x: Any) -> tuple[Any, ...]:
    """Return the shape of `x`. A size is an int if it is known, otherwise a Tensor of int32 with shape ()."""
    node = as_node(x)
    return tuple(
        size if size is not None else Tensor(pt.cast(node.shape[axis], "int32"))
        for axis, size in enumerate(node.type.shape)
    )


def sizes(shape: Sequence[Any] | Any) -> list[Any]:
    """Return a shape for PyTensor.

    shape: a sequence of ints, Tensors and None, which stands for -1, or one Tensor with at most one axis, or
        an int.
    """
    if isinstance(shape, (Tensor, KerasVariable)):
        shape = list(Tensor(as_node(shape))) if shape.ndim else [shape]
    elif isinstance(shape, (int, np.integer)):
        shape = [shape]
    return [
        pt.cast(as_node(size), "int64") if is_traced(size) else -1 if size is None else int(size)
        for size in shape
    ]
