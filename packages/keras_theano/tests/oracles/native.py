"""Runs graphs in the native tier, and in the interpreter to compare."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytensor
import pytensor.tensor as pt

from keras_theano.execution import interpreter
from keras_theano.execution.graph import Graph
from keras_theano.execution.native.lowering import Lowering
from keras_theano.execution.native.step import NativeStep
from keras_theano.src.ops import core
from keras_theano.tracing import trace
from keras_theano.tracing.computed import computed
from keras_theano.tracing.tensor import Tensor, as_node


def graph_of(function: Callable[..., Any], *arrays: Any) -> Graph:
    """Return the graph of a function of PyTensor variables, which returns one variable or a list."""
    inputs = [
        pt.tensor(dtype=array.dtype.name, shape=tuple([1 if size == 1 else None for size in array.shape]))
        for array in map(np.asarray, arrays)
    ]
    found = function(*inputs)
    return Graph(inputs, found if isinstance(found, list) else [found], [])


def native_step(function: Callable[..., Any], *arrays: Any) -> NativeStep:
    return NativeStep(graph_of(function, *arrays))


def native(function: Callable[..., Any], *arrays: Any) -> list[Any]:
    """Return the results of a function that is wholly compiled."""
    step = native_step(function, *arrays)
    results = step(*[np.asarray(array) for array in arrays])
    assert step.outside() == {}
    return results


def interpreted(function: Callable[..., Any], *arrays: Any) -> list[Any]:
    run = interpreter.interpreted(graph_of(function, *arrays))
    return run(*[np.asarray(array) for array in arrays])  # type: ignore[no-any-return]


def lowered(function: Callable[..., Any], *arrays: Any) -> tuple[Lowering, list[Any]]:
    """Return a lowering of all nodes of a function, and the views of its results."""
    from pytensor.graph.traversal import io_toposort

    graph = graph_of(function, *arrays)
    lowering = Lowering()
    for variable, array in zip(graph.inputs, arrays, strict=True):
        lowering.give(variable, np.shape(array))
    for node in io_toposort(graph.inputs, graph.outputs):
        lowering.lower(node)
    return lowering, [lowering.view(output) for output in graph.outputs]


def assert_same(ours: list[Any], theirs: list[Any]) -> None:
    """Fail unless all arrays are equal to the last bit, with the same dtypes and shapes. NaN equals NaN."""
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        np.testing.assert_array_equal(one, other)


def without_rule(x: Any) -> Any:
    """Return the variable 2 * x, which NumPy computes in every tier."""
    (found,) = computed(_twice, [x], [(x.type.dtype, x.type.shape)])
    return found


def _twice(x: Any) -> Any:
    return x + x


def scanned(steps: int | None, reverse: bool = False) -> Graph:
    """Return the graph of a scan with two states, stacked results and all gradients."""
    x, w = pt.tensor("x", dtype="float32", shape=(steps, 3)), pt.fmatrix("w")

    def step(carry: Any, row: Any) -> Any:
        h, total = carry
        h = keras.ops.tanh(keras.ops.matmul(Tensor(w), h) + row)
        return (h, total + h * row), h * 2

    with trace.opened(trace.Trace()):
        zeros = np.zeros(3, "float32")
        (h, total), stacked = core.scan(step, (zeros, zeros), Tensor(x), reverse=reverse)
        found = [as_node(part) for part in (h, total, stacked)]
    loss = sum(pt.sum(part**2) for part in found)
    return Graph([x, w], [*found, *pytensor.grad(loss, [x, w])], [])
