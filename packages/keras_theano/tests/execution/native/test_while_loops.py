"""Loops with a condition run as machine code, with the results and the errors of the interpreter."""

from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from keras import ops

from keras_theano.execution.graph import Graph
from keras_theano.execution.interpreter import interpreted
from keras_theano.execution.native.step import NativeStep
from keras_theano.src.ops import core
from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor, as_node
from oracles.native import without_rule


def doubling(gradient: bool = False) -> Graph:
    """Return the graph of a loop with two states and a shared value, and of its gradient if asked."""
    x, w = pt.vector(dtype="float32", shape=(3,)), pt.vector(dtype="float32", shape=(3,))
    with trace.opened(trace.Trace()):
        found = core.while_loop(
            lambda x, n: ops.sum(x) < 100.0, lambda x, n: (x * Tensor(w) * 2, n + 1), (Tensor(x), 0)
        )
        outputs = [as_node(part) for part in found]
    if gradient:
        outputs += pytensor.grad(pt.sum(outputs[0] ** 2), [x, w])
    return Graph([x, w], outputs, [])


@pytest.mark.parametrize("gradient", [False, True])
def test_each_number_of_steps_that_comes(gradient: bool) -> None:
    graph, w = doubling(gradient), np.array([1, 1.5, 0.5], "float32")
    step, theirs = NativeStep(graph), interpreted(graph)
    earlier: list[tuple[Any, Any]] = []
    for start in (0.5, 3, 0.01, 30, 0.5):
        x = np.full(3, start, "float32")
        found, expected = step(x, w), theirs(x, w)
        for one, other in zip(found, expected, strict=True):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            np.testing.assert_allclose(one, other, rtol=1e-6)
        earlier += [(one, one.copy()) for one in found]
    for one, kept in earlier:  # a later call has not written over them
        np.testing.assert_array_equal(one, kept)
    assert step.outside() == {}
    assert step.calls == {"native": 5}


@pytest.mark.parametrize("gradient", [False, True])
def test_loop_without_a_step_returns_its_start(gradient: bool) -> None:
    graph, x, w = doubling(gradient), np.full(3, 50, "float32"), np.ones(3, "float32")
    step = NativeStep(graph)
    for one, other in zip(step(x, w), interpreted(graph)(x, w), strict=True):
        np.testing.assert_array_equal(one, other)


def summing(size: int) -> Graph:
    """Return the graph of a loop that adds x[n] for n from 0 to a limit."""
    x, limit = pt.vector(dtype="float32", shape=(size,)), pt.scalar(dtype="int32")
    with trace.opened(trace.Trace()):
        start = (np.array(0, "int32"), np.zeros((), "float32"))
        found = core.while_loop(lambda n, t: n < Tensor(limit), lambda n, t: (n + 1, t + Tensor(x)[n]), start)
        return Graph([x, limit], [as_node(part) for part in found], [])


def test_index_outside_is_an_error_and_the_next_call_is_right() -> None:
    step, x = NativeStep(summing(4)), np.arange(4, dtype="float32")
    assert [float(part) for part in step(x, np.array(3, "int32"))] == [3, 3]
    with pytest.raises(IndexError):
        step(x, np.array(5, "int32"))
    assert [float(part) for part in step(x, np.array(4, "int32"))] == [4, 6]


def test_step_with_something_without_a_rule_is_run_by_numpy() -> None:
    x = pt.vector(dtype="float32", shape=(3,))
    with trace.opened(trace.Trace()):
        found = core.while_loop(
            lambda x: ops.sum(x) < 10.0, lambda x: (Tensor(without_rule(as_node(x))),), (Tensor(x),)
        )
    step = NativeStep(Graph([x], [as_node(part) for part in found], []))
    np.testing.assert_array_equal(step(np.ones(3, "float32"))[0], [4, 4, 4])
    assert step.outside() == {"a loop with a condition": 1}
