"""The numbers behind the verdicts. SciPy and statsmodels compute them; this module chooses their methods.

Values are compared in pairs from the same block, so that whatever the two runs of a block share (the seed,
the hour, other work on the machine) cancels in the difference. Times differ by a factor, so differences are
taken between logarithms, and the exponential of their mean is the geometric mean of the ratios.
"""

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

# The level of significance of every test here, and of each of the two one-sided tests of an equivalence.
LEVEL = 0.05
# The probability of a decision that `more_blocks` plans for.
POWER = 0.8
# Nobody would run more blocks than this, so `more_blocks` does not recommend it.
MOST_MORE_BLOCKS = 10_000
# The variance of the standardised effects that the sequential test expects. tests/analysis/test_sequential.py
# has the simulation that chose it.
_EFFECT = 1.0
# The number of resamples of a bootstrap. The other two limit how much of it is in memory at once.
_RESAMPLES = 1999
_NUMBERS_AT_ONCE, _ROWS_AT_ONCE = 100_000, 25
# Numbers that differ by less than this, or by less than this share of their size, count as equal: float64
# rounds what is smaller.
_ROUNDING = 1e-12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """Statistics of the differences within pairs, candidate less baseline.

    pairs: the number of pairs, at least 2.
    mean, sd: the mean and the standard deviation of the differences, the latter with pairs - 1 in the
        denominator.
    low, high: the confidence interval of the mean.
    p: from the two-sided test of the hypothesis that the mean is 0.
    p_equivalent: the greater p of the two one-sided tests of the hypothesis that the mean lies beyond the
        margin.
    """

    pairs: int
    mean: float
    sd: float
    low: float
    high: float
    p: float
    p_equivalent: float


def compare_pairs(
    baseline: Floats, candidate: Floats, margins: Floats, confidence: float, sequential: bool = False
) -> list[Paired]:
    """One Paired for each row.

    baseline, candidate: shape (rows, pairs), at least 2 pairs.
    margins: shape (rows,): in each row, differences from -margin to margin are too small to matter.
    confidence: of the interval, such as 0.95.
    sequential: whether the number of pairs may depend on the results, see `_sequential`.

    Otherwise, the interval and the tests are Student's, of the mean of the differences. So a 95% interval
    excludes 0 exactly where the p beside it is below 5%. That does not hold for the p that a verdict uses:
    Holm's correction raises p with the number of comparisons, and the interval is not adjusted. Then a
    verdict can be inconclusive although its interval excludes 0, and the tables say so.

    A percentile bootstrap at Hesterberg's expanded level (What Teachers Should Know About the Bootstrap,
    2015) was tried in place of Student's interval. Where 95% are promised, it covers 92% at 5 blocks and 94%
    at 7, and Student's interval covers 95%. With one run in ten slowed down, it covers 92 to 94%, and
    Student's interval 98%. The simulation is in tests/analysis/test_statistics.py.
    Equivalence: Schuirmann, A comparison of the two one-sided tests procedure and the power approach (1987).

    Where all differences of a row are equal, there is nothing to estimate an error from. Then the mean counts
    as exact: its p is 1 if it is 0, and else 0.
    """
    differences = candidate - baseline
    rounding = _ROUNDING * np.maximum(np.abs(baseline), np.abs(candidate)).max(axis=1, initial=1.0)
    constant = np.ptp(differences, axis=1) <= rounding
    varies = ~constant
    test = _sequential if sequential else _student
    tested = test(differences[varies], margins[varies], confidence) if varies.any() else iter(())
    return [
        _constant(row, margin, bound) if same else next(tested)
        for row, margin, same, bound in zip(differences, margins, constant, rounding, strict=True)
    ]


def _student(rows: Floats, margins: Floats, confidence: float) -> Iterator[Paired]:
    different = stats.ttest_1samp(rows, 0.0, axis=1)
    interval = different.confidence_interval(confidence)
    above = stats.ttest_1samp(rows, -margins[:, None], axis=1, alternative="greater")
    below = stats.ttest_1samp(rows, margins[:, None], axis=1, alternative="less")
    for numbers in zip(
        rows.mean(axis=1),
        rows.std(axis=1, ddof=1),
        interval.low,
        interval.high,
        different.pvalue,
        np.maximum(above.pvalue, below.pvalue),
        strict=True,
    ):
        yield Paired(rows.shape[1], *map(float, numbers))


def _sequential(rows: Floats, margins: Floats, confidence: float) -> Iterator[Paired]:
    """The tests and the interval of a mean that stay valid whenever one stops, and for whatever reason.

    For a mean m, the ratio of two probabilities of the rows' t statistics is computed: with a mean that
    differs from m by a normal number of standard deviations with the variance _EFFECT, and with the mean m.
    If m is the mean, the ratio exceeds 1 / p at any time with a probability of at most p (Ville). Wang and
    Ramdas, Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance (2024),
    section 4; Lai (1976). The interval has all means that are not rejected.
    """
    pairs = rows.shape[1]
    mean, error = rows.mean(axis=1), rows.std(axis=1, ddof=1) / math.sqrt(pairs)
    half = error * _most_extreme(pairs, 1 - confidence)
    above, below = (
        np.where(sign * mean + margins > 0, _p_sequential((sign * mean + margins) / error, pairs), 1.0)
        for sign in (1, -1)
    )
    p = _p_sequential(mean / error, pairs)
    deviation = error * math.sqrt(pairs)
    for numbers in zip(mean, deviation, mean - half, mean + half, p, np.maximum(above, below), strict=True):
        yield Paired(pairs, *map(float, numbers))


def _p_sequential(t: Floats, pairs: int) -> Floats:
    """The p of t statistics, see `_sequential`."""
    freedom, growth = pairs - 1, 1 + pairs * _EFFECT
    squares = t**2 / freedom
    exponent = pairs / 2 * (np.log1p(squares) - np.log1p(squares / growth)) - math.log(growth) / 2
    return np.asarray(np.exp(-np.maximum(exponent, 0.0)))


def _most_extreme(pairs: int, p: float) -> float:
    """The t statistic whose sequential p is `p`. It is infinite if no number of so few pairs has that p."""
    growth = 1 + pairs * _EFFECT
    ratio = (math.sqrt(growth) / p) ** (2 / pairs)
    return math.sqrt((pairs - 1) * (ratio - 1) / (1 - ratio / growth)) if ratio < growth else math.inf


def _constant(row: Floats, margin: float, rounding: float) -> Paired:
    mean = float(np.median(row))
    mean = 0.0 if abs(mean) <= rounding else mean
    return Paired(
        pairs=len(row),
        mean=mean,
        sd=0.0,
        low=mean,
        high=mean,
        p=0.0 if mean else 1.0,
        p_equivalent=0.0 if abs(mean) < margin else 1.0,
    )


def bootstrap_intervals(differences: Floats, confidence: float) -> Floats:
    """Percentile bootstrap intervals of the mean, shape (rows, 2): the low ends and the high ends.

    differences: shape (rows, pairs), at least 2 pairs.
    confidence: of the intervals, such as 0.95.

    The intervals are at Hesterberg's expanded level, which corrects for the spread that few pairs
    underestimate (What Teachers Should Know About the Bootstrap, 2015). No verdict rests on them, because
    with few blocks they cover the mean less often than they promise, see `compare_pairs`. Plain percentiles
    and BCa cover it even less often: 84% at 5 blocks and 89% at 7, where 95% are promised.

    The resamples always come from the same seed, so equal differences have equal intervals, whatever the
    other rows are.
    """
    pairs = differences.shape[1]
    tail = stats.norm.cdf(-math.sqrt(pairs / (pairs - 1)) * stats.t.isf((1 - confidence) / 2, pairs - 1))
    found = []
    for rows in np.array_split(differences, -(-len(differences) // _ROWS_AT_ONCE)):
        interval = stats.bootstrap(
            (rows,),
            np.mean,
            axis=1,
            n_resamples=_RESAMPLES,
            batch=max(1, _NUMBERS_AT_ONCE // pairs),
            confidence_level=1 - 2 * tail,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        found.append(np.column_stack([interval.low, interval.high]))
    return np.concatenate(found)


def share_below(baseline: Floats, candidate: Floats) -> float:
    """The share of pairs in which the candidate's value is the smaller one; ties count half."""
    return float(np.mean((candidate < baseline) + 0.5 * (candidate == baseline)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values, adjusted for their number.

    Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    if len(p_values) < 2:
        return list(p_values)
    # statsmodels collects garbage at each call, which takes long when mlflow is loaded. The collector skips
    # objects that are frozen.
    gc.freeze()
    try:
        return [float(p) for p in multipletests(p_values, method="holm")[1]]
    finally:
        gc.unfreeze()


def more_blocks(paired: Paired, margin: float, tests: int) -> int | None:
    """How many more blocks would lead to a decision with a probability of POWER, if the mean and the spread
    stayed what they are so far. None if not even MOST_MORE_BLOCKS would.

    margin: on the scale of the differences.
    tests: how many comparisons Holm's correction is for.

    A decision is either a difference, by a two-sided t test at LEVEL / tests (Holm's first step), or
    equivalence. The power of an equivalence test is at least 1 less the probabilities that either one-sided
    test misses (Boole's inequality). That bound is taken for the power, and is exact if one of the two
    probabilities is negligible. statsmodels computes the powers of the t test.
    """
    if paired.sd == 0:
        return None
    power = TTestPower()
    effect = abs(paired.mean) / paired.sd
    near, far = (margin - abs(paired.mean)) / paired.sd, (margin + abs(paired.mean)) / paired.sd

    def decides(blocks: int) -> bool:
        different = power.power(effect, blocks, LEVEL / tests, alternative="two-sided")
        if different >= POWER:
            return True
        if near <= 0:
            return False
        hits = [power.power(e, blocks, LEVEL, alternative="larger") for e in (near, far)]
        return bool(sum(hits) - 1 >= POWER)

    return _fewest_more(paired.pairs, decides)


def _fewest_more(pairs: int, decides: Callable[[int], bool]) -> int | None:
    """The fewest blocks beyond `pairs` with which a test decides, or None if MOST_MORE_BLOCKS do not suffice.

    decides: whether so many blocks suffice. If they do, more suffice too.
    """
    step = 1
    while not decides(pairs + step):
        if step >= MOST_MORE_BLOCKS:
            return None
        step = min(2 * step, MOST_MORE_BLOCKS)
    # `decides` is false for `low` and true for `high`.
    low, high = pairs + step // 2, pairs + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high - pairs


def more_blocks_sequential(paired: Paired, margin: float, tests: int) -> int | None:
    """How many more blocks would lead a sequential test to a decision, if the mean and the spread stayed
    exactly what they are so far. None if not even MOST_MORE_BLOCKS would.

    margin, tests: as in `more_blocks`.
    """
    if paired.sd == 0:
        return None
    effect, room = abs(paired.mean) / paired.sd, (margin - abs(paired.mean)) / paired.sd

    def decides(blocks: int) -> bool:
        reach = math.sqrt(blocks)
        differs = effect * reach > _most_extreme(blocks, LEVEL / tests)
        return differs or room * reach > _most_extreme(blocks, LEVEL)

    return _fewest_more(paired.pairs, decides)


def guessing(correct: int, guesses: int, expected: float = 0.5) -> tuple[float, float, float]:
    """(low, high, p): the exact 95% interval of the share of correct guesses (Clopper and Pearson), and the
    probability that chance gives a share at least as far from the expected one (exact binomial test).

    expected: the share that guessing gets on average.
    """
    result = stats.binomtest(correct, guesses, expected)
    interval = result.proportion_ci(1 - LEVEL, method="exact")
    return float(interval.low), float(interval.high), float(result.pvalue)


def quartiles(values: Floats) -> tuple[float, float, float]:
    """(first quartile, median, third quartile), by NumPy's linear interpolation."""
    low, median, high = np.percentile(values, (25, 50, 75))
    return float(low), float(median), float(high)


def robust_variation(values: Floats) -> float:
    """The spread as a share of the median: the median absolute deviation, scaled so that it estimates the
    standard deviation of a normal distribution, divided by the median.

    values: positive numbers.
    """
    return float(stats.median_abs_deviation(values, scale="normal") / np.median(values))


def outliers(values: Floats) -> NDArray[np.bool_]:
    """Which values are outliers: those whose logarithm has a modified z-score beyond 3.5 (Iglewicz and
    Hoaglin, How to Detect and Handle Outliers, 1993).

    values: positive numbers. Fewer than 5 values have no outliers.

    If more than half of the values are equal, the median deviation is 0, and the mean deviation takes its
    place, as the authors propose. A value within 5% of the median is never an outlier, however alike the
    others are.
    """
    if len(values) < 5:
        return np.zeros(len(values), dtype=bool)
    distances = np.abs(np.log(values) - np.median(np.log(values)))
    spread = stats.median_abs_deviation(np.log(values), scale="normal")
    if spread <= _ROUNDING:
        spread = math.sqrt(math.pi / 2) * distances.mean()
    return np.asarray((distances > 3.5 * spread) & (distances > math.log(1.05)))


def drift(values: Floats, order: Floats | None = None) -> tuple[float, float]:
    """(Spearman's rank correlation of the values with their order, its p).

    order: the place of each value; None means the order in which they stand.
    Returns (0, 1) for fewer than 8 values, whose p would be too rough, and if all values or all places are
    equal.
    """
    order = np.arange(len(values), dtype=float) if order is None else order
    if len(values) < 8 or np.ptp(values) == 0 or np.ptp(order) == 0:
        return 0.0, 1.0
    result = stats.spearmanr(order, values)
    return float(result.statistic), float(result.pvalue)
