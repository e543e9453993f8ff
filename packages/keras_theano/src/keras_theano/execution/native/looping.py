"""Runs a long loop as machine code. The step is compiled once, and called for each element of a sequence.

Loops with a condition are in `while_loops`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.traversal import io_toposort

from keras_theano.execution.native.lowering import Lowering
from keras_theano.execution.native.segment import Segment
from keras_theano.execution.native.unrolling import require
from keras_theano.execution.native.while_loops import Stopped, WhileStep
from keras_theano.execution.native.work import Uncovered, Value, View
from keras_theano.execution.threads import limited_for
from keras_theano.tracing.loop import Loop

Function = Callable[..., Any]


class CompiledLoop:
    """The function of arrays that computes a node with a Loop.

    fgraph: its graph. Outputs that nothing in it uses are not computed.
    by_numpy: returns the function that does the same with NumPy. It runs loops whose step has something that
        this tier does not know, and is not made for others.
    compiling: returns the context in which a loop is compiled.
    """

    def __init__(
        self,
        node: Apply,  # type: ignore[type-arg]
        fgraph: FunctionGraph,
        by_numpy: Callable[[], Function],
        compiling: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._op: Loop = node.op
        used = [n for n, output in enumerate(node.outputs) if n < self._op.states or fgraph.clients[output]]
        self._used = used
        self._by_numpy = cache(by_numpy)
        self._compiling = compiling
        # None stands for what NumPy runs.
        self._steps: dict[Any, _Step | WhileStep | None] = {}

    @property
    def compiled(self) -> bool:
        """Whether machine code runs all that has been called."""
        return bool(self._steps) and None not in self._steps.values()

    def segments(self) -> Iterator[Segment]:
        for step in self._steps.values():
            if step is not None:
                yield from step.segments

    def __call__(self, *given: Any) -> Any:
        arrays = [_array(part) for part in given]
        kind = tuple([(array.shape, array.dtype) for array in arrays])
        if kind not in self._steps:
            with self._compiling():
                self._steps[kind] = self._compiled(arrays)
        step = self._steps[kind]
        if step is None:
            return self._by_numpy()(*given)
        found = step.run(arrays)
        if found is None:
            return self._by_numpy()(*given)
        results: list[Any] = [None] * len(self._op.step_outputs)
        for n, result in zip(self._used, found, strict=True):
            results[n] = result
        return results[0] if len(results) == 1 else tuple(results)

    def _compiled(self, arrays: Sequence[Any]) -> "_Step | WhileStep | None":
        op = self._op
        lengths = {len(part) for part in arrays[: op.sequences]}
        if op.condition is None and (len(lengths) != 1 or lengths == {0}):
            return None
        try:
            if op.condition is not None:
                return WhileStep(op, self._used, arrays)
            return _Step(op, self._used, arrays)
        except (Uncovered, ValueError):  # NumPy raises ValueError for shapes that do not fit
            return None


class _Step:
    """The step of a loop for arrays of these shapes.

    used: the numbers of the outputs that are needed, those of all states among them.
    """

    def __init__(self, op: Loop, used: Sequence[int], arrays: Sequence[Any]) -> None:
        self._op = op
        wanted = [op.step_outputs[n] for n in used]
        lowering = Lowering()
        for n, (variable, array) in enumerate(zip(op.step_inputs, arrays, strict=True)):
            require(variable, lowering.give(variable, array.shape[1:] if n < op.sequences else array.shape))
        for node in io_toposort(op.step_inputs, wanted):
            lowering.lower(node)
        views = [lowering.view(output) for output in wanted]
        for state, view in zip(op.split(arrays)[1], views, strict=False):
            if view.shape != state.shape:
                raise Uncovered("a loop whose step changes its shapes")
        self._ways = [_way(op, n) for n in used]
        # Each result gets an array of its own, to which the step writes it.
        written: set[Value] = set()
        updates: list[tuple[Value, View]] = []
        for output, view, way in zip(wanted, views, self._ways, strict=True):
            place = lowering.give(output.type(), view.shape)
            name, parts = ("add", [place, view]) if way == "summed" else ("copy", [view])
            new = lowering.shop.elementwise(name, parts, view.dtype)
            while new.value in written:
                new = lowering.shop.elementwise("copy", [new], view.dtype)
            written.add(new.value)
            updates.append((place.value, new))
        self.segment = Segment(lowering.shop, [], lowering.checks, updates, repeats=len(arrays[0]))
        if len(self.segment.replaced) < len(updates):
            raise Uncovered("a loop with a result that is not written in place")
        self._steps = self.segment.repeats
        self._order = np.arange(self._steps)[:: -1 if op.backwards else 1]
        self._place(views)

    def _place(self, views: Sequence[View]) -> None:
        """Make the arrays of the results, which every run overwrites, and the addresses of what a step reads
        and writes.
        """
        self._results: list[np.ndarray[Any, Any]] = []
        self._sums: list[np.ndarray[Any, Any]] = []
        self._read: list[Any] = []
        self._write: list[Any] = []
        for view, way in zip(views, self._ways, strict=True):
            if way == "state":
                # A step reads what the step before it has written to the other half.
                halves = np.empty((2, *view.shape), view.dtype)
                places = halves.ctypes.data + np.arange(self._steps) % 2 * halves.strides[0]
                self._read.append(np.roll(places, 1))
                self._write.append(places)
                last = (self._steps - 1) % 2
                self._results.append(halves[last : last + 1].reshape(view.shape))
            elif way == "stacked":
                stack = np.empty((self._steps, *view.shape), view.dtype)
                self._write.append(stack.ctypes.data + self._order * stack.strides[0])
                self._results.append(stack)
            else:
                self._results.append(np.empty(view.shape, view.dtype))
                self._write.append(self._results[-1].ctypes.data)
                self._sums.append(self._results[-1])

    @property
    def segments(self) -> list[Segment]:
        return [self.segment]

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """Return the results in arrays that the next run overwrites."""
        sequences, states, shared = self._op.split(arrays)
        for total in self._sums:
            total.fill(0)
        for state, places in zip(states, self._read, strict=True):
            places[0] = state.ctypes.data
        addresses = [
            *[part.ctypes.data + self._order * part.strides[0] for part in sequences],
            *self._read,
            *[part.ctypes.data for part in shared],
            *self._write,
        ]
        # The products of a step are smaller than those around the loop, and there are many.
        with limited_for([*[part[0] for part in sequences], *states, *shared], in_matrices=False):
            if not self.segment.repeat([addresses[n] for n in self.segment.given]):
                raise Stopped
        return self._results


def _way(op: Loop, number: int) -> str:
    if number < op.states:
        return "state"
    return "stacked" if number < op.states + len(op.stacked) else "summed"


def _array(part: Any) -> Any:
    """Return an array that machine code can read. A loop that NumPy runs may give a list."""
    array = np.stack(part) if isinstance(part, (list, tuple)) else np.asarray(part)
    return np.require(array, requirements=["C", "A"])
