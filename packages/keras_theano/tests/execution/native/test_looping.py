"""The step of a long loop is compiled once. What it computes is what the interpreter computes."""

from typing import Any

import keras
import numpy as np
import pytensor.tensor as pt
import pytest

from keras_theano.execution.graph import Graph
from keras_theano.execution.interpreter import interpreted
from keras_theano.execution.native import unrolling
from keras_theano.execution.native.step import NativeStep
from keras_theano.tracing.loop import loop
from oracles.native import scanned, without_rule

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def every_loop_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unrolling, "MOST_STEPS", 0)


def assert_close(ours: Any, theirs: Any) -> None:
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    # What is left of two great numbers has the rounding of the great ones.
    greatest = max(1, np.abs(theirs).max(initial=0))
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6 * greatest)


def assert_same_twice(graph: Graph, *arrays: Any) -> NativeStep:
    """Fail unless both tiers compute the same, also when they run again. Return the native step."""
    native = NativeStep(graph)
    expected = interpreted(graph)(*arrays)
    first = native(*arrays)
    for found in (first, native(*arrays)):
        for ours, theirs in zip(found, expected, strict=True):
            assert_close(ours, theirs)
    other = [(array / 2).astype(array.dtype) for array in arrays]
    kept = [result.copy() for result in first]
    for ours, theirs in zip(native(*other), interpreted(graph)(*other), strict=True):
        assert_close(ours, theirs)
    for ours, theirs in zip(first, kept, strict=True):
        np.testing.assert_array_equal(ours, theirs)  # a later run has not written over them
    return native


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 7, 300])
def test_loop_and_its_gradient_are_those_of_the_interpreter(steps: int, reverse: bool) -> None:
    x, w = RNG.normal(size=(steps, 3)).astype("float32"), RNG.normal(size=(3, 3)).astype("float32") / 3
    native = assert_same_twice(scanned(steps, reverse), x, w)
    assert native.outside() == {}
    assert len(native.segments(native.kinds()[0])) == 5  # two are the steps of the loops


def test_long_recurrent_layer_is_compiled_wholly() -> None:
    model = keras.Sequential([keras.Input((80, 2)), keras.layers.GRU(4), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(np.ones((2, 80, 2), "float32"), np.ones((2, 1), "float32"))
    from keras_theano import report

    (ran,) = [ran for ran in report() if ran.name == f"train {model.name}"]
    assert (ran.calls, ran.outside) == ({"native": 1}, {})


@pytest.mark.parametrize("backwards", [False, True])
def test_one_value_may_be_a_state_and_two_stacks_and_a_sum(backwards: bool) -> None:
    rows, row = pt.lmatrix(), pt.lvector()
    start, h = pt.lvector(), pt.lvector()
    new = h * 3 + row
    last, stacked, summed = loop(
        [(row, rows)], [(h, start, new)], [], [new, new, h], [new, row.sum()], backwards=backwards
    )
    graph = Graph([rows, start], [*last, *stacked, *summed], [])
    assert assert_same_twice(graph, RNG.integers(-9, 9, (5, 2)), np.array([1, 2])).outside() == {}


def test_state_that_does_not_change_and_result_that_is_constant() -> None:
    rows, row = pt.fmatrix(), pt.fvector()
    h = pt.fvector()
    last, stacked, summed = loop([(row, rows)], [(h, rows[0], h)], [], [pt.ones_like(row)], [h * 2])
    graph = Graph([rows], [*last, *stacked, *summed], [])
    assert_same_twice(graph, RNG.normal(size=(4, 3)).astype("float32"))


def picks() -> Graph:
    """Return the graph of a loop that picks from a table by index."""
    indices, index, table, own = pt.lvector(), pt.lscalar(), pt.fvector(), pt.fvector()
    h = pt.fscalar()
    last, stacked, _ = loop([(index, indices)], [(h, table[0], h + own[index])], [(own, table)], [own[index]])
    return Graph([indices, table], [*last, *stacked], [])


def test_index_outside_in_a_loop_is_an_error_and_the_next_run_is_right() -> None:
    native, table = NativeStep(picks()), np.arange(3, dtype="float32")
    assert native(np.array([2, 0]), table)[0] == 2
    with pytest.raises(IndexError):
        native(np.array([2, 3]), table)
    assert native(np.array([-1, 1]), table)[0] == 3


def test_loop_with_an_op_without_a_rule_is_run_by_numpy() -> None:
    rows, row = pt.fmatrix(), pt.fvector()
    h = pt.fvector()
    last, stacked, _ = loop([(row, rows)], [(h, rows[0], without_rule(h + row))], [], [h * 2])
    native = assert_same_twice(
        Graph([rows], [*last, *stacked], []), RNG.normal(size=(4, 3)).astype("float32")
    )
    assert native.outside() == {"a loop of 4 steps": 1}


def test_loop_without_steps_and_sequences_of_two_lengths() -> None:
    native, table = NativeStep(picks()), np.arange(3, dtype="float32")
    last, stacked = native(np.zeros(0, "int64"), table)
    assert (last, stacked.shape) == (0, (0,))
    a, b, one, other, h = pt.fvector(), pt.fvector(), pt.fscalar(), pt.fscalar(), pt.fscalar()
    last, _, _ = loop([(one, a), (other, b)], [(h, a[0], h + one * other)], [], [])
    two = NativeStep(Graph([a, b], last, []))
    assert two(np.ones(3, "float32"), np.ones(3, "float32"))[0] == 4
    with pytest.raises(ValueError, match="sequences of one length"):
        two(np.ones(3, "float32"), np.ones(2, "float32"))


def test_loop_over_the_stack_of_a_loop_that_numpy_runs() -> None:
    rows, row, h = pt.fmatrix(), pt.fvector(), pt.fvector()
    _, (stacked,), _ = loop([(row, rows)], [(h, rows[0], without_rule(h + row))], [], [h * 2])
    other, total = pt.fvector(), pt.fvector()
    last, _, _ = loop([(other, stacked)], [(total, rows[1], total * 0.5 + other)], [], [])
    native = assert_same_twice(Graph([rows], last, []), RNG.normal(size=(4, 3)).astype("float32"))
    assert native.outside() == {"a loop of 4 steps": 1}
