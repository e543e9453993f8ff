"""The places of the last few elements of a sorted row, without a sort of the row: the rule, and the code.

The last elements so far are kept in order while the row is read. One comparison shows that an element is not
among them, which is so for most elements of a long row.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply
from pytensor.tensor.sort import ArgSortOp

from keras_theano.execution.native.code import Code, Loop, is_float, llvm_type
from keras_theano.execution.native.lowering import Lowering
from keras_theano.execution.native.sorting import as_whole, row_by_row, sorted_along, whole_dtype
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
    if dtype == "bool":
        dtype = "uint8"
    key_dtype = whole_dtype(dtype) if is_float(dtype) else dtype
    less = f"icmp {'slt' if np.dtype(key_dtype).kind == 'i' else 'ult'} {llvm_type(key_dtype)}"
    keys = code.new(f"getelementptr i8, ptr {target}, i64 {value.scratch_start}")
    row = Loop(code, rows)
    elements = code.place(source, code.new(f"mul nsw i64 {row.index}, {count}"), dtype)
    places = code.place(target, code.new(f"mul nsw i64 {row.index}, {kept}"), "int64")
    # What is there at first comes before all elements, so that it is dropped first.
    first = Loop(code, kept)
    code.store(str(np.iinfo(key_dtype).min), keys, first.index, key_dtype)
    first.end()
    each = Loop(code, count)
    key = code.load(elements, each.index, dtype)
    if is_float(dtype):
        # The sum turns -0.0 into 0.0, because the zeros are equal.
        key = as_whole(code, code.new(f"fadd {llvm_type(dtype)} {key}, 0.0"), dtype)
    n = code.number()
    free, above = f"%free{n}", f"%above{n}"
    code.branch(code.new(f"{less} {key}, {code.load(keys, '0', key_dtype)}"), f"next{n}", f"keep{n}")
    code.block(f"keep{n}")
    code.jump(f"hole{n}")
    code.block(f"hole{n}")
    code.line(f"{free} = phi i64 [0, %keep{n}], [{above}, %move{n}]")
    code.line(f"{above} = add i64 {free}, 1")
    code.branch(code.new(f"icmp eq i64 {above}, {kept}"), f"put{n}", f"look{n}")
    code.block(f"look{n}")
    other = code.load(keys, above, key_dtype)
    code.branch(code.new(f"{less} {key}, {other}"), f"put{n}", f"move{n}")
    code.block(f"move{n}")
    code.store(other, keys, free, key_dtype)
    code.store(code.load(places, above, "int64"), places, free, "int64")
    code.jump(f"hole{n}")
    code.block(f"put{n}")
    code.store(key, keys, free, key_dtype)
    code.store(each.index, places, free, "int64")
    code.jump(f"next{n}")
    code.block(f"next{n}")
    each.end()
    row.end()
