"""Sequential tests keep their promise although one looks after every block, and stops at will."""

import math

import numpy as np
import pytest

from backendexp.analysis import statistics
from backendexp.analysis.statistics import LEVEL, Floats
from support.chance import most

MARGIN = math.log(1.1)
# The blocks after which one looks.
LOOKS = range(3, 61)


def differences(effect: float, simulations: int, sd: float = 0.1, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(effect, sd, (simulations, LOOKS[-1]))


def looked_at(rows: Floats, sequential: bool = True, looks: range = LOOKS) -> dict[str, Floats]:
    """Return what is seen at each look, with the shape (simulations, looks)."""
    seen: dict[str, list[list[float]]] = {"p": [], "p_equivalent": [], "low": [], "high": []}
    for blocks in looks:
        part = rows[:, :blocks]
        found = statistics.compare_pairs(
            np.zeros_like(part), part, np.full(len(part), MARGIN), 1 - LEVEL, sequential
        )
        for name, values in seen.items():
            values.append([getattr(one, name) for one in found])
    return {name: np.array(values).T for name, values in seen.items()}


def ever(hits: Floats) -> float:
    return float(np.mean(hits.any(axis=1)))


def assert_few_false_alarms(simulations: int) -> None:
    seen = looked_at(differences(0.0, simulations))
    assert ever(seen["p"] < LEVEL) <= most(LEVEL, simulations)
    assert ever((seen["low"] > 0) | (seen["high"] < 0)) <= most(LEVEL, simulations)
    # A difference at the margin is the most that is not equivalent.
    for effect in (MARGIN, -MARGIN):
        seen = looked_at(differences(effect, simulations, seed=1))
        assert ever(seen["p_equivalent"] < LEVEL) <= most(LEVEL, simulations)


def test_differences_are_seen_where_there_are_none_no_more_often_than_the_level_allows() -> None:
    assert_few_false_alarms(400)


@pytest.mark.slow
def test_false_alarms_are_few_in_many_simulations() -> None:
    assert_few_false_alarms(4000)


def test_students_test_raises_more_false_alarms_when_one_looks_often() -> None:
    """This is why an extended comparison needs another test."""
    seen = looked_at(differences(0.0, 400), sequential=False)
    assert ever(seen["p"] < LEVEL) > 3 * LEVEL


def test_p_and_interval_agree() -> None:
    seen = looked_at(differences(0.08, 200), looks=range(3, 30))
    np.testing.assert_array_equal(seen["p"] < LEVEL, (seen["low"] > 0) | (seen["high"] < 0))


def test_real_differences_and_equivalences_are_found() -> None:
    simulations = 300
    assert ever(looked_at(differences(0.1, simulations))["p"] < LEVEL) > 0.95
    assert ever(looked_at(differences(0.0, simulations, sd=0.05))["p_equivalent"] < LEVEL) > 0.95


def test_equal_differences_are_exact() -> None:
    (same,) = statistics.compare_pairs(np.ones((1, 5)), np.ones((1, 5)), np.array([MARGIN]), 0.95, True)
    assert (same.p, same.p_equivalent) == (1.0, 0.0)


@pytest.mark.parametrize("effect", [0.02, 0.05, 0.1])
def test_number_of_further_blocks_leads_to_a_decision_if_nothing_changes(effect: float) -> None:
    rows = np.array([[effect - 0.05, effect + 0.05] * 3])
    (paired,) = statistics.compare_pairs(np.zeros_like(rows), rows, np.array([MARGIN]), 0.95, True)
    more = statistics.more_blocks_sequential(paired, MARGIN, tests=1)
    assert more is not None
    # With as many blocks of the same mean and spread, the test decides; with one less it does not.
    for blocks, decides in ((6 + more, True), (6 + more - 1, False)):
        t = paired.mean / paired.sd * math.sqrt(blocks)
        room = (MARGIN - abs(paired.mean)) / paired.sd * math.sqrt(blocks)
        smallest = min(
            float(statistics._p_sequential(np.array(t), blocks)),
            float(statistics._p_sequential(np.array(room), blocks)) if room > 0 else 1.0,
        )
        assert (smallest < LEVEL) == decides


@pytest.mark.slow
def test_variance_of_the_expected_effects_suits_small_and_large_effects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A decision takes at most a third more blocks than with the variance that suits the effect best."""

    def blocks_needed(variance: float, effect: float) -> float:
        monkeypatch.setattr(statistics, "_EFFECT", variance)
        hits = looked_at(differences(effect * 0.1, 400))["p"] < LEVEL
        first = np.where(hits.any(axis=1), hits.argmax(axis=1), len(LOOKS)) + LOOKS[0]
        return float(first.mean())

    own = statistics._EFFECT
    for effect in (0.7, 1.0, 2.0, 4.0):
        best = min(blocks_needed(variance, effect) for variance in (0.1, 0.3, 1.0, 3.0, 10.0))
        assert blocks_needed(own, effect) <= 1.34 * best
