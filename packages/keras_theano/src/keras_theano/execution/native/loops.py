"""The code of a group of elementwise operations and reductions: one loop nest over their shape.

Values that only the group uses stay in registers. Neighbouring axes become one where all accesses allow it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keras_theano.execution.native.code import Code, Loop, literal, llvm_type
from keras_theano.execution.native.conversions import converted
from keras_theano.execution.native.scalar_code import OPERATIONS, combined, neutral
from keras_theano.execution.native.work import (
    Counting,
    Elementwise,
    Fixed,
    Reduction,
    Sizes,
    Value,
    View,
    contiguous,
)

# Returns the name of the pointer to an element of a value, for a function that reads or writes the value. The
# number is that of the element. It is no part of the function, so that equal time steps have equal functions.
Pointer = Callable[[Value, int], str]


@dataclass
class Access:
    """How a loop goes through an array.

    pointer: the name of the first element's address.
    dtype: of the array.
    strides: one for each axis of the loop.
    index: the name of the distance from the first element at the present step.
    """

    pointer: str
    dtype: str
    strides: list[int]
    index: str = "0"


def loop_nest(
    code: Code, values: Sequence[Value], space: Sizes, stored: set[Value], pointer: Pointer
) -> None:
    """Add a loop nest that computes the values.

    space: the shape of the loop.
    stored: the values that are written to memory. Reductions always are.
    """
    _LoopNest(code, values, space, stored, pointer).emit()


class _LoopNest:
    def __init__(
        self, code: Code, values: Sequence[Value], space: Sizes, stored: set[Value], pointer: Pointer
    ) -> None:
        self._code = code
        self._values = values
        self._inside = set(values)
        self._order = Access("", "int64", list(contiguous(space)))
        self._reads: dict[View, Access] = {}
        for value in values:
            for part in value.parts:
                if part.value not in self._inside and not _is_number(part.value):
                    self._reads[part] = Access(pointer(part.value, part.offset), part.dtype, [*part.strides])
        self._writes: dict[Value, Access] = {}
        for value in values:
            if isinstance(value.work, Reduction):
                target = Access(pointer(value, 0), value.work.accumulator, _strides_of(value))
            elif value in stored:
                target = Access(pointer(value, 0), value.dtype, [*contiguous(space)])
            else:
                continue
            self._writes[value] = target
        self._reductions = [value for value in values if isinstance(value.work, Reduction)]
        self._sizes = list(space)
        self._merge_axes()
        self._registers: dict[Value, str] = {}

    def _accesses(self) -> list[Access]:
        return [self._order, *self._reads.values(), *self._writes.values()]

    def _merge_axes(self) -> None:
        """Make one axis of two wherever one step along the first is a whole turn of the second."""
        for axis in range(len(self._sizes) - 2, -1, -1):
            size = self._sizes[axis + 1]
            if all(each.strides[axis] == each.strides[axis + 1] * size for each in self._accesses()):
                self._sizes[axis : axis + 2] = [self._sizes[axis] * size]
                for each in self._accesses():
                    del each.strides[axis]

    def _in_register(self, value: Value) -> bool:
        """Whether a reduction runs along the innermost axis, so that it needs memory only at its end."""
        return bool(self._sizes) and self._writes[value].strides[-1] == 0

    def _along_others(self, value: Value) -> bool:
        """Whether a reduction runs along another axis than the innermost."""
        return any(stride == 0 for stride in self._writes[value].strides[:-1])

    def emit(self) -> None:
        for value in self._reductions:
            if not self._in_register(value) or self._along_others(value):
                self._start_in_memory(value)
        self._nest(0)
        for value in self._reductions:
            self._narrow(value)

    def _start_in_memory(self, value: Value) -> None:
        target, work = self._writes[value], _reduction(value)
        loop = Loop(self._code, value.size)
        first = literal(neutral(work.name, target.dtype), target.dtype)
        self._code.store(first, target.pointer, loop.index, target.dtype)
        loop.end()

    def _narrow(self, value: Value) -> None:
        """Convert the results of a reduction from the accumulator's dtype to that of the value, in place."""
        target = self._writes[value]
        if target.dtype == value.dtype:
            return
        loop = Loop(self._code, value.size)
        wide = self._code.load(target.pointer, loop.index, target.dtype)
        narrow = converted(self._code, wide, target.dtype, value.dtype)
        self._code.store(narrow, target.pointer, loop.index, value.dtype)
        loop.end()

    def _nest(self, axis: int) -> None:
        if axis == len(self._sizes):
            self._body()
            return
        innermost = axis == len(self._sizes) - 1
        kept = [value for value in self._reductions if innermost and self._in_register(value)]
        carried = [(llvm_type(self._writes[value].dtype), self._first(value)) for value in kept]
        loop = Loop(self._code, self._sizes[axis], carried)
        outer = [each.index for each in self._accesses()]
        self._advance(axis, loop.index)
        self._registers.update(zip(kept, loop.values, strict=True))
        self._nest(axis + 1)
        results = [self._registers[value] for value in kept]
        loop.end(*results)
        for each, index in zip(self._accesses(), outer, strict=True):
            each.index = index
        for value, result in zip(kept, results, strict=True):
            self._keep(value, result)

    def _first(self, value: Value) -> str:
        accumulator = _reduction(value).accumulator
        return literal(neutral(_reduction(value).name, accumulator), accumulator)

    def _advance(self, axis: int, counter: str) -> None:
        """Add this axis to the indices of all accesses. Equal ones share their code."""
        known: dict[tuple[str, int], str] = {}
        for each in self._accesses():
            stride = each.strides[axis]
            start = each.index
            if stride == 0:
                continue
            if (start, stride) not in known:
                moved = counter if stride == 1 else self._code.new(f"mul nsw i64 {counter}, {stride}")
                if start != "0":
                    moved = self._code.new(f"add nsw i64 {start}, {moved}")
                known[start, stride] = moved
            each.index = known[start, stride]

    def _keep(self, value: Value, result: str) -> None:
        """Store what a reduction along the innermost axis has found."""
        target = self._writes[value]
        if self._along_others(value):
            before = self._code.load(target.pointer, target.index, target.dtype)
            result = combined(self._code, _reduction(value).name, before, result, target.dtype)
        self._code.store(result, target.pointer, target.index, target.dtype)

    def _body(self) -> None:
        code = self._code
        found: dict[Value, str] = {}
        loaded: dict[View, str] = {}

        def operand(part: View) -> str:
            if part.value in found:
                return found[part.value]
            if isinstance(part.value.work, Fixed) and _is_number(part.value):
                return literal(part.value.work.array.reshape(()), part.dtype)
            if part not in loaded:
                access = self._reads[part]
                loaded[part] = code.load(access.pointer, access.index, access.dtype)
            return loaded[part]

        for value in self._values:
            operands = [operand(part) for part in value.parts]
            if isinstance(value.work, Reduction):
                self._combine(value, operands[0])
            else:
                found[value] = self._computed(value, operands)
        # Storing comes last. So a value may replace an array that the same step reads.
        for value, target in self._writes.items():
            if value in found:
                code.store(found[value], target.pointer, target.index, target.dtype)

    def _computed(self, value: Value, operands: list[str]) -> str:
        code, work = self._code, value.work
        if isinstance(work, Counting):
            turned = code.new(f"mul i64 {self._order.index}, {work.step}")
            return converted(code, code.new(f"add i64 {turned}, {work.start}"), "int64", value.dtype)
        assert isinstance(work, Elementwise)
        if work.name == "cast":
            return converted(code, operands[0], value.parts[0].dtype, value.dtype)
        return OPERATIONS[work.name].emit(code, operands, value.parts[-1].dtype)

    def _combine(self, value: Value, operand: str) -> None:
        code, target, name = self._code, self._writes[value], _reduction(value).name
        if value in self._registers:
            self._registers[value] = combined(code, name, self._registers[value], operand, target.dtype)
            return
        before = code.load(target.pointer, target.index, target.dtype)
        code.store(
            combined(code, name, before, operand, target.dtype), target.pointer, target.index, target.dtype
        )


def _reduction(value: Value) -> Reduction:
    assert isinstance(value.work, Reduction)
    return value.work


def _is_number(value: Value) -> bool:
    """Whether this is a single constant. It is part of the code and is not read from memory."""
    return isinstance(value.work, Fixed) and value.size == 1


def _strides_of(value: Value) -> list[int]:
    """Return the strides of a reduction's results for the axes of its loop: 0 along those that it reduces."""
    axes, remaining = _reduction(value).axes, list(contiguous(value.shape))
    return [0 if axis in axes else remaining.pop(0) for axis in range(len(value.space))]
