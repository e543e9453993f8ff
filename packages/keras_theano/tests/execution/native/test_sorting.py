"""Sorts are stable, with NaN last, in rows of any length."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest

from oracles.native import interpreted, native, native_step
from oracles.rows import DTYPES, rows

# Around the length of a run, and of two and four of them.
LENGTHS = (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 500)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_elements_and_places_are_those_of_a_stable_sort(dtype: str, length: int) -> None:
    x = rows(dtype, length)
    found, places = native(lambda x: [pt.sort(x, axis=-1), pt.argsort(x, axis=-1)], x)
    np.testing.assert_array_equal(places, np.argsort(x, axis=-1, kind="stable"))
    np.testing.assert_array_equal(found, np.sort(x, axis=-1))
    if dtype.startswith("float"):
        # -0.0 comes before 0.0, and none of them is lost.
        signs, zero = np.signbit(found), found == 0
        np.testing.assert_array_equal(signs & zero, zero & (np.cumsum(zero, 1) <= _negative_zeros(x)))
    (expected,) = interpreted(lambda x: pt.sort(x, axis=-1), x)
    np.testing.assert_array_equal(expected, found)
    np.testing.assert_array_equal(np.signbit(expected) & (expected == 0), np.signbit(found) & (found == 0))


def _negative_zeros(x: Any) -> Any:
    return np.sum((x == 0) & np.signbit(x), axis=1, keepdims=True)


def test_many_elements_are_left_to_numpy_but_not_their_places() -> None:
    x = rows("float32", 1000)
    step = native_step(lambda x: [pt.sort(x, axis=1), pt.sort(x, axis=0), pt.argsort(x, axis=1)], x)
    step(x)
    assert step.outside() == {"a sort of many elements": 1}


@pytest.mark.parametrize("axis", [0, 1, 2, -2])
def test_any_axis_of_any_layout(axis: int) -> None:
    x = np.random.default_rng(0).integers(0, 9, (5, 6, 20)).astype("float32")

    def function(x: Any) -> list[Any]:
        turned = x.transpose((2, 0, 1))[::-2, :, 1:]
        return [pt.sort(turned, axis=axis), pt.argsort(turned, axis=axis) * 2]

    found, places = native(function, x)
    turned = x.transpose((2, 0, 1))[::-2, :, 1:]
    np.testing.assert_array_equal(found, np.sort(turned, axis))
    np.testing.assert_array_equal(places, np.argsort(turned, axis, kind="stable") * 2)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (3, 1)])
def test_rows_of_at_most_one_element(shape: tuple[int, int]) -> None:
    x = np.ones(shape, "float32")
    found, places = native(lambda x: [pt.sort(x, axis=1) * 2, pt.argsort(x, axis=1) + 1], x)
    np.testing.assert_array_equal(found, x * 2)
    np.testing.assert_array_equal(places, np.ones(shape, "int64"))
    assert places.dtype == "int64"
