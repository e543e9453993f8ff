"""Gives functions of arrays a place in a graph, for what PyTensor has no op for.

Every tier runs such a function as it is. The native tier calls it between two segments of machine code.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.tensor.type import TensorType

# Takes the inputs, the outputs and the gradients of the outputs of a node, all of them PyTensor variables,
# and the settings as named arguments. Returns the gradient of each input, or None where there is none.
Gradient = Callable[..., Sequence[Any]]


class Computed(Op):
    """Calls a function of arrays.

    function: takes arrays and, as named arguments, the settings. Returns one new array or a tuple of them. It
        must be a function of a module, so that equal calls are equal nodes.
    settings: pairs of a name and a value that can be hashed.
    types: the types of the outputs.
    gradient: a function of a module, or None if the gradient is 0 everywhere.
    """

    __props__ = ("function", "settings", "types", "gradient")

    def __init__(
        self,
        function: Callable[..., Any],
        settings: tuple[tuple[str, Any], ...],
        types: tuple[TensorType, ...],
        gradient: Gradient | None,
    ) -> None:
        self.function, self.settings, self.types, self.gradient = function, settings, types, gradient
        self._named = dict(settings)
        self._dtypes = [kind.dtype for kind in types]

    def __str__(self) -> str:
        return f"Computed{{{getattr(self.function, '__name__', self.function)}}}"

    def make_node(self, *inputs: Variable) -> Apply:  # type: ignore[type-arg]
        return Apply(self, list(inputs), [kind() for kind in self.types])

    def run(self, *arrays: Any) -> list[Any]:
        results = self.function(*arrays, **self._named)
        results = results if isinstance(results, tuple) else (results,)
        return [
            np.ascontiguousarray(result, dtype).reshape(np.shape(result))
            for result, dtype in zip(results, self._dtypes, strict=True)
        ]

    def perform(self, node: Apply, inputs: Sequence[Any], outputs: list[list[Any]]) -> None:  # type: ignore[type-arg]
        with np.errstate(all="ignore"):
            results = self.run(*inputs)
        for cell, result in zip(outputs, results, strict=True):
            cell[0] = result

    def connection_pattern(self, node: Apply) -> list[list[bool]]:  # type: ignore[type-arg]
        known = self.gradient is not None
        return [
            [known and _may_have_slope(given) and _may_have_slope(out) for out in node.outputs]
            for given in node.inputs
        ]

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        if self.gradient is None:
            return [disconnected_type() for _ in inputs]
        upstream = [
            output.zeros_like() if cotangent.type == disconnected_type else cotangent
            for output, cotangent in zip(outputs, cotangents, strict=True)
        ]
        found = self.gradient(inputs, outputs, upstream, **self._named)
        slopes = [part if slope is None else slope for part, slope in zip(_zeros(inputs), found, strict=True)]
        return [
            slope if _may_have_slope(given) else disconnected_type()
            for given, slope in zip(inputs, slopes, strict=True)
        ]


def same(x: Any, **_: Any) -> Any:
    """Return a copy, for a Computed that only has a gradient of its own. Tiers may skip the copy."""
    return x.copy()


def _zeros(nodes: Sequence[Any]) -> list[Any]:
    return [node.zeros_like() for node in nodes]


def _may_have_slope(variable: Variable) -> bool:  # type: ignore[type-arg]
    return str(getattr(variable.type, "dtype", "")).startswith(("float", "complex"))


def computed(
    function: Callable[..., Any],
    inputs: Sequence[Variable],  # type: ignore[type-arg]
    outputs: Sequence[tuple[str, Sequence[int | None]]],
    gradient: Gradient | None = None,
    **settings: Any,
) -> list[Any]:
    """Return the variables that `function` computes from `inputs`.

    outputs: the dtype and the shape of each result, with None for a size that is not known.
    The other arguments are those of Computed.
    """
    types = tuple(TensorType(dtype, tuple(shape)) for dtype, shape in outputs)
    op = Computed(function, tuple(settings.items()), types, gradient)
    return list(op(*inputs, return_list=True))
