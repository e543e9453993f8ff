"""Finds out which sizes of recorded results are the same whatever the unknown sizes of the inputs are. Only
the arithmetic of the sizes is computed, and no tensor.
"""

from collections.abc import Sequence
from typing import Any

import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Constant, Variable

from keras_theano.execution.interpreter import function_of
from keras_theano.execution.products import Sizes
from keras_theano.tracing.values import EXAMPLE_SIZES


def known_sizes(results: Sequence[Variable]) -> list[tuple[int | None, ...]]:
    """Return the shapes of `results`, with None for each size that depends on an unknown size of an input, or
    on the values of a tensor.

    For example, the second size of a tensor of shape (n, 4, 3) that is reshaped to (n, -1) is 12.
    """
    static = [tuple(result.type.shape) for result in results]
    if all(None not in shape for shape in static):
        return static
    first, second = (_found(results, size) for size in EXAMPLE_SIZES)
    return [
        tuple(a if a == b else None for a, b in zip(*pair, strict=True))
        for pair in zip(first, second, strict=True)
    ]


def _found(results: Sequence[Variable], unknown: int) -> list[list[int]]:
    sizes = _CertainSizes(unknown)
    sizes.largest_product([], results)
    return [sizes.shapes.get(result, _shape_for(result, unknown)) for result in results]


def _shape_for(result: Variable, unknown: int) -> list[int]:
    return [unknown if size is None else size for size in result.type.shape]


class _CertainSizes(Sizes):
    def _by_another_rule(self, node: Apply, n: int) -> list[int] | None:
        """Ask the op itself, with sizes that are constants."""
        infer = getattr(node.op, "infer_shape", None)
        if infer is None:
            return None
        shapes = [
            tuple(pt.constant(size, dtype="int64") for size in self._shape(part))
            if hasattr(part.type, "shape")
            else None
            for part in node.inputs
        ]
        try:
            found = infer(None, node, shapes)[n]
            sizes = [self._of_constants(size) for size in found]
        except Exception:  # ops raise many kinds of errors if they need more than the sizes
            return None
        return None if None in sizes else [int(size) for size in sizes]

    def _of_constants(self, variable: Any) -> Any:
        if not isinstance(variable, Variable):
            return variable
        known = self._value(variable)
        if known is not None or isinstance(variable, Constant) or variable.owner is None:
            return known
        given = [self._of_constants(part) for part in variable.owner.inputs]
        return None if None in given else function_of(variable.owner.op, variable.owner)(*given)
