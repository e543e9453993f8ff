"""The tier that needs no compiler. It turns a graph into straight-line Python that calls NumPy.

PyTensor's own Python mode calls each op through storage cells and checks. It also computes casts, and sums of
more than two terms, element by element. It takes 17 ms for a step of the tutorial's model, and this tier
takes less than one.
"""

from collections.abc import Callable
from functools import partial, reduce, singledispatch
from typing import Any

import numpy as np
import scipy.special
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Apply
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.link.basic import JITLinker
from pytensor.link.utils import fgraph_to_python
from pytensor.raise_op import CheckAndRaise
from pytensor.scalar.basic import Cast, Clip, Identity, Second
from pytensor.tensor.basic import Alloc, ARange, Join, MakeVector, ScalarFromTensor, TensorFromScalar
from pytensor.tensor.blas import Dot22
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape, Shape, Shape_i, SpecifyShape
from pytensor.tensor.special import LogSoftmax, Softmax
from pytensor.tensor.subtensor import Subtensor, indices_from_subtensor

from keras_theano.tracing.conditional import IfElse

Function = Callable[..., Any]

# These scalar ops of PyTensor do not name a NumPy function.
_SCALAR_FUNCTIONS: dict[str, Function] = {
    "Sigmoid": scipy.special.expit,
    "Softplus": lambda x: np.logaddexp(x, np.zeros((), x.dtype)),
    "Log1mexp": lambda x: np.where(x < -0.6931472, np.log1p(-np.exp(x)), np.log(-np.expm1(x))),
}


class NumpyLinker(JITLinker):  # type: ignore[misc]
    """Joins the NumPy functions of a graph's nodes into one Python function."""

    def fgraph_convert(self, fgraph: Any, order: Any = None, storage_map: Any = None, **_: Any) -> Function:
        convert = fgraph_to_python(
            fgraph,
            lambda op, node, **_: function_of(op, node),
            order=order,
            storage_map=storage_map,
            fgraph_name="step",
        )
        scalars = [n for n, output in enumerate(fgraph.outputs) if output.type.ndim == 0]

        def run(*arrays: Any) -> list[Any]:
            with np.errstate(all="ignore"):
                results = list(convert(*arrays))
            for n in scalars:  # NumPy returns plain numbers instead of arrays without axes
                results[n] = np.asarray(results[n])
            return results

        return run

    def jit_compile(self, fn: Function) -> Function:
        return fn

    def create_thunk_inputs(self, storage_map: dict[Any, Any]) -> list[Any]:
        return [storage_map[variable] for variable in self.fgraph.inputs]


# The only rewrite merges equal nodes. All rewrites together would take fifteen times as long, and make a step
# only a twentieth faster.
INTERPRETED = Mode(NumpyLinker(), RewriteDatabaseQuery(include=["merge"]))


@singledispatch
def function_of(op: Any, node: Apply) -> Function:  # type: ignore[type-arg]
    """Return the function of arrays that computes a node. Ops without a rule in this module run as they do in
    PyTensor.
    """
    cells: dict[Any, list[Any]] = {variable: [None] for variable in (*node.inputs, *node.outputs)}
    thunk = op.make_thunk(node, cells, {variable: [True] for variable in cells}, [], impl="py")
    inputs = [cells[variable] for variable in node.inputs]
    outputs = [cells[variable] for variable in node.outputs]
    ndims = [getattr(variable.type, "ndim", None) for variable in node.inputs]

    def run(*arrays: Any) -> Any:
        for cell, array, ndim in zip(inputs, arrays, ndims, strict=True):
            cell[0] = array if ndim is None else np.asarray(array)
        for cell in outputs:
            cell[0] = None
        thunk()
        return outputs[0][0] if len(outputs) == 1 else tuple(cell[0] for cell in outputs)

    return run


@function_of.register
def _(op: Elemwise, node: Apply) -> Function:  # type: ignore[type-arg]
    function = _elementwise(op, node)
    pairs = []
    for axis in range(node.outputs[0].type.ndim):
        # An axis does not broadcast unless it is known to have size 1. NumPy would broadcast it, but the
        # compiled tiers do not, and their gradients rely on this.
        several = [n for n, part in enumerate(node.inputs) if part.type.shape[axis] != 1]
        sizes = {node.inputs[n].type.shape[axis] for n in several}
        if len(several) > 1 and (None in sizes or len(sizes) > 1):
            pairs += [(axis, several[0], n) for n in several[1:]]
    if not pairs:
        return function
    if len(pairs) == 1:
        ((the_axis, one, other),) = pairs

        def run(*arrays: Any) -> Any:
            if arrays[one].shape[the_axis] != arrays[other].shape[the_axis]:
                raise ValueError(_mismatch(arrays))
            return function(*arrays)

        return run

    def run_with_several(*arrays: Any) -> Any:
        if any(arrays[first].shape[axis] != arrays[n].shape[axis] for axis, first, n in pairs):
            raise ValueError(_mismatch(arrays))
        return function(*arrays)

    return run_with_several


def _mismatch(arrays: Any) -> str:
    shapes = " and ".join(str(np.shape(array)) for array in arrays)
    return (
        f"the shapes {shapes} do not fit each other. A size of 1 that is not known before the step runs does "
        "not broadcast. Use keras.ops.repeat or keras.ops.broadcast_to, or slice as x[:1]"
    )


def _elementwise(op: Elemwise, node: Apply) -> Function:  # type: ignore[type-arg]
    scalar = op.scalar_op
    dtype = node.outputs[0].type.dtype
    if isinstance(scalar, Cast):
        return lambda x: np.asarray(x).astype(dtype)
    if isinstance(scalar, Identity):
        return lambda x: x
    if isinstance(scalar, Second):
        return _second
    if isinstance(scalar, Clip):
        return lambda x, low, high: np.minimum(np.maximum(x, low), high)
    function = _numpy_function(scalar, len(node.inputs))
    if function is None:
        return function_of.dispatch(object)(op, node)
    samples = [np.ones((1,) * variable.type.ndim, variable.type.dtype) for variable in node.inputs]
    with np.errstate(all="ignore"):
        exact = np.asarray(function(*samples)).dtype == dtype
    return function if exact else lambda *arrays: np.asarray(function(*arrays)).astype(dtype)


def _numpy_function(scalar: Any, arguments: int) -> Function | None:
    function = _SCALAR_FUNCTIONS.get(type(scalar).__name__)
    if function is not None:
        return function
    spec = getattr(scalar, "nfunc_spec", None)
    if spec is None:
        return None
    name, known_arguments, results = spec
    if results != 1:
        return None
    found: Function = getattr(scipy.special if "." in name else np, name.rsplit(".", 1)[-1])
    if arguments == known_arguments:
        return found
    # Sums, products, maxima, minima and logical operations accept any number of arguments.
    return lambda *arrays: reduce(found, arrays)


def _second(x: Any, y: Any) -> Any:
    return np.broadcast_to(y, np.broadcast_shapes(np.shape(x), np.shape(y)))


@function_of.register
def _(op: DimShuffle, node: Apply) -> Function:  # type: ignore[type-arg]
    order = [axis for axis in op.new_order if axis != "x"]
    dropped = [axis for axis in range(node.inputs[0].type.ndim) if axis not in order]
    axes = (*order, *dropped)
    index = (*(None if axis == "x" else slice(None) for axis in op.new_order), *(0 for _ in dropped))
    if axes == tuple(range(len(axes))):
        return lambda x: np.asarray(x)[index]
    if None not in index and not dropped:
        return lambda x: x.transpose(axes)
    return lambda x: x.transpose(axes)[index]


@function_of.register
def _(op: CAReduce, node: Apply) -> Function:  # type: ignore[type-arg]
    spec = getattr(op.scalar_op, "nfunc_spec", None)
    if spec is None:  # the product of the nonzero elements, which occurs in the gradient of a product
        return function_of.dispatch(object)(op, node)
    ufunc = getattr(np, spec[0])
    axis = None if op.axis is None else tuple(op.axis)
    dtype, accumulate = node.outputs[0].type.dtype, op.acc_dtype
    if accumulate is None:
        return lambda x: ufunc.reduce(x, axis=axis)
    return lambda x: ufunc.reduce(x, axis=axis, dtype=accumulate).astype(dtype)


@function_of.register(Softmax)
@function_of.register(LogSoftmax)
def _(op: Any, node: Apply) -> Function:  # type: ignore[type-arg]
    function = scipy.special.softmax if isinstance(op, Softmax) else scipy.special.log_softmax
    return partial(function, axis=op.axis)


@function_of.register(Dot)
@function_of.register(Dot22)
def _(op: Any, node: Apply) -> Function:  # type: ignore[type-arg]
    return np.dot


@function_of.register
def _(op: Reshape, node: Apply) -> Function:  # type: ignore[type-arg]
    return np.reshape


@function_of.register
def _(op: Shape_i, node: Apply) -> Function:  # type: ignore[type-arg]
    axis = op.i
    return lambda x: np.int64(x.shape[axis])


@function_of.register
def _(op: Shape, node: Apply) -> Function:  # type: ignore[type-arg]
    return lambda x: np.array(np.shape(x), "int64")


@function_of.register(SpecifyShape)
@function_of.register(ScalarFromTensor)
@function_of.register(TensorFromScalar)
def _(op: Any, node: Apply) -> Function:  # type: ignore[type-arg]
    return lambda x, *_: x


@function_of.register
def _(op: CheckAndRaise, node: Apply) -> Function:  # type: ignore[type-arg]
    def check(value: Any, *conditions: Any) -> Any:
        if not all(np.all(condition) for condition in conditions):
            raise op.exc_type(op.msg)
        return value

    return check


@function_of.register
def _(op: MakeVector, node: Apply) -> Function:  # type: ignore[type-arg]
    dtype = op.dtype
    return lambda *numbers: np.array(numbers, dtype)


@function_of.register
def _(op: Join, node: Apply) -> Function:  # type: ignore[type-arg]
    dtype = node.outputs[0].type.dtype
    axis = getattr(op, "axis", None)
    if axis is not None:
        return lambda *arrays: np.concatenate(arrays, axis=axis, dtype=dtype)
    # Before PyTensor 3.3, the axis is the first input.
    return lambda axis, *arrays: np.concatenate(arrays, axis=int(axis), dtype=dtype)


@function_of.register
def _(op: Alloc, node: Apply) -> Function:  # type: ignore[type-arg]
    dtype = node.outputs[0].type.dtype

    def alloc(value: Any, *sizes: Any) -> Any:
        array = np.empty([int(size) for size in sizes], dtype)
        array[...] = value
        return array

    return alloc


@function_of.register
def _(op: ARange, node: Apply) -> Function:  # type: ignore[type-arg]
    dtype: Any = op.dtype
    return lambda start, stop, step: np.arange(start, stop, step, dtype=dtype)


@function_of.register
def _(op: Subtensor, node: Apply) -> Function:  # type: ignore[type-arg]
    idx_list = op.idx_list
    return lambda x, *inputs: x[tuple(indices_from_subtensor(inputs, idx_list))]


@function_of.register
def _(op: IfElse, node: Apply) -> Function:  # type: ignore[type-arg]
    count = op.n_outs

    def choose(condition: Any, *arrays: Any) -> Any:
        chosen = arrays[:count] if condition else arrays[count:]
        return chosen[0] if count == 1 else chosen

    return choose
