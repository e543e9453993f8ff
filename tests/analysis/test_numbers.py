"""Numbers are written in a form that is easy to read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendexp.analysis import numbers
from support.tracked import MEMORY, QUALITIES, TIMES

LOSS, ACCURACY = QUALITIES
A_TIME = TIMES[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0131579, "0.0132"),
        (1.315, "1.31"),
        (13.15, "13.2"),
        (999.6, "1,000"),
        (0.09996, "0.100"),
        (47_512.0, "47,500"),
        (-0.5, "-0.500"),
        (0.0, "0"),
        (3.2e-7, "3.20e-7"),
        (None, "-"),
        (math.nan, "-"),
        (math.inf, "-"),
    ],
)
def test_three_digits_are_written(value: float | None, text: str) -> None:
    assert numbers.significant(value) == text


@given(st.floats(1e-12, 1e12))
def test_what_is_written_is_the_number_to_three_digits(value: float) -> None:
    written = float(numbers.significant(value).replace(",", ""))
    assert written == pytest.approx(value, rel=0.00501)


def test_a_value_has_the_digits_of_its_measure() -> None:
    assert numbers.of(A_TIME, 1.23456) == "1.23"
    assert numbers.of(MEMORY, 1234.56) == "1,235"
    assert numbers.of(LOSS, 0.69314) == "0.6931"
    assert numbers.of(ACCURACY, 0.5) == "0.500"
    assert {numbers.of(m, value) for m in (A_TIME, MEMORY, LOSS) for value in (None, math.nan)} == {"-"}


def test_a_difference_has_a_sign_unless_it_is_written_as_zero() -> None:
    assert numbers.signed(ACCURACY, 0.02) == "+0.020"
    assert numbers.signed(ACCURACY, -0.02) == "\N{MINUS SIGN}0.020"
    assert numbers.signed(ACCURACY, -0.0001) == "0.000"
    assert numbers.signed(ACCURACY, None) == "-"


def test_probabilities_shares_and_intervals() -> None:
    assert [numbers.probability(p) for p in (0.0004, 0.001, 0.25, None)] == ["< 0.001", "0.001", "0.250", "-"]
    assert [numbers.share(s) for s in (0.9, 1.0, None)] == ["90%", "100%", "-"]
    assert numbers.interval("1", "2") == "1 to 2"
    assert numbers.interval("1", numbers.MISSING) == "-"
    assert [numbers.scientific(n) for n in (1.23e-7, 0.0, 4e10)] == ["1.2e-7", "0", "4.0e10"]
