"""Verdicts: how the numbers decide them, and the sentences that state them."""

import math
from dataclasses import dataclass, replace

from backendexp.analysis import numbers, statistics
from backendexp.analysis.findings import (
    DIFFERENT,
    EQUIVALENT,
    FASTER,
    INCONCLUSIVE,
    LESS,
    MORE,
    SLOWER,
    WITHHELD,
    Chance,
    Contrast,
    QualityContrast,
)
from backendexp.analysis.guards import FEWEST_BLOCKS, count_of
from backendexp.analysis.sides import Pair
from backendexp.analysis.statistics import LEVEL, Paired
from backendexp.runs.measures import Better, Kind, Measure

# Stands beside every table of intervals: with several pairs the two can seem to contradict each other.
INTERVALS_ARE_NOT_ADJUSTED = (
    "The intervals are not adjusted for the number of comparisons, but a verdict that two sides differ uses "
    "Holm's adjusted p. So a verdict can be inconclusive although its interval excludes 1 for a ratio, or 0 "
    "for a difference."
)
# Below this p, luck does not explain a share of right guesses. The usual 5% would not do: so many groups are
# looked at that some have such luck.
_NO_LUCK = 0.001


@dataclass(frozen=True)
class Sample:
    """The data on one measure of a pair of sides, from which a verdict is made.

    blocks: the number of blocks in which both sides have a value.
    paired: the statistics of the pairs; None if there are fewer than two.
    withheld: why there is no verdict, or None.
    share_below: see `statistics.share_below`; None if `paired` is None.
    p_holm: the p after Holm's correction; None if there is no test.
    tests: the number of pairs that Holm's correction was for.
    sequential: whether the number of blocks may depend on the results.
    bootstrap: another interval of the mean.
    """

    measure: Measure
    pair: Pair
    blocks: int
    paired: Paired | None
    withheld: str | None
    share_below: float | None = None
    p_holm: float | None = None
    tests: int = 1
    sequential: bool = False
    bootstrap: tuple[float, float] | None = None


def on_ratio(sample: Sample, margin: float) -> Contrast:
    """The verdict on a time or on memory.

    sample: its `paired` is of the logarithms of the values.
    margin: see `Comparison`.
    """
    paired, is_time = sample.paired, sample.measure.kind is Kind.TIME
    verdict, more = _ratio_verdict(sample, math.log1p(margin))
    ratio, low, high = (
        (None, None, None) if paired is None else map(math.exp, (paired.mean, paired.low, paired.high))
    )
    bootstrap_low, bootstrap_high = (
        (None, None) if sample.bootstrap is None else map(math.exp, sample.bootstrap)
    )
    contrast = Contrast(
        measure=sample.measure,
        baseline=sample.pair.baseline.label,
        candidate=sample.pair.candidate.label,
        blocks=sample.blocks,
        ratio=ratio,
        low=low,
        high=high,
        bootstrap_low=bootstrap_low,
        bootstrap_high=bootstrap_high,
        faster_share=_better_share(sample),
        p=None if paired is None or sample.withheld else paired.p,
        p_holm=sample.p_holm,
        verdict=verdict if is_time else {FASTER: LESS, SLOWER: MORE}.get(verdict, verdict),
        withheld=sample.withheld,
        more_blocks=more,
        sentence="",
    )
    return replace(contrast, sentence=_ratio_sentence(contrast, margin))


def _better_share(sample: Sample) -> float | None:
    """The share of blocks in which the candidate's value was the better one; the lower one, where neither
    is better.
    """
    below = sample.share_below
    if below is None or sample.measure.better is not Better.MORE:
        return below
    return 1 - below


def _ratio_verdict(sample: Sample, margin: float) -> tuple[str, int | None]:
    """(the verdict, how many more blocks would decide).

    margin: on the scale of the logarithms.
    """
    paired = sample.paired
    if sample.withheld:
        return WITHHELD, None
    if paired is None or paired.pairs < FEWEST_BLOCKS:
        return INCONCLUSIVE, FEWEST_BLOCKS - sample.blocks
    if paired.p_equivalent < LEVEL:
        return EQUIVALENT, None
    if sample.p_holm is not None and sample.p_holm < LEVEL:
        return (FASTER if paired.mean < 0 else SLOWER), None
    count = statistics.more_blocks_sequential if sample.sequential else statistics.more_blocks
    return INCONCLUSIVE, count(paired, margin, sample.tests)


def _ratio_sentence(c: Contrast, margin: float) -> str:
    what = c.measure.title
    unjudged = _unjudged_sentence(c, c.withheld)
    if unjudged is not None:
        return unjudged
    ratio, low, high = map(numbers.significant, (c.ratio, c.low, c.high))
    found = (
        f"{ratio} times as {'long' if c.measure.kind is Kind.TIME else 'much'} (95% interval {low} to {high})"
    )
    if c.measure.kind is Kind.RATE:
        found = f"{ratio} times as many (95% interval {low} to {high})"
    if c.verdict == EQUIVALENT:
        ends = f"{numbers.significant(1 / (1 + margin))} to {numbers.significant(1 + margin)}"
        return (
            f"{c.candidate} and {c.baseline} are equivalent in {what}: {c.candidate} "
            f"{'reaches' if c.measure.kind is Kind.RATE else 'takes'} {found}, and "
            f"{ends} counts as equal."
        )
    if c.verdict == INCONCLUSIVE:
        more = (
            "No feasible number of blocks would decide."
            if c.more_blocks is None
            else f"About {count_of(c.more_blocks, 'more block')} would decide."
        )
        return (
            f"{c.candidate} against {c.baseline} in {what} is inconclusive after {c.blocks} blocks: {found}. "
            f"{more}"
        )
    share = numbers.share(c.faster_share)
    if c.measure.kind is Kind.TIME:
        claim = f"{c.candidate} is {c.verdict} than {c.baseline} in {what}"
        often = f"faster in {share}"
    elif c.measure.kind is Kind.RATE:
        claim = f"{c.candidate} reaches {c.verdict} {c.measure.unit} than {c.baseline} in {what}"
        often = f"more in {share}"
    else:
        claim = f"{c.candidate} takes {c.verdict} memory than {c.baseline}"
        often = f"{'more' if c.measure.better is Better.MORE else 'less'} in {share}"
    return f"{claim}: {found}, {often} of {c.blocks} blocks, Holm's {_p(c.p_holm)}."


def on_difference(sample: Sample, margin: float) -> QualityContrast:
    """The verdict on a quality.

    sample: its `paired` is of the values themselves, with a 90% interval.
    margin: the difference that is too small to matter.
    """
    paired = sample.paired
    tested = paired is not None and not sample.withheld
    verdict = _difference_verdict(sample)
    contrast = QualityContrast(
        measure=sample.measure,
        baseline=sample.pair.baseline.label,
        candidate=sample.pair.candidate.label,
        blocks=sample.blocks,
        difference=None if paired is None else paired.mean,
        low=None if paired is None else paired.low,
        high=None if paired is None else paired.high,
        margin=margin,
        p_equivalent=paired.p_equivalent if tested and paired is not None else None,
        p_different=sample.p_holm,
        verdict=verdict,
        sentence="",
    )
    return replace(contrast, sentence=_difference_sentence(contrast, sample.withheld))


def _difference_verdict(sample: Sample) -> str:
    paired = sample.paired
    if sample.withheld:
        return WITHHELD
    if paired is None or paired.pairs < FEWEST_BLOCKS:
        return INCONCLUSIVE
    if paired.p_equivalent < LEVEL:
        return EQUIVALENT
    return DIFFERENT if sample.p_holm is not None and sample.p_holm < LEVEL else INCONCLUSIVE


def _difference_sentence(c: QualityContrast, withheld: str | None) -> str:
    what = c.measure.title
    unjudged = _unjudged_sentence(c, withheld)
    if unjudged is not None:
        return unjudged
    difference, low, high = (numbers.signed(c.measure, value) for value in (c.difference, c.low, c.high))
    found = f"{difference} (90% interval {low} to {high})"
    if c.verdict == EQUIVALENT:
        return (
            f"{c.candidate} and {c.baseline} are equivalent in {what}: the difference is {found}, within "
            f"{numbers.margin(c.margin)} either way."
        )
    if c.verdict == DIFFERENT:
        return f"{c.candidate} and {c.baseline} differ in {what}: by {found}, Holm's {_p(c.p_different)}."
    return (
        f"{c.candidate} against {c.baseline} in {what} is inconclusive after {c.blocks} blocks: the "
        f"difference is {found}, and {numbers.margin(c.margin)} either way counts as equal."
    )


def _unjudged_sentence(c: Contrast | QualityContrast, withheld: str | None) -> str | None:
    """A sentence that says why the numbers do not lead to a verdict, or None if they can."""
    of = f"{c.candidate} against {c.baseline} in {c.measure.title}"
    if c.verdict == WITHHELD:
        return f"{of} has no verdict: {withheld}."
    if c.blocks < FEWEST_BLOCKS:
        return f"{of} is inconclusive: {count_of(c.blocks, 'block')}, and a verdict needs {FEWEST_BLOCKS}."
    return None


def on_guessing(label: str, correct: int, guesses: int, classes: int = 2) -> Chance:
    """Whether luck explains how many answers were right, where nothing can be learned from the data.

    correct, guesses: the number of right answers, and of all answers.
    classes: the number of classes, all of which are equally likely.
    """
    expected = 1 / classes
    low, high, p = statistics.guessing(correct, guesses, expected)
    draws = "coin flips" if classes == 2 else f"random labels of {classes} classes"
    found = (
        f"{label} got {correct:,} of {guesses:,} {draws} right: {correct / guesses:.3f} (95% interval "
        f"{low:.3f} to {high:.3f}, {_p(p)})"
    )
    if p < _NO_LUCK:
        meaning = "That is not luck: look for test labels that the training could see."
    elif p < LEVEL:
        meaning = "That is unusual luck, as one group in twenty has it."
    else:
        meaning = "That is luck."
    return Chance(correct, guesses, correct / guesses, low, high, p, f"{found}. {meaning}", expected)


def _p(value: float | None) -> str:
    text = numbers.probability(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
