"""Decides what one loop computes.

Operations on single elements, and reductions, join a group whose loop runs over the same shape, if nothing
that the group must wait for waits for the group. What is used only within its group is never stored.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from keras_theano.execution.native.work import (
    CHECKS,
    LEAVES,
    LOOPS,
    Elementwise,
    Reduction,
    Sizes,
    Value,
    View,
)

# How many groups over the same shape a value looks at, if it could join them without needing their results.
_LOOKS_BACK = 3


@dataclass(eq=False)
class Group:
    """Values that are computed together.

    number: its place in `Plan.groups`.
    values: in the order in which they are computed.
    space: the shape over which the loop runs. None if it is not a loop.
    before: the groups that must run before this one. Each is a bit.
    """

    number: int
    values: list[Value]
    space: Sizes | None
    before: int = 0


@dataclass
class Plan:
    """What a segment computes, in which order.

    groups: in an order in which they can run.
    results: the views that are needed after the segment.
    in_place: for each value that replaces a given array, the value of this array.
    group_of: the group of each value.
    """

    groups: list[Group]
    results: Sequence[View]
    in_place: dict[Value, Value] = field(default_factory=dict)
    group_of: dict[Value, Group] = field(default_factory=dict)

    def stored(self) -> set[Value]:
        """Return the values that must be in memory: all but those that only their own group uses."""
        stored = {view.value for view in self.results}
        for group in self.groups:
            for value in group.values:
                if not isinstance(value.work, LOOPS) or isinstance(value.work, Reduction):
                    stored.add(value)
                for part in value.parts:
                    if self.group_of.get(part.value) is not group:
                        stored.add(part.value)
        return stored | set(self.in_place)


def needed(results: Iterable[Value]) -> list[Value]:
    """Return all values that are needed for the results, in the order in which they were made."""
    found: set[Value] = set()
    stack = list(results)
    while stack:
        value = stack.pop()
        if value not in found:
            found.add(value)
            stack += [part.value for part in value.parts]
    return sorted(found, key=lambda value: value.number)


def grouped(results: Sequence[View], checks: Sequence[Value], updates: Sequence[tuple[Value, View]]) -> Plan:
    """Return the plan of a segment.

    results: the views that are needed after the segment.
    checks: values that are computed because they may stop the segment.
    updates: pairs of a given array and its new value. They are not among the results.
    """
    fusion = _Fusion()
    ends = [*checks, *[view.value for view in results], *[view.value for _, view in updates]]
    for value in needed(ends):
        if not isinstance(value.work, LEAVES):
            fusion.add(value)
    return fusion.plan(results, updates)


class _Fusion:
    def __init__(self) -> None:
        self._groups: list[Group] = []
        self._group_of: dict[Value, Group] = {}
        self._over: dict[Sizes, list[Group]] = defaultdict(list)

    def add(self, value: Value) -> None:
        waits_for = {
            self._group_of[part.value].number for part in value.parts if part.value in self._group_of
        }
        if not isinstance(value.work, LOOPS):
            self._new(value, None, waits_for)
            return
        group = self._joined_by(value, waits_for)
        if group is None:
            group = self._new(value, value.space, waits_for)
            self._over[value.space].append(group)
        else:
            group.values.append(value)
            self._group_of[value] = group
            self._after(group, self._reached(waits_for - {group.number}))

    def _new(self, value: Value, space: Sizes | None, waits_for: set[int]) -> Group:
        group = Group(len(self._groups), [value], space, self._reached(waits_for))
        self._groups.append(group)
        self._group_of[value] = group
        return group

    def _reached(self, numbers: Iterable[int]) -> int:
        before = 0
        for number in numbers:
            before |= self._groups[number].before | 1 << number
        return before

    def _after(self, group: Group, before: int) -> None:
        """Let a group, and all that wait for it, wait for more groups."""
        new = before & ~group.before
        if not new:
            return
        group.before |= new
        for other in self._groups:
            if other.before >> group.number & 1:
                other.before |= new

    def _joined_by(self, value: Value, waits_for: set[int]) -> Group | None:
        space = value.space
        candidates = {group.number: group for group in self._over[space][-_LOOKS_BACK:]}
        for part in value.parts:
            made_by = self._group_of.get(part.value)
            if made_by is not None and made_by.space == space and _same_element(part):
                candidates[made_by.number] = made_by
        for part in value.parts:
            made_by = self._group_of.get(part.value)
            if made_by is not None and not _same_element(part):
                candidates.pop(made_by.number, None)
        for number in sorted(candidates, reverse=True):
            if all(not self._groups[other].before >> number & 1 for other in waits_for - {number}):
                return candidates[number]
        return None

    def plan(self, results: Sequence[View], updates: Sequence[tuple[Value, View]]) -> Plan:
        in_place, copied = self._in_place(results, updates)
        order = sorted(self._groups, key=lambda group: (group.before.bit_count(), group.number))
        return Plan(order, [*results, *copied], in_place, self._group_of)

    def _in_place(
        self, results: Sequence[View], updates: Sequence[tuple[Value, View]]
    ) -> tuple[dict[Value, Value], list[View]]:
        """Return which values are written over the arrays that they replace, and the views of all other new
        values.

        A value is written over an array if all that read the array come first, and all that may stop the
        segment.
        """
        readers: dict[Value, list[tuple[Group, View]]] = defaultdict(list)
        stops = 0
        for group in self._groups:
            for value in group.values:
                if isinstance(value.work, CHECKS):
                    stops |= 1 << group.number
                for part in value.parts:
                    if isinstance(part.value.work, LEAVES):
                        readers[part.value].append((group, part))
        uses = Counter([view.value for view in (*results, *[view for _, view in updates])])
        in_place: dict[Value, Value] = {}
        copied = []
        for array, view in updates:
            made_by = self._group_of.get(view.value)
            if (
                made_by is None
                or not isinstance(view.value.work, Elementwise)
                or not view.whole
                or uses[view.value] > 1
                or array in uses
                or not self._comes_last(made_by, readers[array], stops)
            ):
                copied.append(view)
            else:
                in_place[view.value] = array
        return in_place, copied

    def _comes_last(self, group: Group, readers: Sequence[tuple[Group, View]], stops: int) -> bool:
        before = stops
        for reader, part in readers:
            if reader is not group:
                before |= 1 << reader.number
            elif not part.whole or part.shape != group.space:
                return False
        before = self._reached([n for n in range(len(self._groups)) if before >> n & 1])
        if before >> group.number & 1:
            return False
        self._after(group, before)
        return True


def _same_element(part: View) -> bool:
    """Whether a step of a loop reads only the element of this part that the same step has computed."""
    return part.whole and not isinstance(part.value.work, Reduction)
