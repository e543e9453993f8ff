"""The code of values that are no simple loops: products, parts put together, picks by indices.

Each function adds the body of a function whose pointers are the parts in their order, and then the value.
Functions of work that may stop the step return whether they have succeeded.
"""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from keras_theano.execution.native import accumulation, lapack, selection, sorting, whole_products
from keras_theano.execution.native.code import (
    FAILURE,
    SUCCESS,
    Code,
    Loop,
    Nest,
    literal,
    offset,
    stored_type,
)
from keras_theano.execution.native.conversions import converted
from keras_theano.execution.native.fortran import LETTERS, call, constant, layout
from keras_theano.execution.native.objects import has_wide_vectors
from keras_theano.execution.native.scalar_code import OPERATIONS
from keras_theano.execution.native.whole_products import batch_strides
from keras_theano.execution.native.work import (
    Accumulation,
    Assembly,
    Check,
    Gather,
    Greatest,
    LastPlaces,
    LinearAlgebra,
    Product,
    Scatter,
    Sort,
    Value,
    View,
    WholeProduct,
    contiguous,
)


def emit(code: Code, value: Value, pointers: Sequence[str]) -> None:
    """Add the body of the function that computes a value.

    pointers: the names of the addresses of the parts' first elements, in their order, and of the value.
    """
    work = value.work
    *parts, target = pointers
    if isinstance(work, LinearAlgebra):
        lapack.emit(code, value, work, pointers)
        return
    if isinstance(work, Product):
        _product(code, value, parts[0], parts[1], target)
    elif isinstance(work, WholeProduct):
        whole_products.emit(code, value, parts, target)
    elif isinstance(work, Accumulation):
        accumulation.emit(code, value, work, parts[0], target)
    elif isinstance(work, Sort):
        sorting.emit(code, value, work, parts[0], target)
    elif isinstance(work, LastPlaces):
        selection.emit(code, value, parts[0], target)
    elif isinstance(work, Assembly):
        _assembly(code, value, work, parts, target)
    elif isinstance(work, Gather):
        _gather(code, value, work, parts, target)
    elif isinstance(work, Scatter):
        _scatter(code, value, work, parts, target)
    elif isinstance(work, Greatest):
        _greatest(code, value, parts[0], target)
    else:
        assert isinstance(work, Check)
        _check(code, value.parts[0], parts[0])
    code.line(SUCCESS if isinstance(work, (Gather, Scatter, Check)) else "ret void")


# Products


def _product(code: Code, value: Value, left: str, right: str, target: str) -> None:
    """BLAS counts in columns, so it computes the transposed product from the transposed factors."""
    a, b = value.parts
    batch = value.shape[:-2]
    rows, columns = value.shape[-2:]
    kind = stored_type(value.dtype)
    letter = LETTERS[value.dtype]
    nest = Nest(code, batch)
    addresses = [
        code.place(pointer, nest.offset(0, batch_strides(view, len(batch))), value.dtype)
        for pointer, view in ((right, b), (left, a))
    ]
    own = code.place(target, nest.offset(0, contiguous(value.shape)[:-2]), value.dtype)
    (turn_a, step_a), (turn_b, step_b) = layout(a) or (False, 0), layout(b) or (False, 0)
    one, zero = (constant(code, kind, literal(number, value.dtype)) for number in (1, 0))

    def flag(turned: bool) -> str:
        return constant(code, "i8", ord("T" if turned else "N"))

    def number(size: int) -> str:
        return constant(code, "i32", size)

    inner = a.shape[-1]
    # A vector among the factors: its distance between elements. BLAS multiplies it faster in this form.
    across, down = a.strides[-1], b.strides[-2]
    if rows == 1 and across > 0 < inner:
        sizes = (inner, columns) if turn_b else (columns, inner)
        given = [flag(turn_b), *map(number, sizes), one, addresses[0], number(step_b)]
        call(code, f"{letter}gemv", [*given, addresses[1], number(across), zero, own, number(1)])
    elif columns == 1 and down > 0 < inner:
        sizes = (rows, inner) if turn_a else (inner, rows)
        given = [flag(not turn_a), *map(number, sizes), one, addresses[1], number(step_a)]
        call(code, f"{letter}gemv", [*given, addresses[0], number(down), zero, own, number(1)])
    else:
        steps = (1, step_b) if turn_b else (step_b, 1)
        step = step_a if turn_a else 1

        def multiply(column: str, width: int, place: str, depth: int, start: str) -> None:
            """Multiply some columns, and add up a part of the inner axis."""
            first = code.place(addresses[0], offset(code, 0, (place, column), steps), value.dtype)
            second = code.place(addresses[1], offset(code, 0, (place,), (step,)), value.dtype)
            third = code.place(own, column, value.dtype)
            given = [flag(turn_b), flag(turn_a), number(width), number(rows), number(depth), one]
            given += [first, number(step_b), second, number(step_a), start, third, number(columns)]
            call(code, f"{letter}gemm", given)

        depth, width = _part(rows, inner, columns, value.dtype, turn_b)

        def multiply_columns(column: str, width: int) -> None:
            multiply(column, width, "0", depth, zero)
            _in_parts(code, depth, inner, depth, lambda at, size: multiply(column, width, at, size, one))

        _in_parts(code, 0, columns, width, multiply_columns)
    nest.end()


def _in_parts(code: Code, start: int, end: int, size: int, do: Callable[[str, int], None]) -> None:
    """Do something for each part of a range: `do` gets the part's start and size. The last part may be
    smaller.
    """
    count, rest = divmod(end - start, size)
    if count == 1:
        do(str(start), size)
    elif count:
        loop = Loop(code, count)
        do(offset(code, start, (loop.index,), (size,)), size)
        loop.end()
    if rest:
        do(str(end - rest), rest)


# With wide vectors, OpenBLAS multiplies matrices without copying them first if a product has at most so many
# multiplications.
_WITHOUT_COPIES = 1_000_000
_FEW_ROWS = 32


def _part(rows: int, inner: int, columns: int, dtype: str, turned: bool) -> tuple[int, int]:
    """Return how much of the inner axis, and how many columns, BLAS gets at a time.

    OpenBLAS copies both matrices for each product. For a few rows by a large matrix, this takes as long as
    the multiplications. In parts that are small enough, they take 0.6 of the time with 32 rows, and down to
    0.2 with 8.

    turned: whether the columns of the large matrix lie one after the other in memory, not its rows.
    """
    few = rows <= _FEW_ROWS and rows * inner * columns > _WITHOUT_COPIES
    if not few or dtype != "float32" or not has_wide_vectors():
        return inner, columns
    if not turned:
        depth = min(inner, 64 if rows > _FEW_ROWS // 2 else 32)
        return depth, min(columns, _WITHOUT_COPIES // (rows * depth) // 64 * 64)
    for width in (64, 32, 16) if rows <= _FEW_ROWS // 2 else (32, 16):
        if rows * inner * width <= _WITHOUT_COPIES:
            return inner, min(columns, width)
    return inner, columns


# Parts put together


def _assembly(code: Code, value: Value, work: Assembly, parts: Sequence[str], target: str) -> None:
    views = list(value.parts)
    if not work.complete:
        _copy(code, views.pop(0), parts[0], target, value.shape)
        parts = parts[1:]
    for view, pointer, (start, strides) in zip(views, parts, work.places, strict=True):
        nest = Nest(code, view.shape)
        number = code.load(pointer, nest.offset(0, view.strides), value.dtype)
        place = nest.offset(start, strides)
        _write(code, number, target, place, value.dtype, work.add)
        nest.end()


def _copy(code: Code, view: View, source: str, target: str, shape: Sequence[int]) -> None:
    nest = Nest(code, shape)
    number = code.load(source, nest.offset(0, view.strides), view.dtype)
    code.store(number, target, nest.offset(0, contiguous(shape)), view.dtype)
    nest.end()


def _write(code: Code, number: str, target: str, place: str, dtype: str, add: bool) -> None:
    if add:
        before = code.load(target, place, dtype)
        number = OPERATIONS["add"].emit(code, [before, number], dtype)
    code.store(number, target, place, dtype)


# Picks by indices


def _gather(code: Code, value: Value, work: Gather, parts: Sequence[str], target: str) -> None:
    dtype = value.dtype

    def pick(place: str, number: str) -> None:
        code.store(code.load(parts[0], place, dtype), target, number, dtype)

    _each_pick(code, work, value.parts[1:], parts[1:], pick)


def _scatter(code: Code, value: Value, work: Scatter, parts: Sequence[str], target: str) -> None:
    dtype = value.dtype
    _copy(code, value.parts[0], parts[0], target, value.shape)

    def put(place: str, number: str) -> None:
        _write(code, code.load(parts[1], number, dtype), target, place, dtype, work.add)

    _each_pick(code, work, value.parts[2:], parts[2:], put)


def _each_pick(
    code: Code,
    work: Gather | Scatter,
    indices: Sequence[View],
    pointers: Sequence[str],
    use: Callable[[str, str], None],
) -> None:
    """Add loops over all picks. A step that meets an index outside of its axis ends the function.

    use: adds what is done with one element. Takes its place in the array, and its place among the picks.
    """
    picks = prod(indices[0].shape)
    strides = contiguous((work.outer, *work.sizes, work.inner))
    block = code.number()
    outer, pick = Loop(code, work.outer), Loop(code, picks)
    place = code.new(f"mul nsw i64 {outer.index}, {strides[0]}")
    for view, pointer, size, stride in zip(indices, pointers, work.sizes, strides[1:-1], strict=True):
        index = converted(code, code.load(pointer, pick.index, view.dtype), view.dtype, "int64")
        if np.dtype(view.dtype).kind == "i":
            negative = code.new(f"icmp slt i64 {index}, 0")
            from_end = code.new(f"add i64 {index}, {size}")
            index = code.new(f"select i1 {negative}, i64 {from_end}, i64 {index}")
        inside = code.number()
        # As an unsigned number, a negative index is greater than any size.
        code.branch(code.new(f"icmp ult i64 {index}, {size}"), f"inside{inside}", f"outside{block}")
        code.block(f"inside{inside}")
        place = code.new(f"add nsw i64 {place}, {code.new(f'mul nsw i64 {index}, {stride}')}")
    row = code.new(f"add nsw i64 {code.new(f'mul nsw i64 {outer.index}, {picks}')}, {pick.index}")
    number = code.new(f"mul nsw i64 {row}, {work.inner}")
    inner = Loop(code, work.inner)
    use(
        code.new(f"add nsw i64 {place}, {inner.index}"),
        code.new(f"add nsw i64 {number}, {inner.index}"),
    )
    for loop in (inner, pick, outer):
        loop.end()
    code.jump(f"done{block}")
    code.block(f"outside{block}")
    code.line(FAILURE)
    code.block(f"done{block}")


def _greatest(code: Code, value: Value, source: str, target: str) -> None:
    view = value.parts[0]
    rows, columns = view.shape
    dtype = view.dtype
    kind = "i1" if dtype == "bool" else stored_type(dtype)
    row = Loop(code, rows)
    start = code.new(f"mul nsw i64 {row.index}, {columns}")
    first = code.load(source, start, dtype)
    column = Loop(code, columns, [(kind, first), ("i64", "0")])
    best, place = column.values
    number = code.load(source, code.new(f"add nsw i64 {start}, {column.index}"), dtype)
    better = OPERATIONS["greater"].emit(code, [number, best], dtype)
    if dtype.startswith("float"):
        # The first NaN is greater than everything.
        nan, best_is_nan = (OPERATIONS["isnan"].emit(code, [each], dtype) for each in (number, best))
        better = code.new(f"or i1 {better}, {nan}")
        better = code.new(f"and i1 {better}, {code.new(f'xor i1 {best_is_nan}, true')}")
    column.end(
        code.new(f"select i1 {better}, {kind} {number}, {kind} {best}"),
        code.new(f"select i1 {better}, i64 {column.index}, i64 {place}"),
    )
    # The last values are those that the last step has chosen.
    code.store(column.last[1], target, row.index, "int64")
    row.end()


def _check(code: Code, view: View, source: str) -> None:
    loop = Loop(code, view.size)
    number = code.number()
    code.branch(code.load(source, loop.index, "bool"), f"true{number}", f"false{number}")
    code.block(f"false{number}")
    code.line(FAILURE)
    code.block(f"true{number}")
    loop.end()
