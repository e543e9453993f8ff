"""How often chance alone may lead a simulation astray."""

from scipy import stats

# How often a test of a rate would fail by chance, were it repeated with other random numbers.
CHANCE_OF_A_FALSE_ALARM = 1e-3


def most(rate: float, trials: int) -> float:
    """The greatest share of `trials` that an event of this rate is expected to come to."""
    return float(stats.binom.isf(CHANCE_OF_A_FALSE_ALARM, trials, rate)) / trials
