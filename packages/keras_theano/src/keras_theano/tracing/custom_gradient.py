"""Gives a value in a trace a gradient that the user has defined."""

from collections.abc import Callable, Sequence
from typing import Any

from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import node_rewriter
from pytensor.tensor.rewriting.basic import register_canonicalize

from keras_theano.tracing.subgraphs import edges, next_number, rebuilt
from keras_theano.tracing.tensor import Tensor, as_node, cast


class Overridden(Op):
    """Returns its first inputs unchanged, as many as there are in `upstream`.

    upstream: variables that stand for the gradients of the outputs.
    results: variables that stand for the outputs.
    gradients: the gradients with respect to the arguments, or None for each argument without one. They are
        computed from `upstream`, `results` and `context`.
    context: other variables of the graph that the gradients are computed from.

    The inputs are the outputs as they were computed, the arguments, and the context. So a copy of the node,
    in a loop for example, computes its gradient from the copies of these. A rewrite removes the op once the
    gradients are known.
    """

    __props__ = ()

    def __init__(
        self,
        upstream: Sequence[Variable],
        results: Sequence[Variable],
        gradients: Sequence[Variable | None],
        context: Sequence[Variable],
    ) -> None:
        self._count = len(upstream)
        self._upstream = list(upstream)
        self._results = list(results)
        self._gradients = list(gradients)
        self._context = list(context)

    # Two calls of the same function must not be merged.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def make_node(self, *inputs: Variable) -> Apply:  # type: ignore[type-arg]
        return Apply(self, list(inputs), [output.type() for output in inputs[: self._count]])

    def perform(self, node: Apply, inputs: Sequence[Any], outputs: list[list[Any]]) -> None:  # type: ignore[type-arg]
        for value, cell in zip(inputs, outputs, strict=False):
            cell[0] = value

    # PyTensor 3.3 does not pass the first of the three arguments.
    def infer_shape(self, *arguments: Any) -> list[Any]:
        return list(arguments[-1][: self._count])

    def connection_pattern(self, node: Apply) -> list[list[bool]]:  # type: ignore[type-arg]
        args = node.inputs[self._count : self._count + len(self._gradients)]
        known = [
            found is not None and _is_real(arg) for arg, found in zip(args, self._gradients, strict=True)
        ]
        context = len(node.inputs) - self._count - len(args)
        return [[is_known] * self._count for is_known in [*[False] * self._count, *known, *[False] * context]]

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        args = inputs[self._count : self._count + len(self._gradients)]
        now: dict[Any, Any] = dict(zip(self._context, inputs[self._count + len(args) :], strict=True))
        now.update(zip(self._results, outputs, strict=True))
        for symbol, output, cotangent in zip(self._upstream, outputs, cotangents, strict=True):
            given = output.zeros_like() if cotangent.type == disconnected_type else cotangent
            now[symbol] = cast(given, symbol.type.dtype)
        wanted = [part for part in self._gradients if part is not None]
        gradients = iter(rebuilt(wanted, now))
        found = [None if part is None else next(gradients) for part in self._gradients]
        return [
            *[disconnected_type() for _ in range(self._count)],
            *[
                disconnected_type() if value is None or not _is_real(arg) else _like(arg, value)
                for arg, value in zip(args, found, strict=True)
            ],
            *[disconnected_type() for _ in self._context],
        ]


def _is_real(node: Any) -> bool:
    return str(node.type.dtype).startswith("float")


def _like(node: Any, value: Any) -> Any:
    gradient = cast(value, node.type.dtype)
    return gradient if gradient.type.ndim == node.type.ndim else gradient.reshape(node.shape)


@register_canonicalize("fast_compile")
@node_rewriter([Overridden])
def _remove(fgraph: Any, node: Apply) -> list[Variable]:  # type: ignore[type-arg]
    return list(node.inputs[: node.op._count])


def with_gradient(
    outputs: Sequence[Tensor],
    args: Sequence[Any],
    gradient: Callable[..., Sequence[Any]],
    of_results: bool = False,
) -> list[Tensor]:
    """Return `outputs`, with the given gradient with respect to `args`.

    args: of these, only what is a Tensor can have a gradient.
    gradient: takes the list of the gradients of the outputs, and returns a gradient or None for each of
        `args`.
    of_results: whether `gradient` also takes the list of the results. A second derivative then uses the given
        gradient again.
    """
    nodes = [as_node(output) for output in outputs]
    since = next_number()
    upstream, results = [node.type() for node in nodes], [node.type() for node in nodes]
    given = [[Tensor(symbol) for symbol in symbols] for symbols in (upstream, results)]
    pairs = zip(args, gradient(*given[: 2 if of_results else 1]), strict=True)
    pairs_of_tensors = [(as_node(arg), found) for arg, found in pairs if isinstance(arg, Tensor)]
    found = [None if value is None else as_node(value) for _, value in pairs_of_tensors]
    context = [
        edge
        for edge in edges([part for part in found if part is not None], since)
        if edge not in upstream and edge not in results
    ]
    op = Overridden(upstream, results, found, context)
    made = op(*nodes, *[arg for arg, _ in pairs_of_tensors], *context, return_list=True)
    return [Tensor(node) for node in made]
