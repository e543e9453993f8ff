"""The initial weights are the same for every backend, and fit the network."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendexp import cache
from backendexp.worker import arrays
from backendexp.worker.models import mlp

widths = st.lists(st.integers(1, 30), min_size=1, max_size=4)
seeds = st.integers(0, 2**32 - 1)


@given(st.integers(1, 30), widths, seeds)
def test_weights_have_the_shapes_of_the_network(features: int, hidden: list[int], seed: int) -> None:
    weights = mlp.draw_weights({"hidden_units": hidden}, features, seed)
    inner, outer = [features, *hidden], [*hidden, 1]
    expected = [shape for i, o in zip(inner, outer, strict=True) for shape in ((i, o), (o,))]
    assert [w.shape for w in weights] == expected
    assert {w.dtype for w in weights} == {np.dtype("float32")}


@given(st.integers(1, 30), widths, seeds)
def test_kernels_lie_within_glorots_limit_and_biases_are_zero(
    features: int, hidden: list[int], seed: int
) -> None:
    weights = mlp.draw_weights({"hidden_units": hidden}, features, seed)
    for kernel, bias in zip(weights[0::2], weights[1::2], strict=True):
        limit = np.float32((6.0 / sum(kernel.shape)) ** 0.5)
        assert (np.abs(kernel) <= limit).all()
        assert (bias == 0).all()


@given(seeds)
def test_seed_decides_the_weights(seed: int) -> None:
    first, again = (arrays.digest(mlp.draw_weights({"hidden_units": [4]}, 5, seed)) for _ in range(2))
    assert first == again
    assert first != arrays.digest(mlp.draw_weights({"hidden_units": [4]}, 5, (seed + 1) % 2**32))


@given(seeds, st.integers(1, 20))
def test_probe_moves_every_kernel_entry_by_one_rounding_and_no_bias(seed: int, probe: int) -> None:
    weights, moved = (
        mlp.draw_weights({"hidden_units": [5, 3]}, 6, seed),
        mlp.draw_weights({"hidden_units": [5, 3]}, 6, seed, probe),
    )
    for kernel, other in zip(weights[0::2], moved[0::2], strict=True):
        up, down = (np.nextafter(kernel, np.float32(end)) for end in (np.inf, -np.inf))
        assert ((other == up) | (other == down)).all()
    for bias, other in zip(weights[1::2], moved[1::2], strict=True):
        assert (bias == other).all()


def test_probes_move_in_different_directions() -> None:
    assert (
        len({arrays.digest(mlp.draw_weights({"hidden_units": [5]}, 6, 0, probe)) for probe in range(5)}) == 5
    )


def test_weights_do_not_change_between_releases() -> None:
    assert (
        arrays.digest(mlp.draw_weights({"hidden_units": [64, 64]}, 20, 0))
        == "90cb80360b6add26a47fab1c7d5078ed94cac83569ec56c0aaa3318426ed8228"
    )


SCRIPT = """
import os, sys
sys.path.insert(0, os.environ["PACKAGE"])
from worker import arrays
from worker.models import mlp as kind

import keras.layers

calls, call = [], keras.layers.Dense.__call__
keras.layers.Dense.__call__ = lambda self, *args, **kwargs: calls.append(self) or call(self, *args, **kwargs)
rest = {"activation": "relu", "dropout": 0.5, "output_activation": "sigmoid"}
kind.build(dict(rest, hidden_units=[2] * 20), 8)
assert len(calls) <= 2 * 21, "the layers are built anew for each that is added: %d" % len(calls)
del keras.layers.Dense.__call__

mlp = kind.build(dict(rest, hidden_units=[16, 4]), 8)
drawn = kind.draw_weights({"hidden_units": [16, 4]}, 8, 3)
mlp.set_weights(drawn)
assert arrays.digest(mlp.get_weights()) == arrays.digest(drawn)
names = [layer.__class__.__name__ for layer in mlp.layers]
print(names, mlp.output_shape, [layer.rate for layer in mlp.layers[1::2]])
"""


@pytest.mark.parametrize("runtime", ["keras3", "keras2"])
def test_network_takes_the_drawn_weights_in_both_generations(
    runtime: str, request: pytest.FixtureRequest
) -> None:
    python = sys.executable if runtime == "keras3" else request.getfixturevalue("keras2_python")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {
        "KERAS_BACKEND": "jax" if runtime == "keras3" else "tensorflow",
        "KERAS_HOME": str(cache.folder("keras", runtime)),
        "PACKAGE": str(Path(mlp.__file__).parents[2]),
    }
    answer = subprocess.run([python, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    layers = ["Dense", "Dropout", "Dense", "Dropout", "Dense"]
    assert answer.stdout.splitlines()[-1] == f"{layers} (None, 1) [0.5, 0.5]"
