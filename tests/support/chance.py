"""Bounds for tests of simulations, which chance alone rarely exceeds."""

from scipy import stats

# The probability that a test of a rate fails by chance, if it is repeated with other random numbers.
CHANCE_OF_A_FALSE_ALARM = 1e-3


def most(rate: float, trials: int) -> float:
    """Return the largest share of `trials` in which an event of this rate may plausibly occur."""
    return float(stats.binom.isf(CHANCE_OF_A_FALSE_ALARM, trials, rate)) / trials
