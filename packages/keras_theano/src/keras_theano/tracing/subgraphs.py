"""Finds and copies the part of a graph that a Python function has recorded."""

from collections.abc import Sequence

import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import io_toposort
from pytensor.tensor.variable import TensorVariable


def next_number() -> int:
    """Return the number of the next variable."""
    return number_of(pt.scalar())


def number_of(node: Variable) -> int:
    """Return the number of a variable. PyTensor numbers variables in the order in which they are made."""
    return int(node.auto_name.removeprefix("auto_"))


def edges(outputs: Sequence[TensorVariable], since: int) -> dict[TensorVariable, None]:
    """Return the variables that `outputs` depend on and that are older than `since`, without constants. The
    dict is used as an ordered set.
    """
    found: dict[TensorVariable, None] = {}
    seen: set[Variable] = set()
    waiting = list(outputs)
    while waiting:
        node = waiting.pop()
        if node in seen or isinstance(node, Constant):
            continue
        seen.add(node)
        if node.owner is None or number_of(node) < since:
            found[node] = None
        else:
            waiting.extend(node.owner.inputs)
    return found


def rebuilt(
    outputs: Sequence[TensorVariable], replacements: dict[TensorVariable, TensorVariable]
) -> list[TensorVariable]:
    """Return `outputs`, computed from replacements of their edges. Unlike PyTensor's clone_replace, this does
    not copy what lies beyond the edges.
    """
    new: dict[Variable, Variable] = dict(replacements)
    for node in io_toposort(list(replacements), list(outputs)):
        copy = node.clone_with_new_inputs([new.get(part, part) for part in node.inputs])
        new.update(zip(node.outputs, copy.outputs, strict=True))
    return [new.get(output, output) for output in outputs]
