"""Random graphs have the same results in the native tier and in the interpreter, to the last bit."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from keras_theano.execution.interpreter import interpreted
from keras_theano.execution.native import segment
from keras_theano.execution.native.step import NativeStep
from oracles.native import assert_same
from oracles.random_graphs import Made, random_graph

# The pattern of the bytes around the memory of a segment, and how many there are on each side.
GUARD, GUARDS = 0xA5, 4096

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


@pytest.fixture(autouse=True)
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put guard bytes around the memory of each segment, and fail if a segment has written over them."""
    blocks: list[tuple[Any, int, int]] = []

    def aligned(size: int) -> tuple[Any, int]:
        everything = np.full(size + 2 * GUARDS + segment.ALIGNMENT, GUARD, "uint8")
        start = GUARDS + -(everything.ctypes.data + GUARDS) % segment.ALIGNMENT
        # The segment may write as many bytes as its plan says, and not one more.
        blocks.append((everything, start, start + size))
        block = everything[start : start + max(size, 1)]
        return block, block.ctypes.data

    monkeypatch.setattr(segment, "_aligned", aligned)
    yield
    assert blocks
    for everything, start, end in blocks:
        assert (everything[:start] == GUARD).all()
        assert (everything[end:] == GUARD).all()


def assert_agree(seeds: range) -> None:
    for seed in seeds:
        made = random_graph(seed)
        arrays = [array.copy() for array in made.arrays]
        expected, their_failure = outcome(interpreted(made.graph), made)
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
