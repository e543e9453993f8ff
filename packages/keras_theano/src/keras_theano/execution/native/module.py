"""Writes a segment in LLVM's language. Groups of the same code become one function, so equal layers and equal
time steps are compiled once.

`step` is the function that runs the segment. It takes a table of addresses: of the block of memory, of given
arrays, and of constants that are arrays. It returns 0, or 1 if the segment has been stopped.
"""

from dataclasses import dataclass

from keras_theano.execution.native import kernels
from keras_theano.execution.native.code import Code, stored_type
from keras_theano.execution.native.fusion import Group, Plan
from keras_theano.execution.native.loops import loop_nest
from keras_theano.execution.native.memory import Places
from keras_theano.execution.native.work import CHECKS, LEAVES, Value


@dataclass
class Module:
    """A segment in LLVM's language.

    text: the module.
    table: the leaves whose addresses `step` takes, in order. The address of the block of memory comes first.
    calls: the name of the function and the group of each call, in order.
    """

    text: str
    table: list[Value]
    calls: list[tuple[str, Group]]


def written(plan: Plan, places: Places) -> Module:
    """Return the module of a segment."""
    return _Writer(plan, places).module()


class _Writer:
    def __init__(self, plan: Plan, places: Places) -> None:
        self._plan = plan
        self._places = places
        self._stored = plan.stored()
        self._table: dict[Value, int] = {}
        self._declared: set[str] = set()
        self._functions: dict[tuple[str, str], str] = {}
        self._calls: list[tuple[str, Group]] = []
        self._body: list[str] = []
        self._addresses: dict[str, str] = {}

    def module(self) -> Module:
        for group in self._plan.groups:
            self._add(group)
        return Module(self._text(), list(self._table), self._calls)

    def _add(self, group: Group) -> None:
        code = Code()
        pointers: dict[str, str] = {}

        def pointer(value: Value, offset: int = 0) -> str:
            """Return the name of the address of an element in the function."""
            return pointers.setdefault(self._address(value, offset), f"%p{len(pointers)}")

        stops = False
        if group.space is not None:
            loop_nest(code, group.values, group.space, self._stored, pointer)
            code.line("ret void")
        else:
            (value,) = group.values
            names = [pointer(part.value, part.offset) for part in value.parts]
            kernels.emit(code, value, [*names, "null" if value not in self._stored else pointer(value)])
            stops = isinstance(value.work, CHECKS)
        self._call(group, code, pointers, stops)

    def _address(self, value: Value, offset: int) -> str:
        """Return the name of the address of an element in `step`."""
        start = self._start(value)
        if offset == 0:
            return start
        name = f"{start}_{offset}".replace("-", "minus")
        kind = stored_type(value.dtype)
        self._addresses.setdefault(name, f"{name} = getelementptr {kind}, ptr {start}, i64 {offset}")
        return name

    def _start(self, value: Value) -> str:
        """Return the name of a value's address in `step`."""
        value = self._plan.in_place.get(value, value)
        if isinstance(value.work, LEAVES):
            index = self._table.setdefault(value, len(self._table) + 1)
            name = f"%leaf{index}"
            place = f"%at{index} = getelementptr ptr, ptr %table, i64 {index}"
            self._addresses.setdefault(name, f"{place}\n{name} = load ptr, ptr %at{index}")
        else:
            start = self._places.starts[value]
            name = f"%place{start}"
            self._addresses.setdefault(name, f"{name} = getelementptr i8, ptr %block, i64 {start}")
        return name

    def _call(self, group: Group, code: Code, pointers: dict[str, str], stops: bool) -> None:
        kind = "i1" if stops else "void"
        signature = ", ".join(f"ptr noalias %p{n}" for n in range(len(pointers)))
        head = f"{kind} @KERNEL({signature})"
        name = self._functions.setdefault((head, code.text), f"{_label(group)}_{len(self._functions)}")
        self._declared |= code.declared
        self._calls.append((name, group))
        arguments = ", ".join(f"ptr {address}" for address in pointers)
        call = f"call {kind} @{name}({arguments})"
        if not stops:
            self._body.append(call)
            return
        number = len(self._body)
        self._body.append(
            f"%ok{number} = {call}\nbr i1 %ok{number}, label %go{number}, label %stop\ngo{number}:"
        )

    def _text(self) -> str:
        functions = [
            f"define internal {head.replace('KERNEL', name)} noinline nounwind {{\nentry:\n{body}\n}}"
            for (head, body), name in self._functions.items()
        ]
        steps = "\n".join(["%block = load ptr, ptr %table", *self._addresses.values(), *self._body])
        # It only calls. Optimizing it would take longer than all else in a long unrolled loop.
        head = "define i32 @step(ptr %table) noinline optnone"
        step = f"{head} {{\nentry:\n{steps}\nret i32 0\nstop:\nret i32 1\n}}"
        return "\n".join([*sorted(self._declared), *functions, step])


def _label(group: Group) -> str:
    """Return a word for the kind of a group, for those who read what was made."""
    if group.space is None:
        return type(group.values[0].work).__name__.lower()
    return "loop"
