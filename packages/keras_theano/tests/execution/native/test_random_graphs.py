"""Random graphs have the same results in the native tier and in the interpreter, to the last bit."""

from typing import Any

import numpy as np
import pytest

from keras_theano.execution import ahead
from keras_theano.execution.interpreter import INTERPRETED
from keras_theano.execution.native.step import NativeStep
from oracles.native import assert_same
from oracles.random_graphs import Made, random_graph

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def outcome(run: Any, made: Made) -> tuple[list[Any], type[Exception] | None]:
    """Return the results, the new values of the shared variables, and what was raised. The variables keep
    their old values.
    """
    before = [shared.get_value() for shared, _ in made.graph.updates]
    try:
        results, failure = run(*made.arrays), None
    except (IndexError, ValueError, TypeError, AssertionError) as error:
        results, failure = [], type(error)
    found = [np.asarray(each) for each in results]
    found += [np.asarray(shared.get_value()) for shared, _ in made.graph.updates]
    for (shared, _), value in zip(made.graph.updates, before, strict=True):
        shared.set_value(value)
    return found, failure


def assert_agree(seeds: range) -> None:
    for seed in seeds:
        made = random_graph(seed)
        arrays = [array.copy() for array in made.arrays]
        expected, their_failure = outcome(ahead.compiled(made.graph, INTERPRETED), made)
        step = NativeStep(made.graph)
        for _ in range(2):
            found, our_failure = outcome(step, made)
            assert our_failure is their_failure, seed
            try:
                assert_same(found, expected)
            except AssertionError as failure:
                raise AssertionError(f"graph {seed} differs") from failure
        assert_same(made.arrays, arrays)


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_random_graphs_agree(start: int) -> None:
    assert_agree(range(start, start + 20))


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("start", range(1000, 11000, 1000))
def test_ten_thousand_random_graphs_agree(start: int) -> None:
    assert_agree(range(start, start + 1000))
