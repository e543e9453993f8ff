"""The limits of --fail-if: `training_time_s > 1.2` names a result that a comparison must not have."""

import math
import operator
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backendexp.analysis import numbers
from backendexp.analysis.findings import WITHHELD, Comparison, Contrast, QualityContrast
from backendexp.analysis.guards import FEWEST_BLOCKS, count_of
from backendexp.errors import UserError
from backendexp.runs import keras_metrics, measures
from backendexp.runs.measures import Measure
from backendexp.spelling import nearest

# The longer operators come first, so that >= is not read as >.
_HOLDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_EXPRESSION = re.compile(rf"\s*([\w/]+)\s*({'|'.join(_HOLDS)})\s*(\S+)\s*", re.ASCII)
_EXAMPLE = "e.g. 'training_time_s > 1.2' or 'accuracy < -0.05'"


@dataclass(frozen=True)
class Limit:
    """A condition that must not hold for any pair of a candidate and its baseline.

    number: what the pair is compared with: for a quality, the difference, candidate less baseline; for every
        other measure, the ratio, candidate over baseline.
    expression: the text that the user wrote.
    """

    measure: Measure
    operator: str
    number: float
    expression: str

    def holds(self, value: float) -> bool:
        return bool(_HOLDS[self.operator](value, self.number))


@dataclass(frozen=True)
class LimitOutcome:
    """The outcome of one limit for one pair.

    kept: whether the pair stays within the limit. False also if that cannot be known.
    sentence: the outcome in words, with the numbers.
    """

    kept: bool
    sentence: str


def parse(expression: str) -> Limit:
    """Read an expression of the form MEASURE OP NUMBER.

    MEASURE is a key in the store, such as time/steady_epoch_s, or the last part of one, steady_epoch_s.
    Raises UserError: the expression cannot be read, or names a measure that is not compared.
    """
    found = _EXPRESSION.fullmatch(expression)
    if found is None:
        raise UserError(
            f"the limit {expression!r} cannot be read. Expected MEASURE OP NUMBER, OP one of "
            f"{', '.join(_HOLDS)}, {_EXAMPLE}"
        )
    name, symbol, written = found.groups()
    measure = _measure(name, expression)
    try:
        number = float(written)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"the limit {expression!r} compares with {written!r}: expected a number, {_EXAMPLE}")
    if measure.is_ratio and number <= 0:
        raise UserError(
            f"the limit {expression!r} compares with {written}: expected a ratio to the baseline, which is "
            "above 0: 1.2 is a fifth more than the baseline's"
        )
    return Limit(measure, symbol, number, expression)


def _measure(name: str, expression: str) -> Measure:
    """The measure of this name. The runs decide later whether they have the metric."""
    known = {either: m for m in measures.compared() for either in (m.key, m.short_key)}
    if name in known:
        return known[name]
    if keras_metrics.known_name(name.removeprefix("test/")) or name.startswith("test/"):
        return measures.quality(name.removeprefix("test/"))
    raise UserError(
        f"the limit {expression!r} is on {name!r}, which is not compared. "
        f"{nearest(name, [*known, *keras_metrics.names()])}"
        f"Expected one of: {', '.join(m.short_key for m in measures.compared())}, a metric of Keras such as "
        "accuracy, or test/NAME for a metric of your own"
    )


def check(comparison: Comparison, limits: Sequence[Limit]) -> list[LimitOutcome]:
    """The outcome of each limit for each group and its baseline."""
    return [outcome for limit in limits for outcome in _check_one(comparison, limit)]


def _check_one(comparison: Comparison, limit: Limit) -> Iterator[LimitOutcome]:
    pairs: list[Contrast | QualityContrast] = [*comparison.contrasts, *comparison.qualities]
    for group in comparison.groups:
        baseline = comparison.baseline_of(group.label)
        if baseline is not None:
            at = (limit.measure.key, baseline, group.label)
            pair = next((p for p in pairs if (p.measure.key, p.baseline, p.candidate) == at), None)
            yield _outcome(limit, f"{group.label} against {baseline}", pair)
    for label in comparison.baselines:
        # A backend that is missing from the second sweep must not pass for one that kept the limit.
        if all(pair.baseline != label for pair in pairs):
            yield LimitOutcome(
                False, f"{limit.expression}: cannot tell, nothing was run to compare with {label}"
            )


def _outcome(limit: Limit, who: str, pair: Contrast | QualityContrast | None) -> LimitOutcome:
    said = f"{limit.expression}: {who}"
    if pair is None:
        return LimitOutcome(False, f"{said}: cannot tell, {limit.measure.title} was not compared")
    estimate, kind, confidence = (
        (pair.ratio, "the ratio", "95%")
        if isinstance(pair, Contrast)
        else (pair.difference, "the difference", "90%")
    )
    if pair.verdict == WITHHELD:
        return LimitOutcome(False, f"{said}: cannot tell. {pair.sentence}")
    if pair.blocks < FEWEST_BLOCKS or estimate is None or pair.low is None or pair.high is None:
        return LimitOutcome(
            False, f"{said}: cannot tell, they have {count_of(pair.blocks, 'complete block')}"
        )
    low, value, high = (_written(pair, number) for number in (pair.low, estimate, pair.high))
    estimate_in_words = f"{kind} is {value} ({confidence} interval {numbers.interval(low, high)})"
    if not limit.holds(estimate):
        return LimitOutcome(True, f"{said}: no, {estimate_in_words}")
    unsure = (
        f"; the interval holds {limit.number:g}, so it may be noise"
        if pair.low <= limit.number <= pair.high
        else ""
    )
    return LimitOutcome(False, f"{said}: yes, {estimate_in_words}{unsure}")


def _written(pair: Contrast | QualityContrast, value: float) -> str:
    return numbers.significant(value) if isinstance(pair, Contrast) else numbers.signed(pair.measure, value)
