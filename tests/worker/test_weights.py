"""The initial weights that every backend starts from, for models that two generations of Keras build."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendexp import cache, worker
from backendexp.worker import weights

SCRIPT = Path(__file__).parents[1] / "support" / "drawn_weights.py"
MLP = "90cb80360b6add26a47fab1c7d5078ed94cac83569ec56c0aaa3318426ed8228"


def drawn(runtime: str, backend: str, python: str) -> dict[str, Any]:
    """What support/drawn_weights.py tells of its models, by their names."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {
        "KERAS_BACKEND": backend,
        "KERAS_HOME": str(cache.folder("keras", runtime)),
        "PACKAGE": str(Path(worker.__file__).parents[1]),
        # Theano computes with NumPy then. Compiling C would take a minute and draws the same weights.
        "THEANO_FLAGS": f"mode=FAST_COMPILE,cxx=,base_compiledir={cache.folder('compiled', 'drawn-weights')}",
    }
    answer = subprocess.run([python, str(SCRIPT)], env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    models: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return models


@pytest.fixture(scope="module")
def on_keras_3() -> dict[str, Any]:
    return drawn("keras3", "theano", sys.executable)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["theano", pytest.param("tensorflow", marks=pytest.mark.extended)])
def test_both_generations_draw_the_same_weights(
    backend: str, on_keras_3: dict[str, Any], keras2_python: str
) -> None:
    on_keras_2 = drawn("keras2", backend, keras2_python)
    assert on_keras_2 == {name: on_keras_3[name] for name in on_keras_2}
    assert set(on_keras_3) - set(on_keras_2) <= {"separable", "attention"}


def test_weights_of_the_mlp_do_not_change_between_releases(on_keras_3: dict[str, Any]) -> None:
    assert on_keras_3["mlp"]["digest"] == MLP


def test_order_follows_the_graph_and_each_weight_comes_once(on_keras_3: dict[str, Any]) -> None:
    assert on_keras_3["branches"]["shapes"] == [[5, 7], [7], [7, 2], [2], [4, 3], [3], [10, 2], [2]]
    assert on_keras_3["shared"]["shapes"] == [[5, 5], [5], [5, 4], [4], [8, 1], [1]]


def test_initializers_of_keras_are_followed_and_constants_stay(on_keras_3: dict[str, Any]) -> None:
    kernels = on_keras_3["all_initializers"]["spread"][::2]  # the others are biases
    normal, uniform, cut, orthogonal, scaled, constant, zeros, ones, lecun, identity = map(tuple, kernels)
    assert normal == pytest.approx((0.5, 2.0), abs=0.2)
    assert uniform == pytest.approx((1.0, 4 / 12**0.5), abs=0.2)
    assert cut == pytest.approx((1.0, 0.5 * 0.8796), abs=0.05)
    assert orthogonal == pytest.approx((0.0, 2.0 / 40**0.5), abs=0.05)
    assert scaled == pytest.approx((0.0, (2 / 40) ** 0.5), abs=0.02)
    assert lecun == pytest.approx((0.0, (1 / 40) ** 0.5), abs=0.02)
    assert [constant, zeros, ones] == [(0.25, 0), (0, 0), (1, 0)]
    assert identity[0] == pytest.approx(0.5 / 40)


def test_initializer_of_the_users_own_decides_its_weight(on_keras_3: dict[str, Any]) -> None:
    """Its class extends one of Keras's, and the layer keeps none of its initializers in an attribute."""
    assert on_keras_3["custom"]["shapes"] == [[5, 3], [3], [3, 2], [2]]
    assert on_keras_3["custom"]["spread"][1][0] == pytest.approx(0.37)
    assert 0.3 < on_keras_3["custom"]["spread"][0][1] < 1.0  # he_uniform of 5 inputs: 0.63


def test_probe_moves_what_is_random_by_one_rounding_and_no_constant(on_keras_3: dict[str, Any]) -> None:
    for name, model in on_keras_3.items():
        assert model["greatest_move_in_roundings"] == 1.0, name
        assert model["constants_moved"] == 0, name
        assert model["probes"] == 3, name


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_orthogonal_matrix_is_orthogonal(rows: int, columns: int, seed: int) -> None:
    found = weights._orthogonal(np.random.RandomState(seed), (rows, columns), 2.0)
    small = found.T @ found if rows >= columns else found @ found.T
    assert np.allclose(small, 4.0 * np.eye(min(rows, columns)), atol=1e-8)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((), (1, 1)), ((7,), (7, 7)), ((5, 4), (5, 4)), ((3, 5, 4), (15, 12)), ((3, 3, 5, 4), (45, 36))],
)
def test_fans_are_those_of_keras(shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    assert weights.fans(shape) == expected


def test_initializer_that_is_not_of_keras_draws_nothing() -> None:
    own = SimpleNamespace(distribution="uniform", mode="fan_in", scale=1.0)
    assert weights._drawn(np.random.RandomState(0), own, (3, 3)) is None
