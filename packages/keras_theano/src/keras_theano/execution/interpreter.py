"""The tier that needs no compiler. It turns a graph into straight-line Python that calls NumPy.

PyTensor's own Python mode calls each op through storage cells and checks. It also computes casts, and sums of
more than two terms, element by element. It takes 17 ms for a step of the tutorial's model, and this tier
takes less than one.
"""

import linecache
import weakref
from collections.abc import Callable
from functools import cache, partial, reduce, singledispatch
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytensor
import scipy.special
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import MergeOptimizer
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.link.basic import JITLinker
from pytensor.link.utils import fgraph_to_python
from pytensor.raise_op import CheckAndRaise
from pytensor.scalar.basic import Cast, Clip, Identity, Second
from pytensor.tensor.basic import (
    Alloc,
    AllocDiag,
    ARange,
    Join,
    MakeVector,
    ScalarFromTensor,
    Split,
    TensorFromScalar,
)
from pytensor.tensor.blas import Dot22
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.extra_ops import CumOp
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape, Shape, Shape_i, SpecifyShape
from pytensor.tensor.sort import ArgSortOp, SortOp
from pytensor.tensor.special import LogSoftmax, Softmax
from pytensor.tensor.subtensor import Subtensor, indices_from_subtensor

from keras_theano.execution.graph import Graph
from keras_theano.execution.threads import limited_for
from keras_theano.tracing import loop
from keras_theano.tracing.computed import Computed
from keras_theano.tracing.conditional import IfElse
from keras_theano.tracing.depth import as_deep_as
from keras_theano.tracing.loop import Loop

Function = Callable[..., Any]


def _sigmoid(x: Any) -> Any:
    one = x.dtype.type(1)
    return one / (one + np.exp(-x))  # half the time of scipy.special.expit


# These scalar ops of PyTensor do not name a NumPy function, or a slow one.
_SCALAR_FUNCTIONS: dict[str, Function] = {
    "Sigmoid": _sigmoid,
    "Softplus": lambda x: np.logaddexp(x, np.zeros((), x.dtype)),
    "Log1mexp": lambda x: np.where(x < -0.6931472, np.log1p(-np.exp(x)), np.log(-np.expm1(x))),
}


class NumpyLinker(JITLinker):  # type: ignore[misc]
    """Joins the NumPy functions of a graph's nodes into one Python function."""

    def fgraph_convert(self, fgraph: Any, order: Any = None, storage_map: Any = None, **_: Any) -> Function:
        convert = _joined(fgraph, order, storage_map)
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


def _joined(fgraph: Any, order: Any = None, storage_map: Any = None, checked: bool = True) -> Function:
    """Return the function that runs the functions of all nodes. It returns a tuple.

    checked: whether elementwise functions check that sizes which are not known in the graph are equal.
    """
    function: Function = fgraph_to_python(
        fgraph, functions_in(fgraph, checked), order=order, storage_map=storage_map, fgraph_name="step"
    )
    # PyTensor leaves the source in a temporary file for tracebacks, and never removes it.
    source = function.__code__.co_filename
    Path(source).unlink(missing_ok=True)
    linecache.cache[source] = (0, None, function.__source__.splitlines(keepends=True), source)  # type: ignore[attr-defined]
    weakref.finalize(function, linecache.cache.pop, source, None).atexit = False
    return function


def functions_in(fgraph: Any, checked: bool = True) -> Function:
    """Return what takes an op and its node in a graph, and returns the node's function of arrays.

    checked: whether elementwise functions check that sizes which are not known in the graph are equal.
    """

    def convert(op: Any, node: Any, **_: Any) -> Function:
        if isinstance(op, Loop):
            return _loop(op, [_use_of(output, fgraph) for output in node.outputs])
        if isinstance(op, Elemwise) and not checked:
            return _elementwise(op, node)
        return function_of(op, node)

    return convert


# The only rewrite merges equal nodes. All rewrites together would take fifteen times as long, and make a step
# only a twentieth faster.
INTERPRETED = Mode(NumpyLinker(), RewriteDatabaseQuery(include=["merge"]))


def interpreted(graph: Graph) -> Function:
    """Return a function that runs a graph. It relies on its callers to pass arrays of the right dtypes."""
    with as_deep_as(graph.ends):
        function = pytensor.function(
            graph.inputs,
            graph.outputs,
            updates=graph.updates,
            mode=INTERPRETED,
            on_unused_input="ignore",
        )
    function.trust_input = True
    return function  # type: ignore[no-any-return]


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
        # native tier does not, and its gradients rely on this.
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


@function_of.register
def _(op: CumOp, node: Apply) -> Function:  # type: ignore[type-arg]
    ufunc = np.add if op.mode == "add" else np.multiply
    # np.cumsum would return small whole numbers and bools as int64.
    return partial(ufunc.accumulate, axis=op.axis, dtype=node.outputs[0].type.dtype)


# In NumPy's fastest sorts, it depends on the processor in which order equal elements follow each other. This
# shows in places, and in the signs of zeros.


@function_of.register
def _(op: SortOp, node: Apply) -> Function:  # type: ignore[type-arg]
    if node.inputs[0].type.dtype in ("float32", "float64"):
        return lambda x, axis: _sorted_floats(x, int(axis))
    return lambda x, axis: np.sort(x, int(axis))


def _sorted_floats(x: Any, axis: int) -> Any:
    """Sort floats as whole numbers of the same order: the bits of negative ones count backwards. Then -0.0
    comes before 0.0. A stable sort would take three times as long.
    """
    whole = np.dtype(f"int{x.dtype.itemsize * 8}")
    greatest = whole.type(np.iinfo(whole).max)
    bits = np.array(x, order="C").view(whole)
    bits ^= (bits >> (x.dtype.itemsize * 8 - 1)) & greatest
    bits[np.isnan(x)] = greatest
    bits.sort(axis)
    bits ^= (bits >> (x.dtype.itemsize * 8 - 1)) & greatest
    return bits.view(x.dtype)


@function_of.register
def _(op: ArgSortOp, node: Apply) -> Function:  # type: ignore[type-arg]
    return lambda x, axis: np.argsort(x, int(axis), "stable")


@function_of.register(Softmax)
@function_of.register(LogSoftmax)
def _(op: Any, node: Apply) -> Function:  # type: ignore[type-arg]
    function = scipy.special.softmax if isinstance(op, Softmax) else scipy.special.log_softmax
    return partial(function, axis=op.axis)


@function_of.register
def _(op: OpFromGraph, node: Apply) -> Function:  # type: ignore[type-arg]
    # PyTensor would compile the graph in its default mode, which takes seconds.
    function = _joined(FunctionGraph(op.inner_inputs, op.inner_outputs, clone=True))
    alone = len(node.outputs) == 1
    return lambda *arrays: function(*arrays)[0] if alone else function(*arrays)


@function_of.register
def _(op: Blockwise, node: Apply) -> Function:  # type: ignore[type-arg]
    if not isinstance(op.core_op, AllocDiag):
        return function_of.dispatch(object)(op, node)
    offset = op.core_op.offset

    def diagonal(x: Any) -> Any:
        size = x.shape[-1] + abs(offset)
        found = np.zeros((*x.shape[:-1], size, size), x.dtype)
        places = np.arange(x.shape[-1])
        found[..., places + max(0, -offset), places + max(0, offset)] = x
        return found

    return diagonal


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
def _(op: Split, node: Apply) -> Function:  # type: ignore[type-arg]
    if not all(isinstance(part, Constant) for part in node.inputs[1:]):
        return function_of.dispatch(object)(op, node)
    # Before PyTensor 3.3, the axis is the second input.
    known: Any = node.inputs[1].data if len(node.inputs) == 3 else op.axis
    axis = int(known) % node.inputs[0].type.ndim
    lengths = node.inputs[-1].data.tolist()
    ends = np.cumsum(lengths).tolist()
    before = (slice(None),) * axis
    parts = [(*before, slice(end - length, end)) for length, end in zip(lengths, ends, strict=True)]

    def split(x: Any, *_: Any) -> Any:
        if x.shape[axis] != ends[-1]:
            raise ValueError(f"an axis of size {x.shape[axis]} cannot be split into parts of sizes {lengths}")
        return tuple([x[part] for part in parts]) if len(parts) > 1 else x

    return split


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


@function_of.register
def _(op: Computed, node: Apply) -> Function:  # type: ignore[type-arg]
    run, alone = op.run, len(op.types) == 1

    def call(*arrays: Any) -> Any:
        results = run(*[np.asarray(array) for array in arrays])
        return results[0] if alone else tuple(results)

    return call


# Loops

_UNUSED, _AS_LIST, _AS_ARRAY = range(3)


def _use_of(output: Any, fgraph: Any) -> int:
    """Return how an output of a Loop is used. If only other loops run over it, it may stay a list."""
    uses = fgraph.clients.get(output, [])
    if not uses:
        return _UNUSED
    in_loops = all(isinstance(node.op, Loop) and place < node.op.sequences for node, place in uses)
    return _AS_LIST if in_loops else _AS_ARRAY


def _loop(op: Loop, uses: list[int]) -> Function:
    """Return the function that runs the loop. It returns one value for each output, and None for those that
    are not used.
    """
    count, many = op.states, len(op.stacked)
    parts = [
        *range(count),
        *[n for n in range(count, len(op.step_outputs)) if uses[n] != _UNUSED],
    ]
    inner = FunctionGraph(op.step_inputs, [op.step_outputs[n] for n in parts], clone=True)
    MergeOptimizer().rewrite(inner)
    first_step = _joined(inner)

    @cache
    def later_step() -> Function:
        # All steps have arrays of the same shapes, so what the first one has checked holds for the others.
        return _joined(inner, checked=False)

    sequences, backwards = op.sequences, op.backwards
    going = None if op.condition is None else _condition(op)
    stacked = [n for n in parts[count:] if n < count + many]
    as_list = [uses[n] == _AS_LIST for n in stacked]
    end = count + len(stacked)
    sums = range(end, len(parts))
    empty = [None] * len(op.step_outputs)

    def run(*arrays: Any) -> Any:
        over, states = arrays[:sequences], arrays[sequences : sequences + count]
        shared = [_contiguous(part) for part in arrays[sequences + count :]]
        steps = len(over[0]) if over else 0
        if any(len(part) != steps for part in over):
            raise ValueError(
                f"a loop needs sequences of one length. Received: {[len(part) for part in over]}"
            )
        rows: Any = list(zip(*over, strict=True)) if going is None else repeat(())
        kept: list[Any] = []
        totals: list[Any] = []
        step = first_step
        # The products of a step are smaller than those around the loop, and there are many.
        with limited_for([*(rows[0] if steps else ()), *states, *shared], in_matrices=False):
            for row in reversed(rows) if backwards else rows:
                if going is not None and not going(*states, *shared)[0]:
                    break
                results = step(*row, *states, *shared)
                if not kept:
                    totals = [np.array(results[n]) for n in sums]
                    if steps != 1 and _shapes(states) == _shapes(results[:count]):
                        step = later_step()
                elif totals:
                    for total, n in zip(totals, sums, strict=True):
                        np.add(total, results[n], out=total)
                states = results[:count]
                kept.append(results[count:end])
        outputs = empty.copy()
        outputs[:count] = states
        if not kept and len(parts) > count:
            # There was no step. One on zeros shows the shapes of the results.
            row = tuple([np.zeros(np.shape(part)[1:], getattr(part, "dtype", None)) for part in over])
            results = step(*row, *states, *shared)
            for n, result in zip(stacked, results[count:end], strict=True):
                outputs[n] = np.empty((0, *np.shape(result)), np.asarray(result).dtype)
            totals = [np.zeros_like(results[n]) for n in sums]
        else:
            if backwards:
                kept.reverse()
            for n, all_of_them, whole in zip(stacked, zip(*kept, strict=True), as_list, strict=False):
                outputs[n] = all_of_them if whole else np.stack(all_of_them)
        for n, total in zip(parts[end:], totals, strict=True):
            outputs[n] = total
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    return run


def _shapes(arrays: Any) -> list[tuple[int, ...]]:
    return [np.shape(array) for array in arrays]


def _condition(op: Loop) -> Function:
    """Return the function that decides whether there is another step."""
    graph = FunctionGraph(op.step_inputs, [op.condition], clone=True)
    MergeOptimizer().rewrite(graph)
    return _joined(graph)


def _contiguous(array: Any) -> Any:
    """Return the array, but a copy of a matrix that is the view of a transposition or of a part. A product
    with the copy takes half as long, and a loop uses it many times.
    """
    return np.ascontiguousarray(array) if np.ndim(array) == 2 else array


def _loop_alone(op: Loop) -> Function:
    """Return the function of a loop in another tier. It computes all outputs as arrays, in a tuple."""
    function = _loop(op, [_AS_ARRAY] * len(op.step_outputs))

    def run(*arrays: Any) -> tuple[Any, ...]:
        with np.errstate(all="ignore"):
            results = function(*[np.asarray(array) for array in arrays])
        return results if isinstance(results, tuple) else (results,)

    return run


loop.interpreted = _loop_alone
