"""Running sums and products are those of NumPy, to the last bit."""

from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from oracles.native import assert_same, interpreted, native
from oracles.random_graphs import DTYPES


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", [*DTYPES, "uint64"])
def test_every_dtype_and_axis_in_any_layout(dtype: str, axis: int) -> None:
    x = (np.random.default_rng(0).normal(size=(4, 3, 5)) * 9).astype("int8").astype(dtype)

    def function(x: Any) -> list[Any]:
        turned = x.transpose((2, 0, 1))[::-1, 1:]
        return [op(part, axis=axis) for op in (pt.cumsum, pt.cumprod) for part in (x, turned)]

    found = native(function, x)
    assert_same(found, interpreted(function, x))
    assert [each.dtype for each in found] == [dtype] * 4
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found[0], np.cumsum(x, axis=axis, dtype=dtype))


def test_rounding_is_that_of_one_sum_after_the_other() -> None:
    x = np.random.default_rng(0).normal(size=(7, 1000)).astype("float32")
    x[0, 500] = np.nan
    found = native(lambda x: [pt.cumsum(x, axis=1), pt.cumsum(x, axis=0), pt.cumprod(x, axis=1)], x)
    assert_same(found, [np.cumsum(x, axis=1), np.cumsum(x, axis=0), np.cumprod(x, axis=1)])


def test_gradients() -> None:
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")

    def function(x: Any) -> list[Any]:
        results = [pt.cumsum(x, axis=1), pt.cumprod(x, axis=0)]
        return [pytensor.grad(pt.sum(each * pt.arange(6)), x).astype("float32") for each in results]

    assert_same(native(function, x), interpreted(function, x))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 3), (3, 1), (1, 1)])
def test_axes_of_at_most_one_element(shape: tuple[int, int]) -> None:
    x = np.full(shape, 2, "float32")

    def function(x: Any) -> list[Any]:
        return [pt.cumsum(x, axis=axis) * 2 for axis in (0, 1)]

    assert_same(native(function, x), interpreted(function, x))
