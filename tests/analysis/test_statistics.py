"""The statistics give the right answer where it is known, from simulated effects or from a definition.

Rates in simulations are compared with the range of a binomial count with such a rate.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from backendexp.analysis import statistics
from backendexp.analysis.statistics import LEVEL, POWER, Floats, Paired
from support.chance import CHANCE_OF_A_FALSE_ALARM, most

Draw = np.random.Generator
# Functions of (draw, simulations, blocks) that return log times of a side, with shape (simulations, blocks).
Noise = Callable[[Draw, int, int], Floats]
MARGIN = math.log(1.1)


def compare_pairs(baseline: Floats, candidate: Floats, margin: float, confidence: float) -> list[Paired]:
    return statistics.compare_pairs(baseline, candidate, np.full(len(baseline), margin), confidence)


def least(rate: float, trials: int) -> float:
    return float(stats.binom.ppf(CHANCE_OF_A_FALSE_ALARM, trials, rate)) / trials


def log_normal(draw: Draw, simulations: int, blocks: int) -> Floats:
    return draw.normal(0, 0.05, (simulations, blocks))


def with_outliers(draw: Draw, simulations: int, blocks: int) -> Floats:
    """Draw log times in which one run in ten takes 1.3 to 2.5 times as long."""
    hit = draw.random((simulations, blocks)) < 0.10
    slowed = np.log(draw.uniform(1.3, 2.5, (simulations, blocks)))
    return log_normal(draw, simulations, blocks) + hit * slowed


def simulate(noise: Noise, effect: float, blocks: int, simulations: int, seed: int = 0) -> list[Paired]:
    """Simulate many comparisons of two sides whose log times differ by `effect`. The level of each block
    varies too.
    """
    draw = np.random.default_rng(seed)
    shared = draw.normal(0, 0.2, (simulations, blocks))
    baseline, candidate = (shared + noise(draw, simulations, blocks) for _ in range(2))
    return compare_pairs(baseline, candidate + effect, MARGIN, 1 - LEVEL)


def covered(found: list[Paired], truth: float) -> float:
    return float(np.mean([one.low <= truth <= one.high for one in found]))


def assert_covers_as_promised(noise: Noise, effect: float, blocks: int, simulations: int) -> None:
    share = covered(simulate(noise, effect, blocks, simulations), effect)
    assert share >= least(0.95, simulations)
    if noise is log_normal:
        assert share <= most(0.95, simulations)


# -- the interval ------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [log_normal, with_outliers])
@pytest.mark.parametrize("blocks", [3, 5, 10, 30])
def test_interval_covers_the_truth_as_often_as_it_promises(noise: Noise, blocks: int) -> None:
    assert_covers_as_promised(noise, math.log(0.7), blocks, simulations=4000)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [log_normal, with_outliers])
@pytest.mark.parametrize("blocks", [3, 4, 5, 6, 7, 8, 10, 15, 20])
def test_interval_covers_the_truth_in_many_simulations(noise: Noise, blocks: int) -> None:
    assert_covers_as_promised(noise, math.log(1.3), blocks, simulations=40_000)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [log_normal, with_outliers])
@pytest.mark.parametrize("blocks", [5, 7])
def test_interval_covers_better_than_a_percentile_bootstrap(noise: Noise, blocks: int) -> None:
    """This is why we do not use the usual bootstrap, even at Hesterberg's expanded level."""
    simulations = 4000
    draw = np.random.default_rng(1)
    differences = noise(draw, simulations, blocks) - noise(draw, simulations, blocks)
    ours = compare_pairs(np.zeros_like(differences), differences, MARGIN, 0.95)
    low, high = statistics.bootstrap_intervals(differences, 0.95).T
    bootstrapped, student = float(np.mean((low <= 0) & (high >= 0))), covered(ours, 0)
    assert student >= least(0.95, simulations)
    assert bootstrapped < min(0.95, student)


@pytest.mark.parametrize("noise", [log_normal, with_outliers])
def test_bootstrap_at_the_expanded_level_covers_better_than_bca(noise: Noise) -> None:
    """This is why it is the bootstrap that is shown beside our interval."""
    draw = np.random.default_rng(1)
    differences = noise(draw, 500, 5) - noise(draw, 500, 5)
    low, high = statistics.bootstrap_intervals(differences, 0.95).T
    bca = stats.bootstrap(
        (differences,), np.mean, axis=1, n_resamples=999, method="BCa", rng=np.random.default_rng(2)
    ).confidence_interval
    shown, other = (
        float(np.mean((lows <= 0) & (highs >= 0))) for lows, highs in ((low, high), (bca.low, bca.high))
    )
    assert shown > other + 0.05


def test_bootstrap_of_many_pairs_is_as_wide_as_the_interval_of_the_verdict() -> None:
    rows = np.random.default_rng(7).normal(0.1, 0.3, (30, 500))
    student = compare_pairs(np.zeros_like(rows), rows, MARGIN, 0.95)
    for one, (low, high) in zip(student, statistics.bootstrap_intervals(rows, 0.95), strict=True):
        assert high - low == pytest.approx(one.high - one.low, rel=0.15)
        assert low < one.mean < high


@given(arrays.arrays(float, st.tuples(st.just(1), st.integers(2, 12)), elements=st.floats(-10, 10)))
def test_bootstrap_lies_within_the_differences_and_mirrors_them(row: Floats) -> None:
    ((low, high),) = statistics.bootstrap_intervals(row, 0.95)
    assert row.min() - 1e-9 <= low <= row.mean() + 1e-9
    assert row.mean() - 1e-9 <= high <= row.max() + 1e-9
    ((mirrored_low, mirrored_high),) = statistics.bootstrap_intervals(-row, 0.95)
    assert (mirrored_low, mirrored_high) == pytest.approx((-high, -low), abs=1e-9)


def test_bootstrap_of_a_row_does_not_depend_on_the_others() -> None:
    rows = np.random.default_rng(8).normal(size=(60, 7))
    together = statistics.bootstrap_intervals(rows, 0.95)
    alone = np.concatenate([statistics.bootstrap_intervals(row[None], 0.95) for row in rows])
    assert together == pytest.approx(alone)


# -- the tests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [log_normal, with_outliers])
@pytest.mark.parametrize("blocks", [3, 5, 10, 30])
def test_equal_sides_are_found_different_no_more_often_than_the_level_allows(
    noise: Noise, blocks: int
) -> None:
    simulations = 4000
    false_alarms = np.mean([one.p < LEVEL for one in simulate(noise, 0.0, blocks, simulations)])
    assert false_alarms <= most(LEVEL, simulations)


@pytest.mark.parametrize("blocks", [3, 5, 10, 30])
@pytest.mark.parametrize("edge", [-MARGIN, MARGIN])
@pytest.mark.parametrize("noise", [log_normal, with_outliers])
def test_difference_as_large_as_the_margin_is_no_more_often_equivalent_than_the_level_allows(
    noise: Noise, edge: float, blocks: int
) -> None:
    simulations = 4000
    wrong = np.mean([one.p_equivalent < LEVEL for one in simulate(noise, edge, blocks, simulations)])
    assert wrong <= most(LEVEL, simulations)


@pytest.mark.parametrize(("ratio", "blocks"), [(0.9, 10), (1.2, 5), (0.5, 3)])
def test_effect_of_that_size_is_found_as_often_as_statsmodels_power_says(ratio: float, blocks: int) -> None:
    simulations = 4000
    effect = abs(math.log(ratio)) / (0.05 * math.sqrt(2))
    promised = statistics.TTestPower().power(effect, blocks, LEVEL)
    found = np.mean([one.p < LEVEL for one in simulate(log_normal, math.log(ratio), blocks, simulations)])
    assert least(promised, simulations) <= found <= most(promised, simulations)


def test_equal_sides_with_little_noise_are_equivalent() -> None:
    found = simulate(log_normal, 0.0, 20, 1000)
    assert np.mean([one.p_equivalent < LEVEL for one in found]) > 0.95


def test_estimate_is_the_geometric_mean_of_the_ratios() -> None:
    baseline, candidate = np.array([[1.0, 2.0, 4.0]]), np.array([[2.0, 2.0, 16.0]])
    (found,) = compare_pairs(np.log(baseline), np.log(candidate), MARGIN, 0.95)
    assert math.exp(found.mean) == pytest.approx((2 * 1 * 4) ** (1 / 3))
    assert found.low < found.mean < found.high


def test_effects_of_a_block_cancel_out() -> None:
    draw = np.random.default_rng(0)
    baseline, candidate = draw.normal(size=(2, 1, 12))
    calm, shaken = (
        compare_pairs(baseline + shared, candidate + shared, MARGIN, 0.95)[0]
        for shared in (np.zeros(12), 100 * draw.normal(size=12))
    )
    assert shaken.p == pytest.approx(calm.p)
    assert (shaken.low, shaken.high) == pytest.approx((calm.low, calm.high))


def test_interval_says_the_same_as_its_test() -> None:
    for one in simulate(with_outliers, 0.05, 6, 300):
        assert (one.p < LEVEL) == (not one.low <= 0 <= one.high)


def test_interval_of_90_percent_says_the_same_as_the_two_one_sided_tests_at_5() -> None:
    draw = np.random.default_rng(3)
    candidate = draw.normal(0.03, 0.08, (300, 7))
    for one in compare_pairs(np.zeros((300, 7)), candidate, MARGIN, 0.90):
        assert (one.p_equivalent < LEVEL) == (one.low > -MARGIN and one.high < MARGIN)


# -- no variance -------------------------------------------------------------------------------------


def test_pairs_that_are_exactly_equal_are_equivalent() -> None:
    same = np.array([[0.51, 0.47, 0.55]])
    (found,) = compare_pairs(same, same, 0.05, 0.90)
    assert found == Paired(3, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@pytest.mark.parametrize(("gap", "p_equivalent"), [(0.01, 0.0), (0.1, 1.0), (-0.01, 0.0), (-0.1, 1.0)])
def test_difference_that_is_always_the_same_is_taken_as_it_stands(gap: float, p_equivalent: float) -> None:
    """0.51 + 0.01 and 0.47 + 0.01 are rounded differently, but this does not count as variance."""
    baseline = np.array([[0.51, 0.47, 0.55, 0.3]])
    (found,) = compare_pairs(baseline, baseline + gap, 0.05, 0.90)
    assert found.mean == found.low == found.high == pytest.approx(gap)
    assert (found.sd, found.p, found.p_equivalent) == (0.0, 0.0, p_equivalent)


def test_rows_without_variance_do_not_disturb_the_others() -> None:
    draw = np.random.default_rng(4)
    rows = draw.normal(size=(3, 8))
    rows[1] = 0.25
    together = compare_pairs(np.zeros((3, 8)), rows, MARGIN, 0.95)
    alone = [compare_pairs(np.zeros((1, 8)), row[None], MARGIN, 0.95)[0] for row in rows]
    assert [one.mean for one in together] == pytest.approx([one.mean for one in alone])
    assert [one.p for one in together] == pytest.approx([one.p for one in alone])
    assert together[1].p == 0.0


numbers = st.floats(-1e3, 1e3)


@given(arrays.arrays(float, st.tuples(st.just(2), st.integers(2, 12)), elements=numbers))
def test_any_numbers_give_numbers(sides: Floats) -> None:
    (found,) = compare_pairs(sides[:1], sides[1:], MARGIN, 0.95)
    assert all(math.isfinite(value) for value in (found.mean, found.sd, found.low, found.high))
    assert 0 <= found.p <= 1
    assert 0 <= found.p_equivalent <= 1
    assert found.low <= found.mean <= found.high


@given(arrays.arrays(float, st.tuples(st.just(2), st.integers(2, 12)), elements=numbers))
def test_swapped_sides_give_the_mirror_image(sides: Floats) -> None:
    (found,) = compare_pairs(sides[:1], sides[1:], MARGIN, 0.95)
    (mirrored,) = compare_pairs(sides[1:], sides[:1], MARGIN, 0.95)
    close = {"rel": 1e-6, "abs": 1e-9}
    assert mirrored.mean == pytest.approx(-found.mean, **close)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), **close)
    assert (mirrored.p, mirrored.p_equivalent) == pytest.approx((found.p, found.p_equivalent), **close)
    below, above = (statistics.share_below(a, b) for a, b in (sides, sides[::-1]))
    assert below + above == pytest.approx(1)


# -- Holm --------------------------------------------------------------------------------------------


def holm_by_definition(p_values: list[float]) -> list[float]:
    """Return the smallest level at which each hypothesis is rejected, stepping upwards from the smallest
    p.
    """
    ordered = sorted(p_values)
    steps = [(len(ordered) - rank) * p for rank, p in enumerate(ordered)]
    return [min(1.0, max(steps[: ordered.index(p) + 1])) for p in p_values]


@given(st.lists(st.floats(0, 1), max_size=12, unique=True))
def test_holm_is_as_defined(p_values: list[float]) -> None:
    assert statistics.holm(p_values) == pytest.approx(holm_by_definition(p_values))


def test_holm_keeps_the_rate_of_any_false_alarm_over_all_pairs_of_equal_sides() -> None:
    draw = np.random.default_rng(5)
    simulations, blocks = 1000, 6
    sides = draw.normal(size=(4, simulations, blocks))
    pairs = [
        [one.p for one in compare_pairs(sides[a], sides[b], MARGIN, 0.95)]
        for a, b in itertools.combinations(range(4), 2)
    ]
    alarms = [min(statistics.holm(list(p_values))) < LEVEL for p_values in zip(*pairs, strict=True)]
    uncorrected = [min(p_values) < LEVEL for p_values in zip(*pairs, strict=True)]
    assert np.mean(alarms) <= most(LEVEL, simulations)
    assert np.mean(uncorrected) > most(LEVEL, simulations)


# -- more blocks -------------------------------------------------------------------------------------


def paired(mean: float, sd: float, pairs: int) -> Paired:
    return Paired(pairs, mean, sd, math.nan, math.nan, math.nan, math.nan)


@pytest.mark.parametrize(("mean", "sd"), [(0.10, 0.2), (0.05, 0.1), (0.0, 0.3), (0.03, 0.3), (-0.15, 0.4)])
def test_estimated_number_of_blocks_decides_as_often_as_promised_and_fewer_do_not(
    mean: float, sd: float
) -> None:
    more = statistics.more_blocks(paired(mean, sd, 5), MARGIN, tests=1)
    assert more is not None
    simulations = 4000
    draw = np.random.default_rng(6)

    def decided(blocks: int) -> float:
        """Return the share of decided comparisons by the test that decides more often, because one test
        suffices.
        """
        rows = draw.normal(mean, sd, (simulations, blocks))
        found = compare_pairs(np.zeros_like(rows), rows, MARGIN, 0.95)
        different = float(np.mean([one.p < LEVEL for one in found]))
        return max(different, float(np.mean([one.p_equivalent < LEVEL for one in found])))

    assert decided(5 + more) >= least(POWER, simulations)
    assert decided(5 + more // 2) < POWER


def test_more_tests_need_more_blocks() -> None:
    few, many = (statistics.more_blocks(paired(0.2, 0.4, 5), MARGIN, tests) for tests in (1, 10))
    assert few is not None
    assert many is not None
    assert few < many


def test_unreasonable_number_of_blocks_is_not_given() -> None:
    """Exactly at the margin nothing is equivalent, and a small effect in strong noise is not found."""
    assert statistics.more_blocks(paired(MARGIN, 20.0, 10), MARGIN, tests=1) is None
    assert statistics.more_blocks(paired(0.0, 20.0, 10), MARGIN, tests=1) is None


@given(st.floats(-3, 3), st.floats(1e-3, 10), st.integers(3, 5000))
def test_more_blocks_is_at_least_one_and_feasible_or_none(mean: float, sd: float, pairs: int) -> None:
    more = statistics.more_blocks(paired(mean, sd, pairs), MARGIN, tests=3)
    assert more is None or 1 <= more <= statistics.MOST_MORE_BLOCKS


# -- accuracy of guessing ----------------------------------------------------------------------------


def test_interval_of_guessing_is_exact() -> None:
    """By Clopper and Pearson, each end is the share for which a count this large or small has probability
    2.5%.
    """
    low, high, p = statistics.guessing(540, 1000)
    assert stats.binom.sf(539, 1000, low) == pytest.approx(0.025)
    assert stats.binom.cdf(540, 1000, high) == pytest.approx(0.025)
    assert p == pytest.approx(2 * stats.binom.sf(539, 1000, 0.5))


def test_fair_coins_are_called_unfair_no_more_often_than_the_level_allows() -> None:
    draw = np.random.default_rng(7)
    correct = draw.binomial(300, 0.5, 200)
    alarms = np.mean([statistics.guessing(int(c), 300)[2] < LEVEL for c in correct])
    assert alarms <= most(LEVEL, 200)


@pytest.mark.parametrize("correct", [0, 10])
def test_all_wrong_and_all_right_have_an_interval(correct: int) -> None:
    low, high, p = statistics.guessing(correct, 10)
    assert 0 <= low <= correct / 10 <= high <= 1
    assert p == pytest.approx(2 * 0.5**10)


# -- spread, outliers, drift -------------------------------------------------------------------------


def test_robust_variation_of_normal_noise_is_its_relative_standard_deviation() -> None:
    values = np.random.default_rng(8).normal(2.0, 0.3, 20_000)
    assert statistics.robust_variation(values) == pytest.approx(0.15, rel=0.05)


def test_one_extreme_value_hardly_changes_the_robust_variation() -> None:
    values = np.random.default_rng(9).normal(2.0, 0.02, 20)
    assert statistics.robust_variation(np.append(values, 50.0)) < 0.05


def test_slow_run_among_even_ones_is_an_outlier() -> None:
    values = np.random.default_rng(10).normal(1.0, 0.01, 20)
    values[7] = 1.5
    assert np.flatnonzero(statistics.outliers(values)).tolist() == [7]


def test_outlier_among_equal_values_is_found() -> None:
    assert statistics.outliers(np.array([1.0] * 9 + [2.0])).tolist() == [False] * 9 + [True]


@pytest.mark.parametrize("values", [[1.0, 1.0, 9.0], [1.0] * 9 + [1.04], [1.0] * 9])
def test_few_values_and_tiny_distances_are_no_outliers(values: list[float]) -> None:
    assert not statistics.outliers(np.array(values)).any()


def test_even_noise_has_few_outliers() -> None:
    """The limit is 3.5 standard deviations of a normal distribution, estimated from 20 values."""
    draw = np.random.default_rng(11)
    labelled = [statistics.outliers(np.exp(draw.normal(0, 0.1, 20))).any() for _ in range(500)]
    assert np.mean(labelled) < 0.2


@given(arrays.arrays(float, st.integers(0, 30), elements=st.floats(1e-6, 1e6)), st.floats(1e-3, 1e3))
def test_outliers_do_not_depend_on_the_unit_when_all_is_clear_cut(values: Floats, unit: float) -> None:
    rounded = np.exp2(np.round(np.log2(values))) if len(values) else values
    assert (
        statistics.outliers(rounded) == statistics.outliers(rounded * np.exp2(round(math.log2(unit))))
    ).all()


def test_drift_is_found_and_has_its_sign() -> None:
    draw = np.random.default_rng(12)
    values = np.linspace(1.0, 1.3, 20) + draw.normal(0, 0.01, 20)
    rho, p = statistics.drift(values)
    assert rho > 0.9
    assert p < 0.01
    assert statistics.drift(values[::-1])[0] == pytest.approx(-rho)


def test_drift_over_another_order_is_that_orders() -> None:
    values = np.array([1.0, 3.0, 2.0] * 6)
    positions = np.array([1.0, 3.0, 2.0] * 6)
    assert statistics.drift(values, positions)[0] == pytest.approx(1.0)
    assert statistics.drift(values)[1] > 0.01


def test_noise_drifts_no_more_often_than_the_level_allows() -> None:
    draw = np.random.default_rng(13)
    for runs in (8, 20):
        alarms = np.mean([statistics.drift(draw.normal(size=runs))[1] < 0.01 for _ in range(500)])
        assert alarms <= most(0.01, 500)


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [1.0] * 20, []])
def test_too_few_or_equal_values_do_not_drift(values: list[float]) -> None:
    assert statistics.drift(np.array(values)) == (0.0, 1.0)
