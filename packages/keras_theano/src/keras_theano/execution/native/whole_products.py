"""The code of products of matrices of whole numbers or bools, for which BLAS has no function.

Whole numbers wrap around, so sums are the same in any order. For bools, NumPy's sum is "or" and its product
is "and".
"""

from collections.abc import Sequence

from keras_theano.execution.native.code import Code, Loop, Nest, literal, llvm_type, offset
from keras_theano.execution.native.scalar_code import OPERATIONS
from keras_theano.execution.native.work import Value, View, contiguous


def emit(code: Code, value: Value, parts: Sequence[str], target: str) -> None:
    a, b = value.parts
    dtype = value.dtype
    inner = a.shape[-1]
    own = contiguous(value.shape)
    batch = Nest(code, value.shape[:-2])
    axes = len(value.shape) - 2
    left, right = (
        code.place(pointer, batch.offset(0, batch_strides(view, axes)), dtype)
        for pointer, view in zip(parts, (a, b), strict=True)
    )
    result = code.place(target, batch.offset(0, own[:-2]), dtype)
    row = Loop(code, value.shape[-2])

    def added(total: str, one: str, other: str) -> str:
        product = OPERATIONS["multiply"].emit(code, [one, other], dtype)
        return OPERATIONS["add"].emit(code, [total, product], dtype)

    def factor(place: str) -> str:
        return code.load(left, offset(code, 0, (row.index, place), a.strides[-2:]), dtype)

    zero = literal(0, dtype)
    if b.strides[-1] == 1 or b.strides[-2] != 1:
        # A row of the result is a sum of rows of the right matrix.
        column = Loop(code, value.shape[-1])
        code.store(zero, result, offset(code, 0, (row.index, column.index), own[-2:]), dtype)
        column.end()
        along = Loop(code, inner)
        one = factor(along.index)
        column = Loop(code, value.shape[-1])
        place = offset(code, 0, (row.index, column.index), own[-2:])
        other = code.load(right, offset(code, 0, (along.index, column.index), b.strides[-2:]), dtype)
        code.store(added(code.load(result, place, dtype), one, other), result, place, dtype)
        column.end()
        along.end()
    else:
        # The columns of the right matrix lie in order.
        column = Loop(code, value.shape[-1])
        along = Loop(code, inner, [(llvm_type(dtype), zero)])
        other = code.load(right, offset(code, 0, (along.index, column.index), b.strides[-2:]), dtype)
        total = added(along.values[0], factor(along.index), other)
        along.end(total)
        code.store(total, result, offset(code, 0, (row.index, column.index), own[-2:]), dtype)
        column.end()
    row.end()
    batch.end()


def batch_strides(view: View, axes: int) -> list[int]:
    """Return the strides of the axes before the matrices, as if the view had as many as the product."""
    shape, strides = view.shape[:-2], view.strides[:-2]
    own = [0 if size == 1 else stride for size, stride in zip(shape, strides, strict=True)]
    return [*[0] * (axes - len(own)), *own]
