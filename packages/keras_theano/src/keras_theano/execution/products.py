"""Finds the largest matrix product in a recorded graph, for inputs of given sizes, without computing it."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import io_toposort
from pytensor.scalar.basic import ScalarType
from pytensor.scan.op import Scan
from pytensor.tensor.basic import Alloc, Join, MakeVector, ScalarFromTensor, TensorFromScalar
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape, Shape, Shape_i
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedIncSubtensor1,
    AdvancedSubtensor,
    AdvancedSubtensor1,
    IncSubtensor,
    Subtensor,
    indices_from_subtensor,
)

from keras_theano.execution.interpreter import function_of
from keras_theano.tracing.loop import Loop

# Shapes are made of whole numbers with at most one axis. These ops are computed here if their values are of
# that kind.
_ARITHMETIC = (Elemwise, MakeVector, Subtensor, ScalarFromTensor, TensorFromScalar, CAReduce, Join)
_SHAPE_OF_FIRST = (AdvancedIncSubtensor, AdvancedIncSubtensor1, IncSubtensor)


def multiplications(
    inputs: Sequence[Variable], outputs: Sequence[Variable], shapes: Sequence[tuple[int, ...]]
) -> int:
    """Return the number of multiplications in the largest single product of the graph.

    A product of an m * k matrix with a k * n matrix takes m * k * n. A decomposition or a solver takes the
    number of its matrix's elements times the shorter side.

    shapes: the shapes of the inputs.

    If a size cannot be determined, it counts as the greatest first axis of all inputs, which is the batch
    size.
    """
    sizes = Sizes(max([shape[0] for shape in shapes if shape], default=1))
    for variable, shape in zip(inputs, shapes, strict=True):
        sizes.shapes[variable] = list(shape)
    return sizes.largest_product([], outputs)


class Sizes:
    """Finds the shapes of all variables of a graph.

    batch: the size that stands for every size which cannot be determined.
    """

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self.shapes: dict[Variable, list[int]] = {}
        self._values: dict[Variable, Any] = {}

    def largest_product(self, inputs: Sequence[Variable], outputs: Iterable[Variable]) -> int:
        largest = 0
        for node in io_toposort(inputs, list(outputs)):
            if isinstance(node.op, Loop):
                self._enter(node, None)
                largest = max(largest, self.largest_product(node.op.step_inputs, node.op.step_outputs))
            elif (inner := getattr(node.op, "fgraph", None)) is not None:
                self._enter(node, inner)
                largest = max(largest, self.largest_product(inner.inputs, inner.outputs))
            elif (product := _product_of(node.op)) is not None:
                matrices = [self._shape(part)[-2:] for part in node.inputs if part.type.ndim]
                largest = max(largest, _multiplications(product, matrices))
            for n, output in enumerate(node.outputs):
                if hasattr(output.type, "shape"):
                    self.shapes[output] = self._inferred(node, output, n)
                    self._compute(node, output)
                elif isinstance(output.type, ScalarType):
                    self._compute(node, output)
        return largest

    def _enter(self, node: Apply, inner: Any) -> None:
        """Set the shapes of the inputs of a graph inside of a loop or of a function."""
        op = node.op
        if isinstance(op, Loop):
            pairs = [
                (own, given, int(n < op.sequences))
                for n, (own, given) in enumerate(zip(op.step_inputs, node.inputs, strict=True))
            ]
        elif not isinstance(op, Scan):
            pairs = [(own, given, 0) for own, given in zip(inner.inputs, node.inputs, strict=False)]
        else:
            pairs = [
                (own, given, 1)
                for own, given in zip(op.inner_seqs(inner.inputs), op.outer_seqs(node.inputs), strict=True)
            ]
            pairs += [
                (own, given, 1)
                for own, given in zip(
                    op.inner_sitsot(inner.inputs), op.outer_sitsot(node.inputs), strict=True
                )
            ]
            pairs += [
                (own, given, 0)
                for own, given in zip(
                    op.inner_non_seqs(inner.inputs), op.outer_non_seqs(node.inputs), strict=True
                )
            ]
        for own, given, dropped in pairs:
            if hasattr(own.type, "shape") and own.type.ndim == given.type.ndim - dropped:
                self.shapes[own] = self._shape(given)[dropped:]

    def _shape(self, variable: Variable) -> list[int]:
        found = self.shapes.get(variable)
        if found is None:
            static = getattr(variable.type, "shape", ())
            found = [self._batch if size is None else size for size in static]
        return found

    def _inferred(self, node: Apply, output: Variable, n: int) -> list[int]:
        static = output.type.shape
        if None not in static:
            return list(static)
        try:
            found = self._by_rule(node, n)
        except (IndexError, TypeError, ValueError):  # guessed sizes may contradict each other
            found = None
        if found is None or len(found) != len(static):
            found = [self._batch] * len(static)
        return [own if size is None else size for own, size in zip(found, static, strict=True)]

    def _by_rule(self, node: Apply, n: int) -> list[int] | None:
        op = node.op
        first = self._shape(node.inputs[0]) if node.inputs else []
        if isinstance(op, Loop):
            of_step = self._shape(op.step_outputs[n])
            return [first[0], *of_step] if op.states <= n < op.states + len(op.stacked) else of_step
        if isinstance(op, Elemwise):
            return [max(lengths) for lengths in zip(*map(self._shape, node.inputs), strict=True)]
        if isinstance(op, DimShuffle):
            return [1 if axis == "x" else first[axis] for axis in op.new_order]
        if isinstance(op, CAReduce):
            axes = range(len(first)) if op.axis is None else op.axis
            return [length for axis, length in enumerate(first) if axis not in axes]
        if isinstance(op, Dot):
            return [*first[:-1], *self._shape(node.inputs[1])[1:]]
        if isinstance(op, Reshape):
            lengths = [int(length) for length in self._value(node.inputs[1], ())]
            if lengths.count(-1) == 1:
                others = abs(int(np.prod(lengths)))
                lengths[lengths.index(-1)] = int(np.prod(first)) // max(others, 1)
            return lengths
        if isinstance(op, Subtensor):
            return self._of_slices(node, first)
        if isinstance(op, AdvancedSubtensor1):
            return [*self._shape(node.inputs[1]), *first[1:]]
        if isinstance(op, AdvancedSubtensor):
            return self._of_picked(node, first)
        if isinstance(op, _SHAPE_OF_FIRST):
            return first
        if isinstance(op, Alloc):
            lengths = [self._value(size) for size in node.inputs[1:]]
            return None if None in lengths else [int(length) for length in lengths]
        if isinstance(op, Join):
            return self._of_parts(op, node)
        if isinstance(op, Blockwise):
            return self._of_matrices(op, node, n)
        inner = getattr(op, "fgraph", None)
        if inner is not None and not isinstance(op, Scan):
            return self._shape(inner.outputs[n])
        return self._by_another_rule(node, n)

    def _by_another_rule(self, node: Apply, n: int) -> list[int] | None:
        # Most other ops keep the shape of their first input.
        return self._shape(node.inputs[0]) if node.inputs else []

    def _of_slices(self, node: Apply, before: list[int]) -> list[int] | None:
        inputs = [self._value(part) for part in node.inputs[1:]]
        if None in inputs:
            return None
        after = []
        for index, length in zip(indices_from_subtensor(inputs, node.op.idx_list), before, strict=False):
            if isinstance(index, slice):
                bounds = [None if end is None else int(end) for end in (index.start, index.stop, index.step)]
                after.append(len(range(*slice(*bounds).indices(length))))
        return after + before[len(node.op.idx_list) :]

    def _of_picked(self, node: Apply, before: list[int]) -> list[int] | None:
        """Return the shape for indices that are arrays, which broadcast, and slices, of which only full ones
        are supported.
        """
        keys = indices_from_subtensor(node.inputs[1:], node.op.idx_list)
        keys = [*keys, *[slice(None)] * (len(before) - len(keys))]
        at = [n for n, key in enumerate(keys) if not isinstance(key, slice)]
        picked: list[int] = []
        for n in at:
            shape = self._shape(keys[n])
            picked = list(np.broadcast_shapes(tuple(picked), tuple(shape)))
        together = at == list(range(at[0], at[-1] + 1))
        rest = [(n, length) for n, length in enumerate(before) if n not in at]
        place = sum(n < at[0] for n, _ in rest) if together else 0
        lengths = [length for _, length in rest]
        return [*lengths[:place], *picked, *lengths[place:]]

    def _of_parts(self, op: Any, node: Apply) -> list[int] | None:
        axis = getattr(op, "axis", None)  # before PyTensor 3.3, the axis is the first input
        parts = list(node.inputs) if axis is not None else node.inputs[1:]
        axis = axis if axis is not None else self._value(node.inputs[0])
        if axis is None:
            return None
        shapes = [self._shape(part) for part in parts]
        joined = [max(lengths) for lengths in zip(*shapes, strict=True)]
        joined[int(axis)] = sum(shape[int(axis)] for shape in shapes)
        return joined

    def _of_matrices(self, op: Any, node: Apply, n: int) -> list[int] | None:
        """Return the shape for an op on matrices. The leading axes broadcast, and the op's signature names
        the others.
        """
        ins, outs = op.inputs_sig, op.outputs_sig
        named: dict[Any, int] = {}
        before: list[int] = []
        for part, labels in zip(node.inputs, ins, strict=True):
            shape = self._shape(part)
            outer = shape[: len(shape) - len(labels)]
            before = [max(pair) for pair in zip(before or outer, outer, strict=True)]
            named.update(zip(labels, shape[len(shape) - len(labels) :], strict=True))
        return [*before, *[named.get(label, self._batch) for label in outs[n]]]

    def _value(self, variable: Variable, unknown: Any = None) -> Any:
        return variable.data if isinstance(variable, Constant) else self._values.get(variable, unknown)

    def _compute(self, node: Apply, output: Variable) -> None:
        if len(node.outputs) != 1 or output.type.ndim > 1 or "int" not in output.type.dtype:
            return
        if isinstance(node.op, Shape):
            self._values[output] = np.array(self._shape(node.inputs[0]), "int64")
        elif isinstance(node.op, Shape_i):
            self._values[output] = np.int64(self._shape(node.inputs[0])[node.op.i])
        elif isinstance(node.op, _ARITHMETIC):
            given = [self._value(part) for part in node.inputs]
            if all(value is not None and np.ndim(value) < 2 for value in given):
                self._values[output] = function_of(node.op, node)(*given)


def _product_of(op: Any) -> Any:
    """Return the op that works on single matrices, or None if `op` does not multiply matrices."""
    core = op.core_op if isinstance(op, Blockwise) else op
    kinds = type(core).__mro__
    of_matrices = any(kind.__module__.startswith("pytensor.tensor.linalg") for kind in kinds)
    return core if isinstance(core, Dot) or of_matrices else None


def _multiplications(op: Any, matrices: list[list[int]]) -> int:
    if isinstance(op, Dot):
        first, second = matrices
        return int(np.prod(first) * np.prod(second[1:]))
    return max([int(np.prod(matrix)) * min(matrix) for matrix in matrices], default=0)
