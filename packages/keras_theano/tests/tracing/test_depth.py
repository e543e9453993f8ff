"""Graphs may be deeper than Python's recursion limit."""

import pickle
import sys
from collections.abc import Iterator

import keras
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from keras import layers, ops

from keras_theano.execution import ahead
from keras_theano.execution.programs import INTERPRETER, mode_of
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


def deep() -> ahead.Graph:
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
    return ahead.Graph([x], [loss.node, gradient.node], [(weight.shared, down)])


def run(graph: ahead.Graph) -> list[float]:
    function = ahead.compiled(graph, mode_of(INTERPRETER))
    x = np.array([0.5, 1.0], "float32")
    return [float(value) for _ in range(2) for value in function(x)]


def test_a_deep_graph_and_its_pickle_can_be_differentiated_compiled_and_run() -> None:
    x = np.array([0.5, 1.0], "float32")
    for _ in range(DEPTH):
        x = np.sin(x)
    total = float(x.sum())
    expected = [0.25 * total, total, (0.25 - total) * total, total]
    graph = deep()
    copy = pickle.loads(pickle.dumps(graph))
    assert run(graph) == pytest.approx(expected, rel=1e-5)
    assert run(copy) == pytest.approx(expected, rel=1e-5)
    assert (copy.inputs[0].name, copy.inputs[0].type) == ("x", graph.inputs[0].type)


def test_a_pickled_graph_keeps_the_nodes_that_its_parts_share() -> None:
    shared = pytensor.shared(np.float32(2.0), name="state")
    x = pt.scalar("x", dtype="float32")
    both = x * shared
    graph = pickle.loads(pickle.dumps(ahead.Graph([x], [both, x, shared], [(shared, both + 1)])))
    function = ahead.compiled(graph, mode_of(INTERPRETER))
    assert [float(value) for value in function(np.float32(3.0))] == [6.0, 3.0, 2.0]
    assert [float(value) for value in function(np.float32(1.0))] == [7.0, 1.0, 7.0]


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
