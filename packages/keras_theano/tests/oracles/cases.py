"""Comparisons of traced functions with their eager twins, which several test modules use."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from keras import tree

from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor, as_node
from oracles.tracing import INTERPRETED, Function, traced


def ops_of(module: ModuleType, eager: ModuleType) -> list[str]:
    """List the ops that a traced module defines. The test of an op fails if the op has no case."""
    return [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__
        and not isinstance(value, type)
        and getattr(getattr(eager, name, None), "__module__", None) == eager.__name__
    ]


def agrees(
    function: Function,
    args: tuple[Any, ...],
    named: dict[str, Any],
    tolerance: float = 2e-6,
    batches: Sequence[bool] = (False, True),
) -> None:
    """Check that `function` computes the same values, dtypes and shapes in a trace as in eager code.

    batches: for each comparison, whether the size of the first axis is unknown in the trace.
    """
    with np.errstate(all="ignore"):  # NumPy warns about edge cases, and PyTensor does not
        # Some eager functions change their arguments.
        expected = tree.flatten(function(*copied(args), **named))
    for unknown_batch in batches:
        with np.errstate(all="ignore"):
            found = traced(
                lambda *xs: tree.flatten(function(*xs, **named)), *args, unknown_batch=unknown_batch
            )
        for ours, theirs in zip(found, expected, strict=True):
            if theirs is None:
                assert ours is None
                continue
            assert str(ours.dtype) == str(theirs.dtype), f"{named}"
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance, err_msg=f"{named}")


def gradients(function: Function, *args: Any) -> list[Any]:
    """Return PyTensor's gradients of a sum of the results of `function`, weighted by cos(0), cos(1), ..."""
    inputs = [pt.tensor(dtype=str(x.dtype), shape=x.shape) for x in args]
    with trace.opened(trace.Trace()):
        flat = as_node(function(*[Tensor(node) for node in inputs])).ravel()
    total = pt.sum(flat * pt.cos(pt.arange(flat.shape[0])))
    found = pytensor.grad(total, inputs, disconnected_inputs="ignore")
    with np.errstate(all="ignore"):
        return list(pytensor.function(inputs, found, mode=INTERPRETED, on_unused_input="ignore")(*args))


def copied(nest: Any) -> Any:
    if isinstance(nest, (list, tuple)):
        return type(nest)([copied(part) for part in nest])
    return nest.copy() if isinstance(nest, np.ndarray) else nest


def in_64_bits(nest: Any) -> Any:
    """Cast to 64 bits, which Keras narrows to 32 in some functions and keeps in others."""
    if isinstance(nest, (list, tuple)):
        return type(nest)([in_64_bits(part) for part in nest])
    wide = {"f": "float64", "i": "int64"}
    return nest.astype(wide.get(nest.dtype.kind, nest.dtype)) if isinstance(nest, np.ndarray) else nest
