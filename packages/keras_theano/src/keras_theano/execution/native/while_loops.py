"""Runs a loop with a condition as machine code. One segment computes a step and whether there is another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import io_toposort

from keras_theano.execution.native.lowering import Lowering
from keras_theano.execution.native.segment import Segment
from keras_theano.execution.native.unrolling import require
from keras_theano.execution.native.work import Uncovered, View
from keras_theano.execution.threads import limited_for
from keras_theano.tracing.loop import Loop


class Stopped(Exception):
    """A check in the step of a loop has failed."""


class WhileStep:
    """The step of a loop with a condition, for arrays of these shapes.

    op: without sequences.
    used: the numbers of the outputs that are needed, those of all states among them.
    arrays: the states before the first step, and what all steps share.

    Raises Uncovered if a step has something without a rule.
    """

    def __init__(self, op: Loop, used: Sequence[int], arrays: Sequence[Any]) -> None:
        if op.sequences or op.condition is None or len(op.step_outputs) > op.states + len(op.stacked):
            raise Uncovered("a loop with a condition and a sequence or a sum")
        self._op, self._stacked = op, len(used) - op.states
        self._states = [np.empty(array.shape, array.dtype) for array in arrays[: op.states]]
        first = Lowering()
        given = self._give(first, arrays)
        self._first = Segment(first.shop, [_condition(op, first, given)], first.checks, [])
        wanted = [op.step_outputs[n] for n in used]
        later = Lowering()
        given = self._give(later, arrays)
        found = _lowered(op.step_inputs, wanted, later, given)
        if [view.shape for view in found[: op.states]] != [array.shape for array in self._states]:
            raise Uncovered("a loop whose step changes its shapes")
        going = _condition(op, later, [*found[: op.states], *given[op.states :]])
        self._later = Segment(later.shop, [*found, going], later.checks, [])

    @property
    def segments(self) -> list[Segment]:
        return [self._first, self._later]

    def _give(self, lowering: Lowering, arrays: Sequence[Any]) -> list[View]:
        views = [
            lowering.give(variable, array.shape)
            for variable, array in zip(self._op.step_inputs, arrays, strict=True)
        ]
        for variable, view in zip(self._op.step_inputs, views, strict=True):
            require(variable, view)
        return views

    def run(self, arrays: Sequence[Any]) -> list[Any] | None:
        """Return the results, or None if there was no step, but results of all steps are needed."""
        for state, array in zip(self._states, arrays, strict=False):
            state[...] = array
        shared = arrays[len(self._states) :]
        addresses = [part.ctypes.data for part in (*self._states, *shared)]
        kept: list[list[Any]] = [[] for _ in range(self._stacked)]
        # The products of a step are small, and there are many.
        with limited_for([*self._states, *shared], in_matrices=False):
            going = _run(self._first, addresses)
            if not going and self._stacked:
                return None
            while going:
                going = _run(self._later, addresses)
                results = self._later.arrays
                for state, result in zip(self._states, results, strict=False):
                    state[...] = result
                for rows, result in zip(kept, results[len(self._states) : -1], strict=True):
                    rows.append(result.copy())
        return [*[state.copy() for state in self._states], *[np.stack(rows) for rows in kept]]


def _run(segment: Segment, addresses: Sequence[int]) -> bool:
    """Run a segment, and return its last result: whether there is another step."""
    if not segment.run([addresses[n] for n in segment.given]):
        raise Stopped
    return bool(segment.arrays[-1])


def _condition(op: Loop, lowering: Lowering, given: Sequence[View]) -> View:
    (going,) = _lowered(op.step_inputs, [op.condition], lowering, given)
    if going.size != 1:
        raise Uncovered("a loop with a condition that is no single number")
    return going


def _lowered(
    inputs: Sequence[Variable], outputs: Sequence[Variable], lowering: Lowering, given: Sequence[View]
) -> list[View]:
    """Add the nodes between the inputs, which are these views, and the outputs."""
    inner = Lowering(lowering.shop, lowering.checks)
    for variable, view in zip(inputs, given, strict=True):
        inner.let(variable, view)
    for node in io_toposort(inputs, outputs):
        inner.lower(node)
    return [inner.view(output) for output in outputs]
