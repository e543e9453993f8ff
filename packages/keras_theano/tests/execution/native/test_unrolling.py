"""A short loop is compiled with the rest of its step. A long one stays in the interpreter."""

from typing import Any

import keras
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from keras_theano.execution.graph import Graph
from keras_theano.execution.interpreter import interpreted
from keras_theano.execution.native import unrolling
from keras_theano.execution.native.step import NativeStep
from keras_theano.src.ops import core
from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor, as_node


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


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_short_loop_and_its_gradient_are_compiled(steps: int, reverse: bool) -> None:
    graph = scanned(steps, reverse)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype("float32") for shape in ((steps, 3), (3, 3))]
    native = NativeStep(graph)
    for ours, theirs in zip(native(*arrays), interpreted(graph)(*arrays), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)
    assert native.outside() == {}


def test_equal_steps_share_their_functions() -> None:
    def kernels(steps: int) -> int:
        native = NativeStep(scanned(steps))
        native(np.ones((steps, 3), "float32"), np.ones((3, 3), "float32"))
        (segment,) = native.segments(native.kinds()[0])
        return len({name for name, _ in segment.module.calls})

    assert kernels(40) <= kernels(10) + 3


def test_long_loop_stays_in_the_interpreter() -> None:
    steps = unrolling.MOST_STEPS + 1
    native = NativeStep(scanned(steps))
    x = np.random.default_rng(0).normal(size=(steps, 3)).astype("float32")
    w = np.eye(3, dtype="float32") / 2
    expected = interpreted(scanned(steps))(x, w)
    for ours, theirs in zip(native(x, w), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)
    assert f"a loop of {steps} steps" in native.outside()
