"""The rules for reading and changing parts of arrays.

A part that is known when the step is compiled is a view. Any other index is checked when the step runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.basic import AllocDiag, ExtractDiag
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
    indices_from_subtensor,
)

from keras_theano.execution.native.lowering import Lowering, of_matrices, rule
from keras_theano.execution.native.selection import last_places
from keras_theano.execution.native.work import (
    Assembly,
    Gather,
    Scatter,
    Sizes,
    Uncovered,
    View,
    all_of,
    contiguous,
)


@dataclass(frozen=True)
class Picks:
    """Where indices lie that are known only when the step runs.

    axis: the first axis that has an index. The others follow it.
    indices: dense views of whole numbers, of one shape.
    """

    axis: int
    indices: tuple[View, ...]

    def of(self, shape: Sizes) -> tuple[int, Sizes, int]:
        """Return the elements before the axes with indices, the sizes of these, and the elements after."""
        end = self.axis + len(self.indices)
        return prod(shape[: self.axis]), shape[self.axis : end], prod(shape[end:])

    def shape(self, shape: Sizes) -> Sizes:
        """Return the shape of what is picked from an array of this shape."""
        return (*shape[: self.axis], *self.indices[0].shape, *shape[self.axis + len(self.indices) :])


def _entries(graph: Lowering, node: Apply, first: int) -> list[Any]:  # type: ignore[type-arg]
    """Return one slice of numbers, number or View for each index.

    first: the number of inputs before the indices.
    """
    indices = indices_from_subtensor(node.inputs[first:], node.op.idx_list)
    return [_entry(graph, index) for index in indices]


def _entry(graph: Lowering, index: Any) -> Any:
    if isinstance(index, slice):
        return slice(*[_bound(graph, part) for part in (index.start, index.stop, index.step)])
    if isinstance(index, Variable) and not graph.is_known(index):
        return graph.view(index)
    known = np.asarray(graph.known(index) if isinstance(index, Variable) else index)
    return int(known) if known.ndim == 0 and known.dtype.kind in "iu" else graph.shop.constant(known)


def _bound(graph: Lowering, part: Any) -> int | None:
    known = graph.known(part) if isinstance(part, Variable) else part
    return None if known is None else int(known)


def _place(view: View, entries: Sequence[Any]) -> View:
    """Return the part of a view. Entries that are Views leave their axis as it is."""
    offset, shape, strides = view.offset, [], []
    for axis, (size, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        entry = entries[axis] if axis < len(entries) else slice(None)
        if isinstance(entry, View):
            entry = slice(None)
        if isinstance(entry, slice):
            places = range(*entry.indices(size))
            offset += places.start * stride if places else 0
            shape.append(len(places))
            strides.append(places.step * stride)
        elif -size <= entry < size:
            offset += entry % size * stride
        else:
            raise Uncovered("an index outside of the array")
    return View(view.value, offset, tuple(shape), tuple(strides))


def _picks(graph: Lowering, entries: Sequence[Any], together: bool) -> Picks:
    """Return the indices among the entries.

    together: whether a number is an index like the others, as in NumPy's advanced indexing. If not, it has
        removed its axis already.
    """
    entries = [entry for entry in entries if together or not isinstance(entry, int)]
    axes = [axis for axis, entry in enumerate(entries) if not isinstance(entry, slice)]
    if not axes or axes != list(range(axes[0], axes[-1] + 1)):
        raise Uncovered("indices that are not next to each other")
    arrays = [entries[axis] for axis in axes]
    views = [graph.shop.constant(np.int64(each)) if isinstance(each, int) else each for each in arrays]
    if any(np.dtype(view.dtype).kind not in "iu" for view in views):
        raise Uncovered("an index that is not a whole number")
    shape = np.broadcast_shapes(*[view.shape for view in views])
    dense = [graph.shop.dense(view.broadcast_to(shape)) for view in views]
    return Picks(axes[0], tuple(dense))


def _gathered(graph: Lowering, view: View, picks: Picks) -> View:
    shape = picks.shape(view.shape)
    work = Gather(*picks.of(view.shape))
    if 0 in shape or 0 in work.sizes:
        raise Uncovered("indices into nothing")  # the interpreter checks the indices
    parts = [graph.shop.dense(view), *picks.indices]
    value = graph.shop.value(work, parts, shape, view.dtype)
    graph.checks.append(value)  # an index outside is an error even if only the shape is used
    return all_of(value, shape)


def _changed(graph: Lowering, view: View, part: View, picks: Picks, add: bool) -> View:
    shape = picks.shape(view.shape)
    outer, sizes, inner = picks.of(view.shape)
    if 0 in shape or 0 in sizes:
        raise Uncovered("indices into nothing")
    part = graph.shop.dense(graph.shop.cast(part, view.dtype).fitted_to(shape))
    parts = [view, part, *picks.indices]
    value = graph.shop.value(Scatter(outer, sizes, inner, add), parts, view.shape, view.dtype)
    graph.checks.append(value)
    return all_of(value, view.shape)


@rule.register
def _(op: Subtensor, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    view, entries = graph.view(node.inputs[0]), _entries(graph, node, 1)
    last = last_places(graph, node, entries)
    if last is not None:
        return [last]
    part = _place(view, entries)
    if not any(isinstance(entry, View) for entry in entries):
        return [part]
    return [_gathered(graph, part, _picks(graph, entries, together=False))]


@rule.register
def _(op: AdvancedSubtensor, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    view, entries = graph.view(node.inputs[0]), _entries(graph, node, 1)
    slices = [entry if isinstance(entry, slice) else slice(None) for entry in entries]
    return [_gathered(graph, _place(view, slices), _picks(graph, entries, together=True))]


@rule.register
def _(op: IncSubtensor, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    view, part, entries = graph.view(node.inputs[0]), graph.view(node.inputs[1]), _entries(graph, node, 2)
    add, dtype = not op.set_instead_of_inc, node.outputs[0].type.dtype
    if view.dtype != dtype or (add and dtype == "bool"):
        raise Uncovered(f"{op}")
    if any(isinstance(entry, View) for entry in entries):
        if any(not isinstance(entry, View) and entry != slice(None) for entry in entries):
            raise Uncovered("a place that is partly known")
        return [_changed(graph, view, part, _picks(graph, entries, together=False), add)]
    place = _place(View(view.value, 0, view.shape, contiguous(view.shape)), entries)
    part = graph.shop.cast(part, dtype).fitted_to(place.shape)
    if part.size == 0:
        return [view]
    if not place.offset and part.size == view.size and place.in_order:
        new = graph.shop.reshaped(part, view.shape)
        return [graph.shop.elementwise("add", [view, new], dtype) if add else new]
    if part.size == view.size and not add:
        work, parts = Assembly(((place.offset, place.strides),), add, complete=True), [part]
    else:
        work, parts = Assembly(((place.offset, place.strides),), add), [view, part]
    return [all_of(graph.shop.value(work, parts, view.shape, dtype))]


@rule.register
def _(op: AdvancedIncSubtensor, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    view, part, entries = graph.view(node.inputs[0]), graph.view(node.inputs[1]), _entries(graph, node, 2)
    add, dtype = not op.set_instead_of_inc, node.outputs[0].type.dtype
    if view.dtype != dtype or (add and (op.ignore_duplicates or dtype == "bool")):
        raise Uncovered(f"{op}")
    if any(isinstance(entry, slice) and entry != slice(None) for entry in entries):
        raise Uncovered("a place that is partly known")
    return [_changed(graph, view, part, _picks(graph, entries, together=True), add)]


@rule.register
def _(op: ExtractDiag, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    view = graph.view(node.inputs[0])
    one, other = op.axis1 % len(view.shape), op.axis2 % len(view.shape)
    place, count, stride = _diagonal(view, one, other, op.offset)
    kept = [axis for axis in range(len(view.shape)) if axis not in (one, other)]
    shape = (*[view.shape[axis] for axis in kept], count)
    strides = (*[view.strides[axis] for axis in kept], stride)
    return [View(view.value, view.offset + place, shape, strides)]


@rule.register
@of_matrices.register
def _(op: AllocDiag, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    view, dtype = graph.view(node.inputs[0]), node.outputs[0].type.dtype
    *batch, length = view.shape
    size = length + abs(op.offset)
    # The axes of the matrices come last here. An op that is applied to vectors one by one leaves them there.
    of_vectors = isinstance(node.op, Blockwise)
    if of_vectors and (op.axis1, op.axis2) != (0, 1):
        raise Uncovered(f"{node.op}")
    shape = (*batch, size, size)
    whole = graph.shop.filled(0, shape, dtype)
    if 0 not in view.shape:
        rows = View(whole.value, 0, shape, contiguous(shape))
        place, _, stride = _diagonal(rows, len(batch), len(batch) + 1, op.offset)
        work = Assembly(((place, (*rows.strides[:-2], stride)),), add=False)
        whole = all_of(graph.shop.value(work, [whole, graph.shop.cast(view, dtype)], shape, dtype))
    if of_vectors:
        return [whole]
    order = list(range(len(batch)))
    order.insert(op.axis1, len(batch))
    order.insert(op.axis2, len(batch) + 1)
    moved = [(whole.shape[axis], whole.strides[axis]) for axis in order]
    return [View(whole.value, whole.offset, tuple([d for d, _ in moved]), tuple([s for _, s in moved]))]


def _diagonal(view: View, one: int, other: int, offset: int) -> tuple[int, int, int]:
    """Return where a diagonal begins, how many elements it has, and the distance between them."""
    first, second = max(-offset, 0), max(offset, 0)
    count = max(min(view.shape[one] - first, view.shape[other] - second), 0)
    down, right = view.strides[one], view.strides[other]
    return (first * down + second * right if count else 0), count, down + right
