"""Gives a value in a trace a gradient that the user has defined."""

from collections.abc import Callable, Sequence
from typing import Any

from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import node_rewriter
from pytensor.tensor.rewriting.basic import register_canonicalize

from keras_theano.tracing.tensor import Tensor, as_node, cast


class _Overridden(Op):
    """Returns its first `count` inputs unchanged.

    count: the number of outputs.
    gradient: takes the gradients of the outputs, and returns the gradients with respect to the other inputs.

    A rewrite removes the op once the gradients are known.
    """

    __props__ = ()

    def __init__(self, count: int, gradient: Callable[[list[Tensor]], Sequence[Any]]) -> None:
        self._count = count
        self._gradient = gradient

    # Two calls of the same function must not be merged.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getstate__(self) -> dict[str, Any]:
        # When a graph is sent to another process to be compiled, it already contains its gradients.
        return {"_count": self._count, "_gradient": None}

    def make_node(self, *inputs: Variable) -> Apply:  # type: ignore[type-arg]
        return Apply(self, list(inputs), [output.type() for output in inputs[: self._count]])

    def perform(self, node: Apply, inputs: Sequence[Any], outputs: list[list[Any]]) -> None:  # type: ignore[type-arg]
        for value, cell in zip(inputs, outputs, strict=False):
            cell[0] = value

    # PyTensor 3.3 does not pass the first of the three arguments.
    def infer_shape(self, *arguments: Any) -> list[Any]:
        return list(arguments[-1][: self._count])

    def connection_pattern(self, node: Apply) -> list[list[bool]]:  # type: ignore[type-arg]
        computed, args = node.inputs[: self._count], node.inputs[self._count :]
        return [[False] * self._count for _ in computed] + [[_is_real(arg)] * self._count for arg in args]

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        upstream = [
            Tensor(output.zeros_like() if cotangent.type == disconnected_type else cotangent)
            for output, cotangent in zip(outputs, cotangents, strict=True)
        ]
        args = inputs[self._count :]
        found = [
            disconnected_type() if value is None or not _is_real(arg) else _like(arg, value)
            for arg, value in zip(args, self._gradient(upstream), strict=True)
        ]
        return [disconnected_type() for _ in inputs[: self._count]] + found


def _is_real(node: Any) -> bool:
    return str(node.type.dtype).startswith("float")


def _like(node: Any, value: Any) -> Any:
    gradient = cast(as_node(value), node.type.dtype)
    return gradient if gradient.type.ndim == node.type.ndim else gradient.reshape(node.shape)


@register_canonicalize("fast_compile")
@node_rewriter([_Overridden])
def _remove(fgraph: Any, node: Apply) -> list[Variable]:  # type: ignore[type-arg]
    return list(node.inputs[: node.op._count])


def with_gradient(
    outputs: Sequence[Tensor], args: Sequence[Any], gradient: Callable[[list[Tensor]], Sequence[Any]]
) -> list[Tensor]:
    """Return `outputs`, with the given gradient with respect to `args`.

    gradient: takes the list of the gradients of the outputs, and returns a gradient or None for each of
        `args`.
    """
    nodes = [as_node(output) for output in outputs]
    op = _Overridden(len(nodes), gradient)
    made = op(*nodes, *[as_node(arg) for arg in args], return_list=True)
    return [Tensor(node) for node in made]
