"""Places the stored values of a segment in one block of memory. A place is used again when its value is not
needed any more.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from keras_theano.execution.native.fusion import Plan
from keras_theano.execution.native.work import ALIGNMENT, LEAVES, Reduction, Value


@dataclass
class Places:
    """Where the values lie.

    starts: the first byte of each value.
    size: the number of bytes of the block.
    """

    starts: dict[Value, int]
    size: int


def bytes_of(value: Value) -> int:
    """Return how many bytes a value takes while it is computed. A reduction may have a wider accumulator, and
    other work may need room besides the value.
    """
    if value.scratch:
        return value.scratch_start + value.scratch
    wide = value.dtype
    if isinstance(value.work, Reduction):
        wide = max(wide, value.work.accumulator, key=lambda dtype: np.dtype(dtype).itemsize)
    return value.size * np.dtype(wide).itemsize


def placed(plan: Plan) -> Places:
    """Return places for all values that must be stored and are not given."""
    stored = {
        value for value in plan.stored() if not isinstance(value.work, LEAVES) and value not in plan.in_place
    }
    last_use = _last_uses(plan)
    ends: dict[int, list[Value]] = defaultdict(list)
    block = _Block()
    starts: dict[Value, int] = {}
    for time, group in enumerate(plan.groups):
        for value in group.values:
            if value in stored:
                starts[value] = block.take(bytes_of(value))
                if last_use.get(value, time) < len(plan.groups):
                    ends[last_use.get(value, time)].append(value)
        for value in ends.pop(time, []):
            block.give_back(starts[value], bytes_of(value))
    return Places(starts, block.size)


def _last_uses(plan: Plan) -> dict[Value, int]:
    """Return when each value is used for the last time. Results are used after all groups."""
    last = {
        part.value: time
        for time, group in enumerate(plan.groups)
        for value in group.values
        for part in value.parts
    }
    last.update((view.value, len(plan.groups)) for view in plan.results)
    return last


class _Block:
    """Free and taken ranges of bytes. It grows as needed."""

    def __init__(self) -> None:
        self.size = 0
        self._free: list[tuple[int, int]] = []  # (first byte, number of bytes), in order

    def take(self, count: int) -> int:
        count = _rounded(count)
        fitting = [piece for piece in self._free if piece[1] >= count]
        if not fitting:
            start = self.size
            self.size += count
            return start
        start, length = min(fitting, key=lambda piece: piece[1])
        self._free.remove((start, length))
        if length > count:
            self._insert(start + count, length - count)
        return start

    def give_back(self, start: int, count: int) -> None:
        self._insert(start, _rounded(count))

    def _insert(self, start: int, length: int) -> None:
        """Add a free range, joined with its neighbours."""
        end = start + length
        for piece in [*self._free]:
            if piece[0] + piece[1] == start:
                start = piece[0]
            elif piece[0] == end:
                end += piece[1]
            else:
                continue
            self._free.remove(piece)
        self._free.append((start, end - start))


def _rounded(count: int) -> int:
    return -(-max(count, 1) // ALIGNMENT) * ALIGNMENT
