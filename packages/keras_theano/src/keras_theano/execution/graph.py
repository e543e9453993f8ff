"""What a step computes, as a graph of PyTensor's nodes, and the names of the tiers that can run it."""

from dataclasses import dataclass
from typing import Any

from pytensor.graph.traversal import io_toposort

from keras_theano.tracing.loop import Loop

INTERPRETER, NATIVE = "interpreter", "native"


@dataclass
class Graph:
    """A graph that a tier can run.

    inputs: PyTensor variables.
    outputs: PyTensor variables.
    updates: pairs of a shared variable and its new value.
    """

    inputs: list[Any]
    outputs: list[Any]
    updates: list[tuple[Any, Any]]

    @property
    def ends(self) -> list[Any]:
        return [*self.outputs, *(value for _, value in self.updates)]

    @property
    def size(self) -> int:
        """The number of nodes, including those of one step of each loop."""
        nodes = io_toposort(self.inputs, self.ends)
        loops = [node.op for node in nodes if isinstance(node.op, Loop)]
        return len(nodes) + sum(len(io_toposort(loop.step_inputs, loop.step_outputs)) for loop in loops)
