"""Quantile functions, which turn uniform random numbers into numbers of other distributions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special


def gamma(shares: Any, alpha: Any) -> Any:
    """Return the quantiles of gamma distributions of scale 1. The arguments broadcast.

    shares: numbers from 0 to 1.
    alpha: the shapes of the distributions, greater than 0.
    """
    return scipy.special.gammaincinv(alpha, shares)


def beta(shares: Any, alpha: Any, beta: Any) -> Any:
    """Return the quantiles of beta distributions."""
    return scipy.special.betaincinv(alpha, beta, shares)


def binomial(shares: Any, counts: Any, probabilities: Any) -> Any:
    """Return the quantiles of binomial distributions, as float64.

    counts: the numbers of trials, at least 0.
    probabilities: the probabilities of success in a trial.
    """
    from scipy.stats import binom

    return np.maximum(binom.ppf(shares, counts, probabilities), 0.0)


def slopes_of_gamma(inputs: Sequence[Any], outputs: Sequence[Any], upstream: Sequence[Any]) -> list[Any]:
    """Return the gradients of gamma quantiles, for graphs. A quantile moves with the parameter in such a way
    that its share stays the same.
    """
    import pytensor.tensor as pt

    alpha = inputs[1]
    x = pt.maximum(outputs[0], np.finfo("float64").tiny)
    density = pt.exp((alpha - 1) * pt.log(x) - x - pt.gammaln(alpha))
    return [None, -upstream[0] * _change(pt.gammainc, [alpha, x], 0) / density]


def slopes_of_beta(inputs: Sequence[Any], outputs: Sequence[Any], upstream: Sequence[Any]) -> list[Any]:
    """Return the gradients of beta quantiles, for graphs."""
    import pytensor.tensor as pt

    _, alpha, beta = inputs
    x = pt.clip(outputs[0], np.finfo("float64").tiny, 1 - np.finfo("float64").epsneg)
    logarithm = (alpha - 1) * pt.log(x) + (beta - 1) * pt.log1p(-x)
    density = pt.exp(logarithm + pt.gammaln(alpha + beta) - pt.gammaln(alpha) - pt.gammaln(beta))
    return [None, *[-upstream[0] * _change(pt.betainc, [alpha, beta, x], n) / density for n in range(2)]]


def _change(share: Any, arguments: list[Any], place: int) -> Any:
    """Return the derivative of a distribution function with respect to one of its arguments."""
    import pytensor
    from pytensor.gradient import disconnected_grad

    fixed = [disconnected_grad(argument) for argument in arguments]
    return pytensor.grad(share(*fixed).sum(), fixed[place])
