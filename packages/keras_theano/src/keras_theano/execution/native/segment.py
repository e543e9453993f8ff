"""A compiled part of a step: machine code, its block of memory, and the table of addresses for a call."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_theano.execution.native.fusion import Plan, grouped
from keras_theano.execution.native.memory import Places, placed
from keras_theano.execution.native.module import Module, written
from keras_theano.execution.native.objects import loaded
from keras_theano.execution.native.work import ALIGNMENT, LEAVES, Fixed, Given, Value, View, Workshop


class Segment:
    """A part of a step in machine code.

    shop: makes copies of results that nothing computes.
    results: the views that are needed afterwards. `arrays` are their arrays, which the next run overwrites.
    checks: what may stop the segment.
    updates: pairs of a given array and the view that replaces it. Those that are written over the array are
        in `replaced`, by their places among the updates. The arrays of the others follow those of the
        results.
    repeats: how often a step runs it. Only loops repeat theirs.
    """

    def __init__(
        self,
        shop: Workshop,
        results: Sequence[View],
        checks: Sequence[Value],
        updates: Sequence[tuple[Value, View]],
        repeats: int = 1,
    ) -> None:
        self.repeats = repeats
        results = [_settled(shop, view) for view in results]
        updates = [(array, _settled(shop, view)) for array, view in updates]
        self.plan: Plan = grouped(_with_elements(results), checks, updates)
        self.places: Places = placed(self.plan)
        self.module: Module = written(self.plan, self.places)
        self._loaded = loaded(self.module.text)
        self.block, address = _aligned(self.places.size)
        self._table = (ctypes.c_void_p * (1 + len(self.module.table)))()
        self._table[0] = address
        self._kept: list[Any] = []
        self._slots: list[tuple[int, int]] = []
        for slot, leaf in enumerate(self.module.table, start=1):
            if isinstance(leaf.work, Given):
                self._slots.append((slot, leaf.work.number))
            else:
                assert isinstance(leaf.work, Fixed)
                self._kept.append(leaf.work.array)
                self._table[slot] = leaf.work.array.ctypes.data
        self._address = ctypes.addressof(self._table)
        written_over = set(self.plan.in_place.values())
        self.replaced = [n for n, (array, _) in enumerate(updates) if array in written_over]
        others = [view for array, view in updates if array not in written_over]
        self.arrays = [self._array(view) for view in (*results, *others)]

    @property
    def given(self) -> list[int]:
        """The numbers of the given arrays whose addresses a run needs."""
        return [number for _, number in self._slots]

    def run(self, addresses: Sequence[int]) -> bool:
        """Run, and return whether the segment has not been stopped.

        addresses: of the given arrays whose numbers are in `given`, in this order.
        """
        table = self._table
        for (slot, _), address in zip(self._slots, addresses, strict=True):
            table[slot] = address
        return self._loaded.step(self._address) == 0

    def repeat(self, addresses: Sequence[Any]) -> bool:
        """Run as often as a step does, and return whether the segment has never been stopped.

        addresses: as for `run`, but each is one address for all times, or an array with one for each.
        """
        rows = np.empty((self.repeats, len(self._table)), np.uintp)
        rows[:] = np.frombuffer(bytes(self._table), np.uintp)
        for (slot, _), places in zip(self._slots, addresses, strict=True):
            rows[:, slot] = places
        first, width = rows.ctypes.data, rows.strides[0]
        step = self._loaded.step
        return all(step(first + n * width) == 0 for n in range(self.repeats))

    def _array(self, view: View) -> np.ndarray[Any, Any]:
        dtype = np.dtype(view.dtype)
        if view.size == 0:
            return np.empty(view.shape, dtype)
        start = self.places.starts[view.value] + view.offset * dtype.itemsize
        strides = [stride * dtype.itemsize for stride in view.strides]
        return np.ndarray(view.shape, dtype, self.block.data, start, strides)


def _settled(shop: Workshop, view: View) -> View:
    """Return a view of a value that the segment computes, even if it only copies what was there before."""
    if isinstance(view.value.work, LEAVES) and view.size:
        return shop.elementwise("copy", [view], view.dtype)
    return view


def _with_elements(views: Sequence[View]) -> list[View]:
    return [view for view in views if view.size]


def _aligned(size: int) -> tuple[np.ndarray[Any, Any], int]:
    """Return a block of bytes and its address, which is a multiple of the size of a line of the cache."""
    bytes_ = np.zeros(size + ALIGNMENT, "uint8")
    skipped = -bytes_.ctypes.data % ALIGNMENT
    block = bytes_[skipped : skipped + max(size, 1)]
    return block, block.ctypes.data
