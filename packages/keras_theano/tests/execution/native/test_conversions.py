"""Conversions and arithmetic on whole numbers have NumPy's results, also where these are surprising."""

import numpy as np
import pytensor.tensor as pt
import pytest

from keras_theano.execution.native.conversions import convertible
from keras_theano.execution.native.work import DTYPES
from oracles.native import assert_same, interpreted, native, native_step

UNUSUAL = [
    np.nan,
    np.inf,
    -np.inf,
    3e9,
    -3e9,
    1e20,
    -1e20,
    300.7,
    -300.7,
    70000.5,
    -70000,
    -1.5,
    -0.5,
    2.0**31,
]
UNUSUAL += [
    2.0**31 - 1,
    -(2.0**31) - 0.5,
    2.0**32,
    2.0**63,
    -(2.0**63),
    127.9,
    -128.9,
    255.5,
    0.0,
    -0.0,
    1e-40,
]


@pytest.mark.parametrize("source", ["float32", "float64"])
@pytest.mark.parametrize("target", sorted(DTYPES))
def test_float_is_converted_as_by_numpy(source: str, target: str) -> None:
    x = np.array(UNUSUAL, source)
    step = native_step(lambda x: pt.cast(x, target), x)
    assert_same(step(x), interpreted(lambda x: pt.cast(x, target), x))
    assert bool(step.outside()) is not convertible(source, target)


@pytest.mark.parametrize("source", sorted(DTYPES - {"float32", "float64"}))
def test_whole_number_is_converted_as_by_numpy(source: str) -> None:
    limits = (0, 1) if source == "bool" else (np.iinfo(source).min, np.iinfo(source).max)
    x = np.array([*limits, 0, 1, 100], source)

    def all_casts(x: pt.TensorVariable) -> list[pt.TensorVariable]:
        return [pt.cast(x, target) for target in sorted(DTYPES) if target != source]

    assert_same(native(all_casts, x), interpreted(all_casts, x))


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint32", "float32", "float64"])
def test_division_and_remainder_are_those_of_numpy(dtype: str) -> None:
    least = -8 if dtype.startswith("float") else int(np.iinfo(dtype).min)
    numbers = np.array([least, 7, 8, 1, 0, 2, 3, 5] + ([-1, -7] if dtype[0] != "u" else []), dtype)
    a, b = (each.ravel() for each in np.meshgrid(numbers, numbers))
    if dtype.startswith("float"):
        more = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, 7.25], dtype)
        a, b = (np.concatenate([one, *np.meshgrid(more, more)[n]]) for n, one in enumerate((a, b)))

    def both(a: pt.TensorVariable, b: pt.TensorVariable) -> list[pt.TensorVariable]:
        return [pt.int_div(a, b), pt.mod(a, b)]

    assert_same(native(both, a, b), interpreted(both, a, b))


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16"])
def test_whole_numbers_wrap_around(dtype: str) -> None:
    limits = np.iinfo(dtype)
    x = np.array([limits.min, limits.max, 0, 1], dtype)

    def results(x: pt.TensorVariable) -> list[pt.TensorVariable]:
        return [x + x, x * x, x - x[::-1], pt.sqr(x), pt.abs(x), pt.sign(x), ~x]

    assert_same(native(results, x), interpreted(results, x))
