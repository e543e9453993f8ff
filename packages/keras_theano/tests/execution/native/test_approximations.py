"""exp, log, tanh, erf and sigmoid of float32 are as exact as `approximations` says, for all numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest
import scipy.special

from oracles.native import native

# Every 10,007th number among all that float32 has: about 430,000, with subnormal ones, infinities and NaN.
ALL = np.arange(0, 2**32, 10_007, dtype="uint64").astype("uint32").view("float32")
EDGES = np.array(
    [
        *[0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, -3.4028235e38, 1],
        *[-1, 88.72283, 88.72284, 89, -87.33654, -87.4, -103.2789, -103.97207, -103.9721, -104, 0.625, 9, 20],
    ],
    "float32",
)
DENSE = np.linspace(-110, 95, 400_001).astype("float32")
NEAR = np.concatenate([np.linspace(-1.5, 1.5, 100_001), np.geomspace(1e-7, 10, 10_001)]).astype("float32")
NUMBERS = np.concatenate([ALL, EDGES, DENSE, NEAR])

Exact = Callable[[Any], Any]
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Exact, float]] = {
    "exp": (pt.exp, np.exp, 2),
    "log": (pt.log, np.log, 2),
    "tanh": (pt.tanh, np.tanh, 3),
    "erf": (pt.erf, scipy.special.erf, 3),
    "log1p": (pt.log1p, np.log1p, 2),
    "expm1": (pt.expm1, np.expm1, 2),
    "sin": (pt.sin, np.sin, 1.5),
    "cos": (pt.cos, np.cos, 1.5),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_within_its_bound_over_all_of_float32(name: str) -> None:
    function, exact, bound = FUNCTIONS[name]
    (found,) = native(function, NUMBERS)
    with np.errstate(all="ignore"):
        expected = exact(NUMBERS.astype("float64"))
        rounded = expected.astype("float32")
        np.testing.assert_array_equal(np.isnan(found), np.isnan(rounded))
        np.testing.assert_array_equal(np.isinf(found), np.isinf(rounded))
        finite = np.isfinite(rounded)
        distance = np.abs(found.astype("float64") - expected)[finite] / np.spacing(np.abs(rounded[finite]))
    assert distance.max() <= bound, NUMBERS[finite][distance.argmax()]


def test_exp_reaches_subnormal_numbers_and_only_then_zero() -> None:
    (found,) = native(pt.exp, np.array([-87.4, -100, -103.9, -104.1, -np.inf], "float32"))
    assert (found[:3] > 0).all()
    assert found[3:].tolist() == [0, 0]


def test_tanh_is_exactly_one_where_float32_has_no_nearer_number() -> None:
    (found,) = native(pt.tanh, np.array([9.1, 20, 1e30, np.inf, -9.1, -np.inf], "float32"))
    assert found.tolist() == [1, 1, 1, 1, -1, -1]


def test_erf_is_exactly_one_where_float32_has_no_nearer_number() -> None:
    (found,) = native(pt.erf, np.array([4, 4.3, 1e30, np.inf, -4, -np.inf, 0.0, -0.0], "float32"))
    assert found.tolist() == [1, 1, 1, 1, -1, -1, 0, 0]
    assert np.signbit(found).tolist() == [False] * 4 + [True, True, False, True]


def test_sigmoid_is_that_of_the_interpreter_within_two_steps() -> None:
    (found,) = native(pt.sigmoid, DENSE)
    exact = scipy.special.expit(DENSE.astype("float64"))
    # Below -88 the interpreter's exp(-x) is infinite too, so its sigmoid is 0.
    above = DENSE > -87
    assert (np.abs(found - exact)[above] / np.spacing(exact[above].astype("float32"))).max() <= 3
    assert ((found >= 0) & (found <= 1)).all()


def test_softplus_and_softmax_of_great_numbers_do_not_overflow() -> None:
    x = np.array([[-1e4, 0, 1e4], [np.inf, 0, 1], [np.nan, 0, 1]], "float32")
    plus, soft, log_soft = native(
        lambda x: [pt.softplus(x), pt.special.softmax(x, axis=1), pt.special.log_softmax(x, axis=1)], x
    )
    np.testing.assert_allclose(plus[0], [0, np.log(2), 1e4], rtol=1e-6)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(soft, scipy.special.softmax(x, axis=1), rtol=1e-6)
        np.testing.assert_allclose(log_soft, scipy.special.log_softmax(x, axis=1), rtol=1e-6)
