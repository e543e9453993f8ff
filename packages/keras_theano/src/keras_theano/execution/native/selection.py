"""The places of the last few elements of a sorted row, without a sort of the row: the rule, and the code.

The last elements so far are kept in order while the row is read. One comparison shows that an element is not
among them, which is so for most elements of a long row.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply
from pytensor.tensor.sort import ArgSortOp

from keras_theano.execution.native.code import Code, Loop, is_float, llvm_type, stored_type
from keras_theano.execution.native.lowering import Lowering
from keras_theano.execution.native.sorting import in_order, row_by_row, sorted_along, whole_dtype
from keras_theano.execution.native.work import LastPlaces, Value, View

# A sort is faster if more elements are kept, because each may move all others.
_MOST = 16


def last_places(graph: Lowering, node: Apply, entries: Sequence[Any]) -> View | None:  # type: ignore[type-arg]
    """Return the view of a slice, or None if it does not take just the last few places of a sort.

    node: a Subtensor.
    entries: its indices, as numbers.
    """
    sort = node.inputs[0].owner
    if sort is None or not isinstance(sort.op, ArgSortOp):
        return None
    view, axis = sorted_along(graph, sort)
    if len(entries) != axis + 1 or any(entry != slice(None) for entry in entries[:axis]):
        return None
    own = entries[axis]
    if not isinstance(own, slice) or own.stop is not None or own.step not in (None, 1) or own.start is None:
        return None
    kept = -own.start
    if not 0 < kept <= min(_MOST, view.shape[axis] - 1) or 0 in view.shape:
        return None
    work = LastPlaces(kept * np.dtype(view.dtype).itemsize)
    return row_by_row(graph, view, axis, work, kept, "int64")


def emit(code: Code, value: Value, source: str, target: str) -> None:
    """Add a loop over the rows. The keys of the places in a row of the value lie in the scratch."""
    (rows, count), kept, dtype = value.parts[0].shape, value.shape[1], value.parts[0].dtype
    compared = whole_dtype(dtype) if is_float(dtype) else dtype
    kind = stored_type(compared)
    signed = np.dtype(compared).kind == "i"
    lowest = np.iinfo(compared).min if signed else 0
    keys = code.new(f"getelementptr i8, ptr {target}, i64 {value.scratch_start}")

    def at(array: str, place: str, kind: str = kind) -> str:
        return code.new(f"getelementptr {kind}, ptr {array}, i64 {place}")

    row = Loop(code, rows)
    elements = at(source, code.new(f"mul nsw i64 {row.index}, {count}"), stored_type(dtype))
    places = at(target, code.new(f"mul nsw i64 {row.index}, {kept}"), "i64")
    # What is there at first comes before all elements, so that it is dropped first.
    first = Loop(code, kept)
    code.line(f"store {kind} {lowest}, ptr {at(keys, first.index)}")
    first.end()
    each = Loop(code, count)
    found = code.new(f"load {stored_type(dtype)}, ptr {at(elements, each.index, stored_type(dtype))}")
    key = _key(code, found, dtype) if is_float(dtype) else found
    less = "icmp slt" if signed else "icmp ult"
    least = code.new(f"load {kind}, ptr {keys}")
    n = code.number()
    code.branch(code.new(f"{less} {kind} {key}, {least}"), f"next{n}", f"keep{n}")
    code.block(f"keep{n}")
    code.jump(f"hole{n}")
    code.block(f"hole{n}")
    code.line(f"%free{n} = phi i64 [0, %keep{n}], [%above{n}, %move{n}]")
    code.line(f"%above{n} = add i64 %free{n}, 1")
    code.branch(code.new(f"icmp eq i64 %above{n}, {kept}"), f"put{n}", f"look{n}")
    code.block(f"look{n}")
    above = code.new(f"load {kind}, ptr {at(keys, f'%above{n}')}")
    code.branch(code.new(f"{less} {kind} {key}, {above}"), f"put{n}", f"move{n}")
    code.block(f"move{n}")
    code.line(f"store {kind} {above}, ptr {at(keys, f'%free{n}')}")
    place = code.new(f"load i64, ptr {at(places, f'%above{n}', 'i64')}")
    code.line(f"store i64 {place}, ptr {at(places, f'%free{n}', 'i64')}")
    code.jump(f"hole{n}")
    code.block(f"put{n}")
    code.line(f"store {kind} {key}, ptr {at(keys, f'%free{n}')}")
    code.line(f"store i64 {each.index}, ptr {at(places, f'%free{n}', 'i64')}")
    code.jump(f"next{n}")
    code.block(f"next{n}")
    each.end()
    row.end()


def _key(code: Code, number: str, dtype: str) -> str:
    """Return the whole number that has the place of a float among whole numbers. The zeros are equal, and NaN
    comes last.
    """
    dtype_of_key = whole_dtype(dtype)
    kind, whole = llvm_type(dtype), llvm_type(dtype_of_key)
    one_zero = code.new(f"fadd {kind} {number}, 0.0")
    ordered = in_order(code, code.new(f"bitcast {kind} {one_zero} to {whole}"), dtype_of_key)
    nan = code.new(f"fcmp uno {kind} {number}, {number}")
    return code.new(f"select i1 {nan}, {whole} {np.iinfo(dtype_of_key).max}, {whole} {ordered}")
