"""Kernels that are no simple loops."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest

from oracles.native import assert_same, interpreted, native, native_step

# Factors of a product in several layouts in memory, made from an array of shape (rows, columns, 2).
LAYOUTS = {
    "rows": lambda x: x[:, :, 0],
    "columns": lambda x: x.transpose((2, 1, 0))[0].T,
    "every second number": lambda x: x.transpose((0, 2, 1))[:, 0],
    "broadcast": lambda x: pt.broadcast_to(x[:, 0, 0][:, None], x.shape[:2]),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("sizes", [(1, 5, 3), (4, 5, 1), (1, 5, 1), (1, 1, 3), (4, 1, 1), (4, 5, 3)])
def test_products_with_vectors_of_any_layout(
    sizes: tuple[int, int, int], left: str, right: str, dtype: str
) -> None:
    rows, inner, columns = sizes
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(*shape, 2)).astype(dtype) for shape in ((rows, inner), (inner, columns)))

    def function(a: Any, b: Any) -> Any:
        return LAYOUTS[left](a) @ LAYOUTS[right](b) * 2

    def expected(a: Any, b: Any) -> Any:
        def of(x: Any, name: str) -> Any:
            return x[:, :1, 0] + 0 * x[:, :, 0] if name == "broadcast" else x[:, :, 0]

        with np.errstate(invalid="ignore"):
            return of(a, left) @ of(b, right) * 2

    step = native_step(function, a, b)
    # What is left in memory by a run must not reach the next one.
    np.testing.assert_array_equal(np.isnan(step(a * np.nan, b)[0]), np.ones((rows, columns), bool))
    np.testing.assert_allclose(step(a, b)[0], expected(a, b), rtol=1e-5, atol=1e-6)
    assert step.outside() == {}


@pytest.mark.parametrize("left", ["rows", "columns"])
@pytest.mark.parametrize("right", ["rows", "columns"])
@pytest.mark.parametrize(
    "sizes", [(3, 1000, 500), (32, 700, 127), (32, 1100, 40), (17, 300, 2000), (2, 20, 30000), (33, 300, 200)]
)
def test_few_rows_by_a_large_matrix(sizes: tuple[int, int, int], left: str, right: str) -> None:
    rows, inner, columns = sizes
    rng = np.random.default_rng(0)
    # Sums of whole numbers are exact in any order.
    a = rng.integers(-3, 4, (2, rows, inner)).astype("float32")
    b = rng.integers(-3, 4, (2, inner, columns)).astype("float32")

    def turned(x: Any, way: str) -> Any:
        return x if way == "rows" else x.transpose((0, 2, 1))

    def function(a: Any, b: Any) -> Any:
        return turned(a, left) @ turned(b, right)

    given = [np.ascontiguousarray(turned(x, way)) for x, way in ((a, left), (b, right))]
    step = native_step(function, *given)
    step(given[0] * np.nan, given[1])
    np.testing.assert_array_equal(step(*given)[0], a @ b)
    assert step.outside() == {}


@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"])
def test_products_of_whole_numbers_wrap_around(dtype: str, left: str, right: str) -> None:
    rng = np.random.default_rng(0)
    high = 1 if dtype == "bool" else np.iinfo(dtype).max
    shapes = ((4, 9, 2), (9, 21, 2))
    a, b = (rng.integers(0, high, shape, dtype="uint64", endpoint=True).astype(dtype) for shape in shapes)

    def function(a: Any, b: Any) -> Any:
        return LAYOUTS[left](a) @ LAYOUTS[right](b)

    assert_same(native(function, a, b), interpreted(function, a, b))


@pytest.mark.parametrize("batches", [((3,), (3,)), ((2, 3), (3,)), ((1, 3), (2, 1)), ((0,), (0,))])
def test_products_of_batches_of_whole_numbers(batches: Any) -> None:
    a, b = (np.arange(np.prod(batch) * 20).reshape(*batch, 4, 5) for batch in batches)

    def function(a: Any, b: Any) -> Any:
        return pt.matmul(a, b.transpose((*range(b.ndim - 2), b.ndim - 1, b.ndim - 2)))

    assert_same(native(function, a, b), interpreted(function, a, b))


@pytest.mark.parametrize(
    "dtypes", [("int8", "float32"), ("int32", "float32"), ("int8", "uint8"), ("bool", "int64")]
)
def test_factors_of_two_dtypes_are_converted_to_that_of_the_product(dtypes: tuple[str, str]) -> None:
    a, b = (np.arange(12).reshape(3, 4).astype(dtype) for dtype in dtypes)
    assert_same(native(lambda a, b: pt.dot(a, b.T), a, b), interpreted(lambda a, b: pt.dot(a, b.T), a, b))
