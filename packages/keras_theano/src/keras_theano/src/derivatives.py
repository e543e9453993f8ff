"""Derivatives of functions of tensors. Eager code has none, so the functions are recorded and run at once."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras.src import tree

from keras_theano.tracing import trace
from keras_theano.tracing.array import as_arrays
from keras_theano.tracing.conversion import convert_to_tensor

Function = Callable[..., Any]


def gradient_function(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return a function of the arguments of `f` that returns the gradients of the sum of its result, with
    respect to the arguments at the positions `argnums`.

    f: returns a tensor. The arguments at the positions may be nested.
    Raises TypeError or ValueError, when it is called, if `argnums` are not positions of arguments, and
    TypeError if these are not floats.
    """

    def gradients(*args: Any, **kwargs: Any) -> Any:
        positions = _positions(argnums, len(args))
        chosen = [tree.map_structure(_as_float, args[n]) for n in positions]

        def of(*chosen: Any) -> Any:
            from keras_theano.symbolic.derivatives import gradients_of_sum

            given = list(args)

            def total(inputs: Sequence[Any]) -> Any:
                for n, value in zip(positions, inputs, strict=True):
                    given[n] = value
                return f(*given, **kwargs)

            return gradients_of_sum(total, chosen)

        found = of(*chosen) if trace.current() is not None else at_once(of, chosen)
        return found[0] if isinstance(argnums, int) else tuple(found)

    return gradients


def at_once(function: Function, args: Sequence[Any]) -> Any:
    """Record `function` with symbols for `args`, and run what it computes. The values that it assigns to
    variables are assigned.

    args: nested arrays.
    """
    import pytensor.tensor as pt

    from keras_theano.execution.graph import Graph
    from keras_theano.execution.interpreter import interpreted
    from keras_theano.tracing.tensor import Tensor

    arrays = tree.map_structure(np.asarray, list(args))
    recorded = trace.Trace()
    with trace.opened(recorded):
        symbols = tree.map_structure(lambda x: Tensor(pt.tensor(dtype=x.dtype.name, shape=x.shape)), arrays)
        found = function(*symbols)
    leaves = [leaf for leaf in tree.flatten(found) if isinstance(leaf, Tensor)]
    updates = [(variable.shared, value.node) for variable, value in recorded.updates]
    graph = Graph([leaf.node for leaf in tree.flatten(symbols)], [leaf.node for leaf in leaves], updates)
    run = interpreted(graph)
    values = iter(as_arrays(run(*tree.flatten(arrays))))
    return tree.map_structure(lambda leaf: next(values) if isinstance(leaf, Tensor) else leaf, found)


def _as_float(x: Any) -> Any:
    tensor = convert_to_tensor(x)
    if not str(tensor.dtype).startswith(("float", "bfloat")):
        raise TypeError(
            f"keras.ops.grad differentiates with respect to floats. Received: dtype={tensor.dtype}"
        )
    return tensor


def _positions(argnums: int | Sequence[int], count: int) -> list[int]:
    """Return `argnums` as a list of positions among `count` arguments."""
    several = [argnums] if isinstance(argnums, int) else argnums
    if not isinstance(several, (list, tuple)) or not all(isinstance(n, int) for n in several):
        raise TypeError(f"`argnums` must be an int or a tuple of ints. Received: argnums={argnums}")
    outside = [n for n in several if not -count <= n < count]
    if outside:
        raise ValueError(
            f"`argnums` names the argument {outside[0]}, but the function was called with {count} positional "
            "arguments."
        )
    positions = [n % count for n in several]
    if len(set(positions)) < len(positions):
        raise ValueError(f"`argnums` must not name an argument twice. Received: argnums={argnums}")
    return positions
