"""How the numbers of a comparison are written for people."""

import math

from backendexp.runs.measures import Measure

MISSING = "-"


def of(measure: Measure, value: float | None) -> str:
    """A value of the measure, without its unit."""
    if value is None or not math.isfinite(value):
        return MISSING
    if measure.decimals is None:
        return significant(value)
    # Whole numbers may be long, and are read more easily in groups of three digits.
    return f"{value:.{measure.decimals}f}" if measure.decimals else f"{value:,.0f}"


def significant(value: float | None) -> str:
    """Three significant digits, with an exponent only for very small numbers: 0.0132, 1.32, 13.2, 1,320."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    if abs(rounded) < 1e-4:
        return scientific(value, 2)
    return f"{rounded:,.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}"


def scientific(value: float, digits: int = 1) -> str:
    """With an exponent, such as 1.2e-7.

    digits: after the point.
    """
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def signed(measure: Measure, value: float | None) -> str:
    """A difference between two values of the measure, with its sign unless it rounds to 0."""
    text = of(measure, None if value is None else abs(value))
    if value is None or text == MISSING or not float(text.replace(",", "")):
        return text
    return ("+" if value > 0 else "\N{MINUS SIGN}") + text


def margin(value: float) -> str:
    """The margin of a quality. One that is a share of the baseline's values has many digits."""
    return f"{value:.3g}"


def probability(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def share(value: float | None) -> str:
    return MISSING if value is None or not math.isfinite(value) else f"{value:.0%}"


def interval(low: str, high: str) -> str:
    """An interval.

    low, high: its ends, already written as text.
    """
    return MISSING if MISSING in (low, high) else f"{low} to {high}"
