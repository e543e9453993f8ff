"""Crossings of curves are found, here of powers of the size, whose crossings are known."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendexp.analysis.crossings import crossings, sentences
from backendexp.analysis.findings import ScalePoint

SIZES = (1_000, 10_000, 100_000)


def curve(
    backend: str, *medians: float, sizes: tuple[int, ...] = SIZES, spread: float = 0.0
) -> list[ScalePoint]:
    return [
        ScalePoint(backend, size, value, value * (1 - spread), value * (1 + spread))
        for size, value in zip(sizes, medians, strict=True)
    ]


@given(st.floats(1_001, 99_999), st.floats(0.05, 2), st.floats(0.05, 2), st.floats(1e-6, 1e3))
def test_two_powers_of_the_size_cross_where_they_are_equal(
    meets: float, flat: float, steeper: float, time: float
) -> None:
    slow_growth = curve("tensorflow", *(time * (size / meets) ** flat for size in SIZES))
    fast_growth = curve("theano", *(time * (size / meets) ** (flat + steeper) for size in SIZES))
    (found,) = crossings([*slow_growth, *fast_growth])
    assert found.size == pytest.approx(meets, rel=1e-6)
    assert (found.faster_below, found.faster_above) == ("theano", "tensorflow")
    assert found.below < meets * (1 + 1e-9)
    assert found.above > meets * (1 - 1e-9)


@given(st.permutations(["jax", "theano"]), st.lists(st.floats(0.01, 100), min_size=3, max_size=3))
def test_crossings_do_not_depend_on_the_order_of_the_backends(
    backends: list[str], medians: list[float]
) -> None:
    curves = {"jax": curve("jax", *medians), "theano": curve("theano", 1.0, 2.0, 3.0)}
    (first, second) = ([*curves[a], *curves[b]] for a, b in (backends, backends[::-1]))
    for one, other in zip(crossings(first), crossings(second), strict=True):
        assert (one.faster_below, one.below, one.above) == (other.faster_below, other.below, other.above)
        assert one.size == pytest.approx(other.size)


def test_curves_that_keep_their_order_do_not_cross() -> None:
    assert crossings([*curve("jax", 1, 2, 3), *curve("theano", 2, 3, 4)]) == []


def test_curves_that_only_touch_do_not_cross() -> None:
    assert crossings([*curve("jax", 1, 3, 3), *curve("theano", 2, 3, 4)]) == []
    assert crossings([*curve("jax", 1, 3, 4), *curve("theano", 2, 3, 4)]) == []


def test_curves_that_swap_over_a_tie_cross_there_once() -> None:
    (found,) = crossings([*curve("jax", 1, 3, 9), *curve("theano", 2, 3, 4)])
    assert (found.below, found.size, found.above) == (1_000, pytest.approx(10_000), 100_000)


def test_curves_that_are_the_same_do_not_cross() -> None:
    assert crossings([*curve("jax", 1, 2, 3), *curve("theano", 1, 2, 3)]) == []
    assert sentences([*curve("jax", 1, 2, 3), *curve("theano", 1, 2, 3)], "jax", "samples") == []


def test_every_change_of_the_order_is_a_crossing() -> None:
    found = crossings([*curve("jax", 1, 5, 1), *curve("theano", 2, 2, 2)])
    assert [(c.faster_below, c.faster_above) for c in found] == [("jax", "theano"), ("theano", "jax")]
    assert [(c.below, c.above) for c in found] == [(1_000, 10_000), (10_000, 100_000)]


def test_sizes_that_one_of_two_did_not_finish_are_left_out() -> None:
    whole = curve("jax", 1, 5, 9)
    part = curve("theano", 2, 2, sizes=(1_000, 100_000))
    (found,) = crossings([*whole, *part])
    assert (found.below, found.above) == (1_000, 100_000)
    assert crossings([*whole, *curve("theano", 2, sizes=(1_000,))]) == []


def test_every_pair_is_examined() -> None:
    points = [*curve("a", 1, 1, 1), *curve("b", 0.5, 2, 2), *curve("c", 0.6, 0.7, 3)]
    pairs = {frozenset((c.faster_below, c.faster_above)) for c in crossings(points)}
    assert pairs == {frozenset("ab"), frozenset("ac"), frozenset("bc")}


@pytest.mark.parametrize(("spread", "clear"), [(0.0, True), (0.1, True), (0.6, False)])
def test_crossing_is_in_doubt_where_the_runs_overlap(spread: float, clear: bool) -> None:
    points = [*curve("jax", 1, 4, 16, spread=spread), *curve("theano", 2, 2, 2, spread=spread)]
    (found,) = crossings(points)
    assert found.clear is clear
    (sentence,) = sentences(points, "jax", "samples")
    assert sentence.endswith("so it may be noise") is not clear


def test_crossing_is_reported_with_the_sizes_around_it() -> None:
    meets = math.sqrt(1e4 * 1e5)
    points = [*curve("tensorflow", 1, 1, 1), *curve("theano", *(size / meets for size in SIZES))]
    assert sentences(points, "tensorflow", "samples") == [
        "theano and tensorflow cross between 10,000 and 100,000 samples, at about 32,000: below, theano is "
        "the faster, and above, tensorflow"
    ]


def test_pair_with_the_baseline_that_does_not_cross_is_reported_with_its_ratios() -> None:
    points = [*curve("tensorflow", 2, 4, 8), *curve("theano", 1, 1, 6), *curve("jax", 2, 6, 16)]
    assert sentences(points, "tensorflow", "units a layer") == [
        "theano is faster than tensorflow all the way from 1,000 to 100,000 units a layer: 0.25 to 0.75 "
        "times tensorflow's time",
        "jax is slower than tensorflow all the way from 1,000 to 100,000 units a layer: 1.00 to 2.00 "
        "times tensorflow's time. At 1,000 their runs overlap, so it may be noise",
    ]


def test_pairs_without_the_baseline_are_reported_only_where_they_cross() -> None:
    points = [*curve("a", 1, 1, 1), *curve("b", 2, 2, 2), *curve("c", 3, 3, 3)]
    assert [sentence.split(" all")[0] for sentence in sentences(points, "a", "samples")] == [
        "b is slower than a",
        "c is slower than a",
    ]


def test_single_size_is_not_a_curve() -> None:
    points = [*curve("a", 1, sizes=(10,)), *curve("b", 2, sizes=(10,))]
    assert sentences(points, "a", "samples") == []
