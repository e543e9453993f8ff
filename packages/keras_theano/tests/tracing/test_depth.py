"""Graphs may be deeper than Python's recursion limit."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytensor.tensor as pt
import pytest
from keras import layers, ops

from keras_theano.execution.graph import Graph
from keras_theano.execution.interpreter import interpreted
from keras_theano.execution.native.step import NativeStep
from keras_theano.tracing.depth import as_deep_as
from keras_theano.tracing.gradients import gradients
from keras_theano.tracing.tensor import Tensor
from keras_theano.tracing.trace import Trace, opened

DEPTH = 400


@pytest.fixture(autouse=True)
def low_limit() -> Iterator[None]:
    """Lower the recursion limit below one call for each node of the graph. Pytest still works with it."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    yield
    assert sys.getrecursionlimit() == 400
    sys.setrecursionlimit(before)


def deep() -> Graph:
    """Return a graph of the sum of sin(sin(... x)) * weight, its gradient, and a step of gradient descent."""
    weight = keras.Variable(np.float32(0.25), name="weight")
    x = pt.tensor("x", dtype="float32", shape=(None,))
    with opened(Trace()):
        y = Tensor(x)
        for _ in range(DEPTH):
            y = ops.sin(y)
        loss = ops.sum(y * weight)
        (gradient,) = gradients(loss, [weight])
    assert gradient is not None
    down = weight.shared - gradient.node
    return Graph([x], [loss.node, gradient.node], [(weight.shared, down)])


def run(function: Callable[..., Any]) -> list[float]:
    x = np.array([0.5, 1.0], "float32")
    return [float(value) for _ in range(2) for value in function(x)]


def test_a_deep_graph_can_be_differentiated_and_run_in_every_tier() -> None:
    x = np.array([0.5, 1.0], "float32")
    for _ in range(DEPTH):
        x = np.sin(x)
    total = float(x.sum())
    expected = [0.25 * total, total, (0.25 - total) * total, total]
    graph = deep()
    assert run(interpreted(graph)) == pytest.approx(expected, rel=1e-5)
    assert run(NativeStep(deep())) == pytest.approx(expected, rel=1e-5)


def test_the_limit_is_restored_after_an_error() -> None:
    with pytest.raises(KeyError), as_deep_as([pt.scalar("x") + 1]):
        raise KeyError
    assert sys.getrecursionlimit() == 400


@pytest.mark.slow
def test_a_deep_model_trains_and_evaluates() -> None:
    hidden = [layers.Dense(2, "relu", kernel_initializer="identity") for _ in range(60)]
    model = keras.Sequential([layers.Input((2,)), *hidden, layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e-4), "mse")
    x = np.ones((4, 2), "float32")
    first, second = model.fit(x, x[:, :1] * 3, epochs=2, verbose=0).history["loss"]
    assert second < first
    assert model.evaluate(x, x[:, :1] * 3, verbose=0) < second
    assert model.predict(x, verbose=0).shape == (4, 1)
