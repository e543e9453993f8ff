"""A function in LLVM's language, line by line."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

# The end of a function that may stop the step.
SUCCESS, FAILURE = "ret i1 true", "ret i1 false"
_TYPES = {"bool": "i1", "float32": "float", "float64": "double"}


def is_float(dtype: str) -> bool:
    return dtype.startswith("float")


def llvm_type(dtype: str) -> str:
    """Return LLVM's type of a number in a register."""
    return _TYPES.get(dtype) or f"i{np.dtype(dtype).itemsize * 8}"


def stored_type(dtype: str) -> str:
    """Return LLVM's type of a number in memory. NumPy's bools are bytes."""
    return "i8" if dtype == "bool" else llvm_type(dtype)


def literal(number: Any, dtype: str) -> str:
    """Return how LLVM writes a number. It writes floats by the bits of a double."""
    if dtype == "bool":
        return "true" if number else "false"
    if not is_float(dtype):
        return str(int(number))
    bits = struct.pack(">d", float(np.dtype(dtype).type(number)))
    return f"0x{bits.hex().upper()}"


class Code:
    """The lines of a function. Names are numbered in order, so that equal functions have equal lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.declared: set[str] = set()
        self._count = 0

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def number(self) -> int:
        self._count += 1
        return self._count

    def line(self, text: str) -> None:
        self.lines.append(text)

    def new(self, expression: str) -> str:
        """Add an instruction and return the name of its result."""
        name = f"%v{self.number()}"
        self.line(f"{name} = {expression}")
        return name

    def block(self, name: str) -> None:
        self.line(f"{name}:")

    def jump(self, name: str) -> None:
        self.line(f"br label %{name}")

    def branch(self, condition: str, then: str, otherwise: str) -> None:
        self.line(f"br i1 {condition}, label %{then}, label %{otherwise}")

    def place(self, pointer: str, index: str, dtype: str) -> str:
        """Return the address of an element of an array."""
        return self.new(f"getelementptr {stored_type(dtype)}, ptr {pointer}, i64 {index}")

    def load(self, pointer: str, index: str, dtype: str) -> str:
        kind = stored_type(dtype)
        number = self.new(f"load {kind}, ptr {self.place(pointer, index, dtype)}")
        return self.new(f"icmp ne i8 {number}, 0") if dtype == "bool" else number

    def store(self, value: str, pointer: str, index: str, dtype: str) -> None:
        if dtype == "bool":
            value = self.new(f"zext i1 {value} to i8")
        self.line(f"store {stored_type(dtype)} {value}, ptr {self.place(pointer, index, dtype)}")

    def intrinsic(self, name: str, given: list[str], dtype: str) -> str:
        """Add a call of a function that LLVM knows."""
        suffix = {"float32": "f32", "float64": "f64"}.get(dtype) or llvm_type(dtype)
        return self._call(f"llvm.{name}.{suffix}", given, dtype)

    def library(self, name: str, given: list[str], dtype: str) -> str:
        """Add a call of a function of the C library."""
        return self._call(name + ("f" if dtype == "float32" else ""), given, dtype)

    def _call(self, name: str, given: list[str], dtype: str) -> str:
        kind = llvm_type(dtype)
        self.declared.add(f"declare {kind} @{name}({', '.join([kind] * len(given))})")
        return self.new(f"call {kind} @{name}({', '.join(f'{kind} {part}' for part in given)})")


class Loop:
    """A loop in a Code over 0, 1, ... up to a number that is at least 1. `index` is the name of the counter.

    carried: for each number that a step hands to the next: its LLVM type, and what the first step gets.
        `values` are their names in the loop. `end` is called at the end of a step with the new ones. After
        the loop, `last` are the names of the last ones.
    """

    def __init__(self, code: Code, count: int, carried: Sequence[tuple[str, str]] = ()) -> None:
        self._code = code
        self._count = count
        self._carried = carried
        self._number = number = code.number()
        code.jump(f"before{number}")
        code.block(f"before{number}")
        code.jump(f"loop{number}")
        code.block(f"loop{number}")
        self.index = f"%i{number}"
        code.line(f"{self.index} = phi i64 [0, %before{number}], [%next{number}, %latch{number}]")
        self._head = len(code.lines)
        self.values = [f"%c{number}x{n}" for n in range(len(carried))]
        code.lines += self.values  # the whole lines are known at the end

    def end(self, *values: str) -> None:
        """End the loop. What follows runs after it."""
        code, number = self._code, self._number
        code.jump(f"latch{number}")
        code.block(f"latch{number}")
        for n, ((kind, first), value) in enumerate(zip(self._carried, values, strict=True)):
            code.lines[self._head + n] = (
                f"{self.values[n]} = phi {kind} [{first}, %before{number}], [{value}, %latch{number}]"
            )
        code.line(f"%next{number} = add nuw nsw i64 {self.index}, 1")
        self.last = values
        finished = code.new(f"icmp eq i64 %next{number}, {self._count}")
        code.branch(finished, f"after{number}", f"loop{number}")
        code.block(f"after{number}")


class Nest:
    """Loops over a shape.

    indices: the names of the counters.
    """

    def __init__(self, code: Code, shape: Sequence[int]) -> None:
        self._code = code
        self._loops = [Loop(code, size) for size in shape]
        self.indices = [loop.index for loop in self._loops]

    def offset(self, start: int, strides: Sequence[int]) -> str:
        """Add the distance of the present element from an array's first one, and return its name."""
        return offset(self._code, start, self.indices, strides)

    def end(self) -> None:
        for loop in reversed(self._loops):
            loop.end()


def offset(code: Code, start: int, indices: Sequence[str], strides: Sequence[int]) -> str:
    total = str(start)
    for index, stride in zip(indices, strides, strict=True):
        if stride:
            moved = index if stride == 1 else code.new(f"mul nsw i64 {index}, {stride}")
            total = moved if total == "0" else code.new(f"add nsw i64 {total}, {moved}")
    return total
