"""A native step is safe: it leaves to NumPy what it does not know, and changes nothing if it fails."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from keras_theano.execution.graph import Graph
from keras_theano.execution.native import step as step_module
from keras_theano.execution.native.step import NativeStep
from oracles.native import graph_of, interpreted, native, native_step, without_rule
from oracles.processes import lean

X = np.arange(12, dtype="float32").reshape(4, 3)


def test_op_without_a_rule_leaves_the_rest_compiled() -> None:
    def function(x: Any) -> Any:
        return pt.exp(without_rule(x * 2) / 100) + x.sum()

    step = native_step(function, X)
    (found,) = step(X)
    np.testing.assert_allclose(found, interpreted(function, X)[0], rtol=1e-6)
    assert len(step.outside()) == 1
    first, second = step.segments(step.kinds()[0])
    assert first.module.calls
    assert second.module.calls


def test_result_of_unknown_size_is_compiled_for_each_size_that_occurs() -> None:
    def function(x: Any) -> Any:
        return pt.exp(pt.nonzero(x > 5)[0].astype("float32") * 2)

    step = native_step(function, X)
    for array in (X, X * 2, X * 0, X):
        np.testing.assert_allclose(step(array)[0], interpreted(function, array)[0], rtol=1e-6)


def test_results_of_ever_new_sizes_do_not_compile_ever_new_programs() -> None:
    def function(x: Any) -> Any:
        return pt.exp(pt.nonzero(x > 0)[0].astype("float32"))

    step = native_step(function, np.ones(3, "float32"))
    for count in (*range(30), 2, 29):
        array = np.zeros(30, "float32")
        array[:count] = 1
        np.testing.assert_allclose(step(array)[0], np.exp(np.arange(count, dtype="float32")), rtol=1e-6)
    assert len(step.segments(step.kinds()[0])) < 12
    assert step.calls["native"] == 9
    assert step.calls["interpreter"] == 23


@pytest.mark.parametrize("index", [4, -5, 400, -(2**40), 2**40])
def test_failed_check_raises_what_the_interpreter_raises_and_changes_nothing(index: int) -> None:
    weights = pytensor.shared(X.copy(), shape=X.shape)
    i = pt.lvector("i")
    step = NativeStep(Graph([i], [weights[i].sum()], [(weights, weights * 2)]))
    assert step(np.array([0, 3]))[0] == 3 + 30
    before = weights.get_value()
    with pytest.raises(IndexError, match="out of bounds"):
        step(np.array([0, index]))
    np.testing.assert_array_equal(weights.get_value(), before)
    assert step(np.array([-4, -1]))[0] == 2 * (3 + 30)


def test_index_outside_is_an_error_even_if_only_the_shape_of_the_result_is_used() -> None:
    step = native_step(lambda x, i: pt.ones_like(x[i]) * 2, X, np.zeros(2, "int64"))
    np.testing.assert_array_equal(step(X, np.array([0, 3]))[0], np.full((2, 3), 2))
    with pytest.raises(IndexError):
        step(X, np.array([0, 4]))


def test_constant_keeps_the_signs_of_its_zeros() -> None:
    zeros = np.array([0.0, -0.0, 0.0], "float32")
    (found,) = native(lambda x: x / pt.constant(zeros), np.ones(3, "float32"))
    assert found.tolist() == [np.inf, -np.inf, np.inf]


def test_arrays_of_any_layout_are_read_and_left_as_they_are() -> None:
    step = native_step(lambda x: x * 2 + 1, X)
    readonly = X.copy()
    readonly.flags.writeable = False
    for array in (X, np.asfortranarray(X), X[::-1], np.repeat(X, 2, axis=1)[:, ::2], readonly):
        before = array.copy()
        np.testing.assert_array_equal(step(array)[0], before * 2 + 1)
        np.testing.assert_array_equal(array, before)


def test_one_array_may_be_given_twice() -> None:
    (found,) = native(lambda x, y: x @ y.T + x.sum(), X, X)
    np.testing.assert_allclose(found, X @ X.T + X.sum(), rtol=1e-6)


def test_results_stay_when_the_step_runs_again() -> None:
    step = native_step(lambda x: x + 1, X)
    (first,) = step(X)
    kept = first.copy()
    step(X * 100)
    np.testing.assert_array_equal(first, kept)


def test_updates_read_all_old_values() -> None:
    """Two variables change places, a third takes the sum, and the results are the old values."""
    a, b, c = (pytensor.shared(X + n, shape=X.shape) for n in range(3))
    step = NativeStep(Graph([], [a * 1, b.T, a], [(a, b), (b, a), (c, a + b)]))
    old = step()
    np.testing.assert_array_equal(old[0], X)
    np.testing.assert_array_equal(old[1], (X + 1).T)
    np.testing.assert_array_equal(old[2], X)
    for variable, expected in zip((a, b, c), (X + 1, X, 2 * X + 1), strict=True):
        np.testing.assert_array_equal(variable.get_value(), expected)
    step()
    np.testing.assert_array_equal(a.get_value(), X)


def test_one_new_value_of_two_variables_is_two_arrays() -> None:
    a, b = (pytensor.shared(X + n, shape=X.shape) for n in range(2))
    new = a + b
    step = NativeStep(Graph([], [], [(a, new), (b, new)]))
    step()
    step()
    for variable in (a, b):
        np.testing.assert_array_equal(variable.get_value(), 2 * (2 * X + 1))


def test_assigned_value_is_used_by_the_next_step_and_is_not_changed() -> None:
    weights = pytensor.shared(X.copy(), shape=X.shape)
    step = NativeStep(Graph([], [], [(weights, weights + 1)]))
    step()
    mine = np.asfortranarray(X * 10)
    weights.set_value(mine, borrow=True)
    step()
    np.testing.assert_array_equal(weights.get_value(), X * 10 + 1)
    np.testing.assert_array_equal(mine, X * 10)


def test_array_of_another_shape_may_be_assigned() -> None:
    weights = pytensor.shared(X.copy(), shape=(None, 3))
    step = NativeStep(Graph([], [weights.sum(axis=0)], [(weights, weights + 1)]))
    for rows in (4, 2, 9, 4):
        value = np.full((rows, 3), rows, "float32")
        weights.set_value(value)
        np.testing.assert_array_equal(step()[0], value.sum(axis=0))
        np.testing.assert_array_equal(weights.get_value(), value + 1)


def test_update_may_change_the_shape() -> None:
    weights = pytensor.shared(X.copy(), shape=(None, 3))
    step = NativeStep(Graph([], [weights.sum()], [(weights, pt.concatenate([weights, weights[:1]]))]))
    for rows in (4, 5, 6):
        assert weights.get_value().shape == (rows, 3)
        step()


def test_array_of_another_byte_order_or_alignment_is_read() -> None:
    step = native_step(lambda x: x * 2, X)
    swapped = X.astype(">f4")
    bytes_ = np.zeros(X.nbytes + 1, "uint8")
    bytes_[1:] = np.frombuffer(X.tobytes(), "uint8")
    unaligned = bytes_[1:].view("float32").reshape(X.shape)
    assert not unaligned.flags.aligned
    for array in (swapped, unaligned):
        np.testing.assert_array_equal(step(array)[0], X * 2)


def test_last_smaller_batch_and_a_batch_without_samples_run() -> None:
    step = native_step(lambda x: [x.sum(axis=0), x.mean(axis=1), x @ x.T], X)
    for rows in (4, 2, 0, 3, 4):
        sums, means, products = step(X[:rows])
        np.testing.assert_array_equal(sums, X[:rows].sum(axis=0))
        np.testing.assert_allclose(means, X[:rows].mean(axis=1), rtol=1e-6)
        np.testing.assert_allclose(products, X[:rows] @ X[:rows].T, rtol=1e-6)


def test_many_kinds_of_batches_do_not_compile_many_programs() -> None:
    step = native_step(lambda x: x.sum(axis=0), X)
    for rows in range(2, 32):
        np.testing.assert_array_equal(step(np.ones((rows, 3), "float32"))[0], [rows] * 3)
    assert len(step.kinds()) < 10
    for _ in range(2):
        step(np.ones((31, 3), "float32"))
    assert len(step.kinds()) < 11


def test_kind_that_comes_often_replaces_the_one_that_was_used_least_recently() -> None:
    step = native_step(lambda x: x * 2 + 1, X)
    kinds = list(range(3, 3 + step_module._MOST_KINDS))
    for size in kinds * 2:
        step(np.ones((size, 3), "float32"))
    assert len(step.kinds()) == step_module._MOST_KINDS
    step(np.ones((3, 3), "float32"))
    for _ in range(step_module._OFTEN):
        assert ((100, 3),) not in step.kinds()
        step(np.ones((100, 3), "float32"))
    assert {((100, 3),), ((3, 3),)} < set(step.kinds())
    assert len(step.kinds()) == step_module._MOST_KINDS


class Failing:
    """Stands in for a stage, and cannot be compiled."""

    def __init__(self, *_: Any) -> None:
        raise ZeroDivisionError("no such stage")


def test_step_that_cannot_be_compiled_runs_in_the_interpreter_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(step_module, "Stage", Failing)
    step = NativeStep(graph_of(lambda x: x + 1, X), strict=False)
    with pytest.warns(RuntimeWarning, match="could not be compiled: ZeroDivisionError.'no such stage'"):
        np.testing.assert_array_equal(step(X)[0], X + 1)
    np.testing.assert_array_equal(step(X * 2)[0], X * 2 + 1)  # says it only once
    assert (step.tier, step.calls) == ("interpreter", {"interpreter": 2})
    with pytest.raises(ZeroDivisionError):
        NativeStep(graph_of(lambda x: x + 1, X), strict=True)(X)


def test_threads_may_call_one_step_at_once() -> None:
    step = native_step(lambda x: without_rule(pt.exp(x)) * 2, X)
    expected = step(X)[0]
    wrong: list[Any] = []

    def run(n: int) -> None:
        for _ in range(200):
            (found,) = step(X if n % 2 else X + 1)
            if not np.allclose(found, expected * (1 if n % 2 else np.e)):
                wrong.append(found)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_update_of_another_dtype_is_refused() -> None:
    weights = pytensor.shared(X.copy(), shape=X.shape)
    with pytest.raises(TypeError, match="Cast the new value"):
        NativeStep(Graph([], [], [(weights, weights * np.float64(2))]))


def test_two_threads_may_train_two_models() -> None:
    def model() -> tuple[NativeStep, Any]:
        weights = pytensor.shared(X.copy(), shape=X.shape)
        x = pt.fmatrix()
        loss = pt.sum(pt.sort(x @ weights.T, axis=0) ** 2)
        rate = np.float32(1e-3)
        return NativeStep(
            Graph([x], [loss], [(weights, weights - rate * pytensor.grad(loss, weights))])
        ), weights

    models = [model() for _ in range(3)]

    def train(step: NativeStep) -> None:
        for n in range(100):
            step(np.cos(X + n))

    train(models[0][0])
    threads = [threading.Thread(target=train, args=(step,)) for step, _ in models[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone, *others = [weights.get_value() for _, weights in models]
    for other in others:
        np.testing.assert_array_equal(other, alone)


# In a process of its own, because the one of the tests may have imported an engine that forbids forks.
FORKING = """
import os, threading
import numpy as np
from oracles.native import native_step

X = np.ones((4, 3), "float32")
step = native_step(lambda x: x * 2, X)
step(X)
held, go = threading.Event(), threading.Event()

def hold():
    with step._lock:
        held.set()
        go.wait(20)

thread = threading.Thread(target=hold)
thread.start()
assert held.wait(20)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(step(X)[0], X * 2) else 1)
go.set()
thread.join()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_forked_child_runs_while_a_thread_of_the_parent_holds_the_lock() -> None:
    tests = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", FORKING],
        env=lean({**os.environ, "PYTHONPATH": str(tests), "KERAS_BACKEND": "theano"}, "theano"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
