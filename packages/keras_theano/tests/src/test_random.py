"""Random numbers follow their distributions, and depend on nothing but the seed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor
import pytest
import scipy.stats
from keras import random

from keras_theano.execution.interpreter import INTERPRETED
from keras_theano.tracing.tensor import Tensor, as_node
from keras_theano.tracing.trace import Trace, opened
from oracles.tracing import gradient_of

N = 40_000
# Each test would reject a correct generator once in a million times.
UNLIKELY = 1e-6

DISTRIBUTIONS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "uniform": (lambda seed: random.uniform((N,), 2.0, 5.0, seed=seed), scipy.stats.uniform(2, 3)),
    "normal": (lambda seed: random.normal((N,), 1.0, 2.0, seed=seed), scipy.stats.norm(1, 2)),
    "truncated_normal": (
        lambda seed: random.truncated_normal((N,), 1.0, 2.0, seed=seed),
        scipy.stats.truncnorm(-2, 2, 1, 2),
    ),
    "gamma": (lambda seed: random.gamma((N,), 3.0, seed=seed), scipy.stats.gamma(3)),
    "gamma near 0": (lambda seed: random.gamma((N,), 0.2, seed=seed), scipy.stats.gamma(0.2)),
    "beta": (lambda seed: random.beta((N,), 2.0, 3.0, seed=seed), scipy.stats.beta(2, 3)),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("seed", [0, 1, 4_000_000_000])
def test_numbers_follow_their_distribution(name: str, seed: int) -> None:
    draw, expected = DISTRIBUTIONS[name]
    numbers = np.asarray(draw(seed))
    assert numbers.dtype == "float32"
    assert scipy.stats.kstest(numbers, expected.cdf).pvalue > UNLIKELY


@pytest.mark.parametrize("name", ["uniform", "normal"])
def test_neighbouring_seeds_and_numbers_do_not_correlate(name: str) -> None:
    draw, _ = DISTRIBUTIONS[name]
    a, b = draw(7), draw(8)
    assert scipy.stats.pearsonr(a, b).pvalue > UNLIKELY
    assert scipy.stats.pearsonr(a[1:], a[:-1]).pvalue > UNLIKELY
    assert not np.array_equal(a, b)


def test_each_state_of_a_generator_gives_different_numbers() -> None:
    generator = random.SeedGenerator(5)
    a, b = (random.uniform((N,), seed=generator) for _ in range(2))
    assert scipy.stats.pearsonr(a, b).pvalue > UNLIKELY
    np.testing.assert_array_equal(a, random.uniform((N,), seed=random.SeedGenerator(5)))


def test_integers_are_spread_evenly_over_their_range() -> None:
    numbers = random.randint((N,), -2, 5, seed=3)
    values, counts = np.unique(numbers, return_counts=True)
    assert values.tolist() == list(range(-2, 5))
    assert numbers.dtype == "int32"
    assert scipy.stats.chisquare(counts).pvalue > UNLIKELY


def test_categories_are_drawn_with_their_probabilities() -> None:
    shares = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
    with np.errstate(divide="ignore"):
        drawn = random.categorical(np.log(shares).astype("float32"), N, seed=2)
    assert drawn.shape == (2, N)
    for row, probabilities in zip(drawn, shares, strict=True):
        counts = np.bincount(row, minlength=3)
        assert (counts[probabilities == 0] == 0).all()
        kept = probabilities > 0
        assert scipy.stats.chisquare(counts[kept], probabilities[kept] * N).pvalue > UNLIKELY


def test_dropout_drops_its_share_and_scales_the_rest() -> None:
    kept = random.dropout(np.ones((200, 200), "float32"), 0.3, seed=1)
    assert set(np.unique(kept)) == {0.0, np.float32(1 / 0.7)}
    assert scipy.stats.binomtest(int((kept == 0).sum()), kept.size, 0.3).pvalue > UNLIKELY
    rows = random.dropout(np.ones((100, 5), "float32"), 0.5, noise_shape=(None, 1), seed=1)
    assert all(len(set(row)) == 1 for row in rows)
    assert len(np.unique(rows)) == 2


def test_shuffle_changes_the_order_of_the_rows_and_loses_none() -> None:
    x = np.arange(60).reshape(20, 3)
    mixed = random.shuffle(x, axis=0, seed=4)
    assert not np.array_equal(mixed, x)
    np.testing.assert_array_equal(np.sort(mixed, axis=0), x)


DRAWS: dict[str, Callable[[Any], Any]] = {
    "uniform": lambda seed: random.uniform((50, 3), seed=seed),
    "uniform in double precision": lambda seed: random.uniform((50,), dtype="float64", seed=seed),
    "normal": lambda seed: random.normal((7, 2), seed=seed),
    "truncated_normal": lambda seed: random.truncated_normal((99,), seed=seed),
    "randint": lambda seed: random.randint((50,), 0, 1000, seed=seed),
    "categorical": lambda seed: random.categorical(np.zeros((4, 6), "float32"), 5, seed=seed),
    "dropout": lambda seed: random.dropout(np.ones((30, 4), "float32"), 0.5, seed=seed),
    "gamma": lambda seed: random.gamma((9, 2), np.array([0.3, 4.0], "float32"), seed=seed),
    "beta": lambda seed: random.beta((20,), 0.5, 2.0, seed=seed),
    "binomial": lambda seed: random.binomial((20,), 9, 0.4, dtype="int32", seed=seed),
    "shuffle": lambda seed: random.shuffle(np.arange(30, dtype="int32"), seed=seed),
}


@pytest.mark.parametrize("name", DRAWS)
def test_compiled_code_draws_what_eager_code_draws(name: str) -> None:
    draw = DRAWS[name]
    generator, twin = random.SeedGenerator(11), random.SeedGenerator(11)
    trace = Trace()
    with opened(trace):
        drawn = draw(generator)
        assert isinstance(drawn, Tensor)
        updates = [(variable.shared, as_node(value)) for variable, value in trace.updates]
    compiled = pytensor.function([], as_node(drawn), updates=updates, mode=INTERPRETED)
    for _ in range(3):
        ours, expected = compiled(), draw(twin)
        assert ours.dtype == expected.dtype
        np.testing.assert_allclose(ours, expected, rtol=1e-6)
    np.testing.assert_array_equal(generator.state.numpy(), twin.state.numpy())


def test_successes_follow_the_binomial_distribution() -> None:
    drawn = random.binomial((N,), 6, 0.3, seed=4)
    counts = np.bincount(drawn.astype("int64"), minlength=7)
    assert counts.size == 7
    expected = scipy.stats.binom(6, 0.3).pmf(range(7)) * N
    assert scipy.stats.chisquare(counts, expected).pvalue > UNLIKELY
    np.testing.assert_array_equal(random.binomial((3,), [0, 5, 5], [0.5, 0.0, 1.0], seed=4), [0, 0, 5])


def test_parameters_broadcast_to_the_shape() -> None:
    drawn = random.gamma((N, 2), np.array([1.0, 50.0], "float32"), seed=4)
    np.testing.assert_allclose(drawn.mean(0), [1, 50], rtol=0.05)
    drawn = random.beta((2, N), [[1.0], [2.0]], 1.0, seed=4)
    np.testing.assert_allclose(drawn.mean(1), [1 / 2, 2 / 3], rtol=0.05)


@pytest.mark.parametrize("parameters", [(2.5,), (0.4,), (2.0, 3.0), (0.5, 0.7)])
def test_numbers_move_with_their_parameters_as_quantiles_do(parameters: tuple[float, ...]) -> None:
    arrays = [np.full(20, value) for value in parameters]
    draw = random.gamma if len(arrays) == 1 else random.beta
    gradient_of(lambda *values: draw((20,), *values, dtype="float64", seed=9), *arrays, tolerance=1e-4)
