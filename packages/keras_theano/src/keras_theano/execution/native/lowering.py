"""Turns the nodes of a graph into values whose shapes are numbers.

Sizes, and everything that is computed from them, are known here. They become constants and take no time when
the step runs.
"""

from collections.abc import Sequence
from functools import singledispatch
from math import prod
from typing import Any

import numpy as np
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.ops import ViewOp
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import io_toposort
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.basic import Alloc, ARange, Join, MakeVector, ScalarFromTensor, Split, TensorFromScalar
from pytensor.tensor.blas import Dot22
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.math import Argmax, Dot
from pytensor.tensor.shape import Reshape, Shape, Shape_i, SpecifyShape
from pytensor.tensor.special import LogSoftmax, Softmax

from keras_theano.execution.interpreter import function_of
from keras_theano.execution.native import elementwise
from keras_theano.execution.native.code import is_float
from keras_theano.execution.native.fortran import layout
from keras_theano.execution.native.scalar_code import REDUCTIONS, neutral
from keras_theano.execution.native.work import (
    DTYPES,
    Assembly,
    Check,
    Counting,
    Given,
    Greatest,
    Product,
    Sizes,
    Uncovered,
    Value,
    View,
    WholeProduct,
    Workshop,
    all_of,
    contiguous,
)
from keras_theano.tracing.computed import Computed, same
from keras_theano.tracing.custom_gradient import Overridden

# Constants with more elements are not computed while a step is compiled.
_MOST_KNOWN = 2**16


class Lowering:
    """The views of the variables of a graph that a segment computes.

    shop: makes the values. A graph inside of another one shares its shop and its checks.
    checks: the values of work that may stop the step, although nothing uses them.
    """

    def __init__(self, shop: Workshop | None = None, checks: list[Value] | None = None) -> None:
        self.shop = shop or Workshop()
        self.checks: list[Value] = [] if checks is None else checks
        self._views: dict[Variable, View] = {}
        self._known: dict[Variable, Any] = {}
        self._count = 0

    def give(self, variable: Variable, shape: Sizes) -> View:
        """Add an array that exists before the segment runs."""
        work = Given(self._count)
        self._count += 1
        value = self.shop.value(work, (), shape, variable.type.dtype)
        self._views[variable] = all_of(value)
        return self._views[variable]

    def let(self, variable: Variable, view: View) -> None:
        self._views[variable] = view

    def let_known(self, variable: Variable, value: Any) -> None:
        """Let a variable be a value that is known already."""
        self._known[variable] = value

    def lower(self, node: Apply) -> None:  # type: ignore[type-arg]
        """Add the outputs of a node.

        Raises Uncovered if there is no rule for the node, or if an input is not there.
        """
        checks = len(self.checks)
        known = self._shape_of_an_input(node)
        if known is None:
            known = self._computed_now(node)
        if known is not None:
            self._known.update(zip(node.outputs, known, strict=True))
            return
        try:
            views = rule(node.op, node, self)
        except (Uncovered, ValueError) as failure:  # NumPy raises ValueError for shapes that do not fit
            del self.checks[checks:]
            raise failure if isinstance(failure, Uncovered) else Uncovered(str(failure)) from failure
        for output, view in zip(node.outputs, views, strict=True):
            if view.dtype != output.type.dtype or len(view.shape) != getattr(output.type, "ndim", 0):
                raise Uncovered(f"a result of another kind by {node.op}")
            self._views[output] = view

    def has(self, variable: Variable) -> bool:
        return variable in self._views or variable in self._known or isinstance(variable, Constant)

    def view(self, variable: Variable) -> View:
        """Return the view of a variable. Raises Uncovered if it is not there, or holds no numbers."""
        if not self.has(variable):
            raise Uncovered("something that is no array of numbers")
        if variable not in self._views:
            self._views[variable] = self.shop.constant(self.known(variable))
        return self._views[variable]

    def known(self, variable: Variable) -> Any:
        """Return the value of a variable that is known already. Raises Uncovered if it is not."""
        if variable in self._known:
            return self._known[variable]
        if isinstance(variable, Constant):
            return variable.data
        raise Uncovered("a size or an index that is known only when the step runs")

    def is_known(self, variable: Variable) -> bool:
        return variable in self._known or isinstance(variable, Constant)

    def shape(self, variable: Variable) -> Sizes:
        return self.view(variable).shape

    def _shape_of_an_input(self, node: Apply) -> list[Any] | None:  # type: ignore[type-arg]
        if isinstance(node.op, Shape):
            return [np.array(self.shape(node.inputs[0]), "int64")]
        if isinstance(node.op, Shape_i):
            return [np.array(self.shape(node.inputs[0])[node.op.i], "int64")]
        return None

    def _computed_now(self, node: Apply) -> list[Any] | None:  # type: ignore[type-arg]
        """Return the values of the outputs if all inputs are known, and None if not."""
        if not node.inputs or not all(self.is_known(part) for part in node.inputs):
            return None
        values = [self.known(part) for part in node.inputs]
        if isinstance(node.op, Alloc) and prod(int(size) for size in values[1:]) > _MOST_KNOWN:
            return None
        if isinstance(node.op, ARange) and abs(values[1] - values[0]) > _MOST_KNOWN:
            return None
        if not all(getattr(output.type, "dtype", None) in DTYPES for output in node.outputs):
            return None
        try:
            with np.errstate(all="ignore"):
                results = function_of(node.op, node)(*values)
        except Exception as failure:  # the interpreter raises it again when the step runs
            raise Uncovered(f"{node.op}") from failure
        results = results if len(node.outputs) > 1 else [results]
        pairs = zip(results, node.outputs, strict=True)
        return [np.asarray(result, output.type.dtype) for result, output in pairs]


@singledispatch
def rule(op: Any, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    """Return the views of the outputs of a node.

    Raises Uncovered if the op has no rule, or if the rule does not hold for these inputs.
    """
    raise Uncovered(f"{op}")


@rule.register
def _(op: Elemwise, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    parts = [graph.view(part) for part in node.inputs]
    for axis in range(node.outputs[0].type.ndim):
        # Only an axis that is known to have size 1 broadcasts. See the interpreter.
        long = {
            part.shape[axis]
            for part, variable in zip(parts, node.inputs, strict=True)
            if variable.type.shape[axis] != 1
        }
        if len(long) > 1:
            raise Uncovered("shapes that do not fit each other")
    return [elementwise.lowered(op.scalar_op, parts, node.outputs[0].type.dtype, graph.shop)]


@rule.register
def _(op: DimShuffle, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    view = graph.view(node.inputs[0])
    if any(view.shape[axis] != 1 for axis in op.drop):
        raise Uncovered("an axis that cannot be dropped")
    shape = [1 if axis == "x" else view.shape[axis] for axis in op.new_order]
    strides = [0 if axis == "x" else view.strides[axis] for axis in op.new_order]
    return [View(view.value, view.offset, tuple(shape), tuple(strides))]


@rule.register
def _(op: Reshape, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    view = graph.view(node.inputs[0])
    shape = [int(size) for size in graph.known(node.inputs[1])]
    if shape.count(-1) == 1:
        others = -prod(shape)
        if others == 0:
            raise Uncovered("a reshape without elements")
        shape[shape.index(-1)] = view.size // others
    if min(shape, default=1) < 0 or prod(shape) != view.size:
        raise Uncovered("a reshape to another number of elements")
    return [graph.shop.reshaped(view, tuple(shape))]


@rule.register(SpecifyShape)
@rule.register(ScalarFromTensor)
@rule.register(TensorFromScalar)
@rule.register(ViewOp)
def _(op: Any, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    return [graph.view(node.inputs[0])]


@rule.register
def _(op: Overridden, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    return [graph.view(part) for part in node.inputs[: len(node.outputs)]]


@rule.register
def _(op: OpFromGraph, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    inner = Lowering(graph.shop, graph.checks)
    for variable, given in zip(op.inner_inputs, node.inputs, strict=True):
        if graph.is_known(given):
            inner.let_known(variable, graph.known(given))
        else:
            inner.let(variable, graph.view(given))
    for each in io_toposort(op.inner_inputs, op.inner_outputs):
        inner.lower(each)
    return [inner.view(output) for output in op.inner_outputs]


@rule.register
def _(op: Computed, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    if op.function is not same:
        raise Uncovered(f"{op}")
    return [graph.view(node.inputs[0])]


@rule.register
def _(op: CheckAndRaise, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    value, *conditions = node.inputs
    for condition in conditions:
        if not graph.is_known(condition):
            true = graph.shop.dense(graph.shop.cast(graph.view(condition), "bool"))
            if true.size:
                graph.checks.append(graph.shop.value(Check(), [true], (), "bool"))
        elif not np.all(graph.known(condition)):
            raise Uncovered("a check that fails")
    return [graph.view(value)]


@rule.register
def _(op: Alloc, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    view = graph.view(node.inputs[0])
    shape = tuple([int(graph.known(size)) for size in node.inputs[1:]])
    return [view.fitted_to(shape)]


@rule.register
def _(op: ARange, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    if np.dtype(op.dtype).kind not in "iu":
        raise Uncovered(f"a range of {op.dtype}")
    numbers = range(*[int(graph.known(part)) for part in node.inputs])
    if not numbers:
        return [graph.shop.filled(0, (0,), op.dtype)]
    shape = () if len(numbers) == 1 else (len(numbers),)
    value = graph.shop.value(Counting(numbers.start, numbers.step), (), shape, op.dtype)
    return [all_of(value, (len(numbers),))]


@rule.register
def _(op: MakeVector, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    parts = [graph.view(part).broadcast_to((1,)) for part in node.inputs]
    return [joined(graph, parts, 0, op.dtype)]


@rule.register
def _(op: Join, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    axis, parts = getattr(op, "axis", None), node.inputs
    if axis is None:  # before PyTensor 3.3, the axis is the first input
        axis, *parts = parts
        axis = int(graph.known(axis))
    dtype = node.outputs[0].type.dtype
    return [joined(graph, [graph.view(part) for part in parts], axis % node.outputs[0].type.ndim, dtype)]


def joined(graph: Lowering, parts: Sequence[View], axis: int, dtype: str) -> View:
    """Return the parts one after the other along an axis. Raises Uncovered if they do not fit each other."""
    shapes = {(*part.shape[:axis], *part.shape[axis + 1 :]) for part in parts}
    if len(shapes) != 1:
        raise Uncovered("shapes that do not fit each other")
    lengths = [part.shape[axis] for part in parts]
    shape = (*parts[0].shape[:axis], sum(lengths), *parts[0].shape[axis + 1 :])
    if 0 in shape:
        return graph.shop.filled(0, shape, dtype)
    strides = contiguous(shape)
    starts = np.cumsum([0, *lengths[:-1]]).tolist()
    filled = [n for n, length in enumerate(lengths) if length]
    places = tuple([(starts[n] * strides[axis], strides) for n in filled])
    casts = [graph.shop.cast(parts[n], dtype) for n in filled]
    return all_of(graph.shop.value(Assembly(places, add=False, complete=True), casts, shape, dtype))


@rule.register
def _(op: Split, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    # Before PyTensor 3.3, the axis is the second input.
    axis = int(graph.known(node.inputs[1])) if len(node.inputs) == 3 else op.axis
    view = graph.view(node.inputs[0])
    axis %= len(view.shape)
    lengths = [int(length) for length in graph.known(node.inputs[-1])]
    if sum(lengths) != view.shape[axis] or min(lengths) < 0:
        raise Uncovered("a split into other lengths")
    parts, start = [], view.offset
    for length in lengths:
        shape = (*view.shape[:axis], length, *view.shape[axis + 1 :])
        parts.append(View(view.value, start, shape, view.strides))
        start += length * view.strides[axis]
    return parts


@rule.register
def _(op: CAReduce, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    spec = getattr(op.scalar_op, "nfunc_spec", None)
    view, dtype = graph.view(node.inputs[0]), node.outputs[0].type.dtype
    if spec is None:
        raise Uncovered(f"{op}")
    name = getattr(np, spec[0]).__name__
    if name not in REDUCTIONS:
        raise Uncovered(f"{op}")
    axes = range(len(view.shape)) if op.axis is None else op.axis
    return [_reduced(graph, name, view, [axis % len(view.shape) for axis in axes], op.acc_dtype, dtype)]


def _reduced(
    graph: Lowering, name: str, view: View, axes: Sequence[int], accumulator: str | None, dtype: str
) -> View:
    """accumulator: None means that NumPy chooses it."""
    if accumulator is None:
        ufunc: Any = getattr(np, name)
        accumulator = ufunc.reduce(np.ones((1,), view.dtype)).dtype.name
    if accumulator not in DTYPES or (accumulator == "bool" and dtype != "bool"):
        raise Uncovered(f"a reduction in {accumulator}")
    shape = tuple([size for axis, size in enumerate(view.shape) if axis not in axes])
    if 0 in view.shape:
        if name in ("maximum", "minimum") and 0 not in shape:
            raise Uncovered(f"the {name} of nothing")
        return graph.shop.filled(neutral(name, dtype), shape, dtype)
    return graph.shop.reduced(name, graph.shop.cast(view, accumulator), axes, accumulator, dtype)


@rule.register
def _(op: Softmax, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    powers, total, _ = _powers(op, node, graph)
    return [graph.shop.elementwise("divide", [powers, total], powers.dtype)]


@rule.register
def _(op: LogSoftmax, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    _, total, differences = _powers(op, node, graph)
    dtype = total.dtype
    logarithm = graph.shop.elementwise("log", [total], dtype)
    return [graph.shop.elementwise("subtract", [differences, logarithm], dtype)]


def _powers(op: Any, node: Apply, graph: Lowering) -> tuple[View, View, View]:  # type: ignore[type-arg]
    """Return exp(x - its maximum), the sums of these with axes of size 1, and x - its maximum."""
    x, shop = graph.view(node.inputs[0]), graph.shop
    if 0 in x.shape:
        raise Uncovered("a softmax of nothing")
    axes = range(len(x.shape)) if op.axis is None else op.axis
    axes = [axis % len(x.shape) for axis in (axes if isinstance(axes, Sequence) else [axes])]
    kept = tuple([1 if axis in axes else size for axis, size in enumerate(x.shape)])
    greatest = all_of(shop.reduced("maximum", x, axes, x.dtype, x.dtype).value, kept)
    if isinstance(op, LogSoftmax):
        # SciPy: an infinite maximum is not subtracted.
        size = shop.elementwise("absolute", [greatest], x.dtype)
        finite = shop.elementwise("less", [size, shop.constant(np.array(np.inf, x.dtype))], "bool")
        zero = shop.constant(np.zeros((), x.dtype))
        greatest = shop.elementwise("where", [finite, greatest, zero], x.dtype)
    differences = shop.elementwise("subtract", [x, greatest], x.dtype)
    powers = shop.elementwise("exp", [differences], x.dtype)
    total = shop.reduced("add", shop.cast(powers, "float64"), axes, "float64", x.dtype)
    return powers, all_of(total.value, kept), differences


@rule.register
def _(op: Argmax, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    view = graph.view(node.inputs[0])
    axes = range(len(view.shape)) if op.axis is None else op.axis
    axes = [axis % len(view.shape) for axis in axes]
    others = [axis for axis in range(len(view.shape)) if axis not in axes]
    if 0 in view.shape or not axes:
        raise Uncovered("the greatest of nothing")
    order = [*others, *axes]
    shape = tuple([view.shape[axis] for axis in others])
    moved = View(
        view.value,
        view.offset,
        tuple([view.shape[axis] for axis in order]),
        tuple([view.strides[axis] for axis in order]),
    )
    rows = graph.shop.reshaped(moved, (prod(shape), view.size // prod(shape)))
    return [all_of(graph.shop.value(Greatest(), [rows], (prod(shape),), "int64"), shape)]


@rule.register(Dot)
@rule.register(Dot22)
def _(op: Any, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    a, b = (graph.view(part) for part in node.inputs)
    if len(a.shape) > 2 or len(b.shape) > 2 or not (a.shape and b.shape):
        raise Uncovered("a product of other than matrices")
    shape = (*a.shape[:-1], *b.shape[1:])
    left = a if len(a.shape) == 2 else View(a.value, a.offset, (1, *a.shape), (0, *a.strides))
    right = b if len(b.shape) == 2 else View(b.value, b.offset, (*b.shape, 1), (*b.strides, 0))
    product = multiplied(graph, left, right, node.outputs[0].type.dtype)
    return [graph.shop.reshaped(product, shape)]


@rule.register
def _(op: Blockwise, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    return of_matrices(op.core_op, node, graph)


@singledispatch
def of_matrices(op: Any, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    """Return the views of the outputs of a node that applies an op to the last axes, or raise Uncovered."""
    raise Uncovered(f"{node.op}")


@of_matrices.register(Dot)
def _(op: Any, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    a, b = (graph.view(part) for part in node.inputs)
    if [len(axes) for axes in node.op.inputs_sig] != [2, 2] or len(a.shape) != len(b.shape):
        raise Uncovered(f"{node.op}")
    return [multiplied(graph, a, b, node.outputs[0].type.dtype)]


def multiplied(graph: Lowering, a: View, b: View, dtype: str) -> View:
    """Return the matrix products along the last two axes."""
    if a.shape[-1] != b.shape[-2] or np.result_type(a.dtype, b.dtype) != dtype:
        raise Uncovered("a product of these dtypes or shapes")
    a, b = (graph.shop.cast(part, dtype) for part in (a, b))
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = (*batch, a.shape[-2], b.shape[-1])
    if 0 in shape or a.shape[-1] == 0:
        return graph.shop.filled(0, shape, dtype)
    if not is_float(dtype):
        return all_of(graph.shop.value(WholeProduct(), [a, b], shape, dtype))
    factors = [part if layout(part) else graph.shop.dense(part) for part in (a, b)]
    return all_of(graph.shop.value(Product(), factors, shape, dtype))
