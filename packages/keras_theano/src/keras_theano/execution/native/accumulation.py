"""Running sums and products: the rule, and the code.

NumPy adds one element after the other, so there is only one order, and the results are equal to the last bit.
"""

from collections.abc import Sequence

from pytensor.graph.basic import Apply
from pytensor.tensor.extra_ops import CumOp

from keras_theano.execution.native.code import Code, Loop, Nest, llvm_type
from keras_theano.execution.native.lowering import Lowering, rule
from keras_theano.execution.native.scalar_code import OPERATIONS
from keras_theano.execution.native.work import Accumulation, Value, View, all_of, contiguous


@rule.register
def _(op: CumOp, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    view = graph.view(node.inputs[0])
    if 0 in view.shape or view.shape[op.axis] == 1:
        return [view]
    work = Accumulation("add" if op.mode == "add" else "multiply", op.axis)
    return [all_of(graph.shop.value(work, [view], view.shape, view.dtype))]


def emit(code: Code, value: Value, work: Accumulation, source: str, target: str) -> None:
    """Add the loops. If axes follow the one of the sums, a step adds whole rows, which LLVM can vectorize."""
    (view,) = value.parts
    axis, dtype = work.axis, value.dtype
    steps = value.shape[axis] - 1
    own = contiguous(value.shape)
    outer = Nest(code, value.shape[:axis])
    first_read, first_written = (outer.offset(0, strides[:axis]) for strides in (view.strides, own))
    read_from = code.place(source, first_read, dtype)
    written_to = code.place(target, first_written, dtype)

    def combined(before: str, number: str) -> str:
        return OPERATIONS[work.name].emit(code, [before, number], dtype)

    if value.shape[axis + 1 :].count(1) == len(value.shape[axis + 1 :]):
        first = code.load(read_from, "0", dtype)
        code.store(first, written_to, "0", dtype)
        loop = Loop(code, steps, [(llvm_type(dtype), first)])
        place = code.new(f"add nuw nsw i64 {loop.index}, 1")
        number = code.load(read_from, code.new(f"mul nsw i64 {place}, {view.strides[axis]}"), dtype)
        total = combined(loop.values[0], number)
        code.store(total, written_to, place, dtype)
        loop.end(total)
    else:
        rest = value.shape[axis + 1 :]
        row = Nest(code, rest)
        number = code.load(read_from, row.offset(0, view.strides[axis + 1 :]), dtype)
        code.store(number, written_to, row.offset(0, own[axis + 1 :]), dtype)
        row.end()
        loop = Loop(code, steps)
        place = code.new(f"add nuw nsw i64 {loop.index}, 1")
        next_row = code.place(read_from, code.new(f"mul nsw i64 {place}, {view.strides[axis]}"), dtype)
        before, after = (
            code.place(written_to, code.new(f"mul nsw i64 {index}, {own[axis]}"), dtype)
            for index in (loop.index, place)
        )
        row = Nest(code, rest)
        at = row.offset(0, own[axis + 1 :])
        number = code.load(next_row, row.offset(0, view.strides[axis + 1 :]), dtype)
        code.store(combined(code.load(before, at, dtype), number), after, at, dtype)
        row.end()
        loop.end()
    outer.end()
