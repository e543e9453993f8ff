"""The rule for loops: the steps of a short one follow each other.

Equal steps have equal functions, so a loop takes no longer to compile than a few of its steps.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import io_toposort

from keras_theano.execution.native.lowering import Lowering, joined, rule
from keras_theano.execution.native.work import Assembly, Fixed, Uncovered, View
from keras_theano.tracing.loop import Loop

# A loop with more steps than this, or with more nodes in all steps together, stays in the interpreter.
MOST_STEPS = 64
MOST_NODES = 8_000
# No array has more axes.
_MOST_SIZES = 64


@rule.register
def _(op: Loop, node: Apply, graph: Lowering) -> Sequence[View]:  # type: ignore[type-arg]
    if op.condition is not None:
        raise Uncovered("a loop with a condition")
    sequences, states, shared = op.split([graph.view(part) for part in node.inputs])
    steps = sequences[0].shape[0]
    nodes = list(io_toposort(op.step_inputs, op.step_outputs))
    if {part.shape[0] for part in sequences} != {steps} or steps == 0:
        raise Uncovered("a loop without steps")
    if steps > MOST_STEPS or steps * len(nodes) > MOST_NODES:
        raise Uncovered(f"a loop of {steps} steps")
    results: list[list[View]] = [[] for _ in op.step_outputs]
    for step in reversed(range(steps)) if op.backwards else range(steps):
        given = [*[_element(part, step) for part in sequences], *states, *shared]
        found = _one_step(op, nodes, given, graph)
        states = found[: op.states]
        for all_of_them, view in zip(results, found, strict=True):
            all_of_them.append(view)
    end = op.states + len(op.stacked)
    stacked = [_stacked(graph, views, op.backwards) for views in results[op.states : end]]
    return [*states, *stacked, *[_total(graph, views) for views in results[end:]]]


def _one_step(op: Loop, nodes: Sequence[Apply], given: Sequence[View], graph: Lowering) -> list[View]:  # type: ignore[type-arg]
    inner = Lowering(graph.shop, graph.checks)
    for variable, view in zip(op.step_inputs, given, strict=True):
        require(variable, view)
        known = _whole_numbers(view)
        if known is None:
            inner.let(variable, view)
        else:
            inner.let_known(variable, known)
    for node in nodes:
        inner.lower(node)
    return [inner.view(output) for output in op.step_outputs]


def require(variable: Variable, view: View) -> None:
    """Raise Uncovered if a view is of another kind than the variable that it stands for."""
    sizes = variable.type.shape
    fits = len(sizes) == len(view.shape) and variable.type.dtype == view.dtype
    if not fits or any(known not in (None, size) for known, size in zip(sizes, view.shape, strict=True)):
        raise Uncovered("a loop whose step changes its shapes")


def _whole_numbers(view: View) -> Any:
    """Return the values of a view of few constant whole numbers, which may be sizes, and None otherwise."""
    work = view.value.work
    if not isinstance(work, Fixed) or work.array.dtype.kind not in "iu" or view.size > _MOST_SIZES:
        return None
    places = view.offset + sum(
        np.arange(size).reshape([-1 if n == axis else 1 for n in range(len(view.shape))]) * stride
        for axis, (size, stride) in enumerate(zip(view.shape, view.strides, strict=True))
    )
    return work.array.reshape(-1)[places]


def _element(sequence: View, step: int) -> View:
    """Return an element of a sequence. Where another loop has stacked it, it is what that loop computed."""
    work, parts = sequence.value.work, sequence.value.parts
    if (
        isinstance(work, Assembly)
        and work.complete
        and sequence.whole
        and [part.shape for part in parts] == [(1, *sequence.shape[1:])] * sequence.shape[0]
        and list(work.places) == [(n * sequence.strides[0], sequence.strides) for n in range(len(parts))]
    ):
        part = parts[step]
        return View(part.value, part.offset, part.shape[1:], part.strides[1:])
    offset = sequence.offset + step * sequence.strides[0]
    return View(sequence.value, offset, sequence.shape[1:], sequence.strides[1:])


def _stacked(graph: Lowering, views: Sequence[View], backwards: bool) -> View:
    if len({view.shape for view in views}) != 1:
        raise Uncovered("a loop whose step changes its shapes")
    rows = [View(view.value, view.offset, (1, *view.shape), (0, *view.strides)) for view in views]
    return joined(graph, rows[::-1] if backwards else rows, 0, views[0].dtype)


def _total(graph: Lowering, views: Sequence[View]) -> View:
    return reduce(lambda one, other: graph.shop.elementwise("add", [one, other], one.dtype), views)
