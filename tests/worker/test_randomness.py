"""Whatever a model draws at random can be switched off, and what remains is named."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backendexp import cache, worker

SCRIPT = Path(__file__).parents[1] / "support" / "quiet_models.py"


def told(runtime: str, backend: str, python: str) -> dict[str, Any]:
    """Return what support/quiet_models.py tells of its models."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {
        "KERAS_BACKEND": backend,
        "KERAS_HOME": str(cache.folder("keras", runtime)),
        "PACKAGE": str(Path(worker.__file__).parents[1]),
        # Theano computes with NumPy then, because compiling C would take a minute.
        "THEANO_FLAGS": f"mode=FAST_COMPILE,cxx=,base_compiledir={cache.folder('compiled', 'quiet-models')}",
    }
    answer = subprocess.run([python, str(SCRIPT)], env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    told: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return told


@pytest.fixture(scope="module")
def on_keras_3() -> dict[str, Any]:
    return told("keras3", "theano", sys.executable)


QUIET = ["feed_forward", "recurrent", "normalised", "pooled"]


def test_dropout_and_noise_are_off_wherever_they_are_nested(on_keras_3: dict[str, Any]) -> None:
    for name in (*QUIET, "attention"):
        assert on_keras_3["off"][name]["alike"], name
        assert on_keras_3["off"][name]["random"] == [], name


def test_layers_that_drop_are_told_while_they_do(on_keras_3: dict[str, Any]) -> None:
    assert sorted(on_keras_3["before"]["feed_forward"]) == [
        *("AlphaDropout", "GaussianDropout", "GaussianNoise", "OwnDropout")
    ]
    assert {"SpatialDropout1D", "Dropout", "LSTMCell", "GRUCell"} <= set(on_keras_3["before"]["recurrent"])


@pytest.mark.parametrize(("model", "layer"), [("drawing", "OwnNoise"), ("flipping", "RandomFlip")])
def test_layer_that_is_random_otherwise_is_named(model: str, layer: str, on_keras_3: dict[str, Any]) -> None:
    assert on_keras_3["off"][model]["random"] == [layer]


def test_layers_that_the_generations_compute_differently_are_named(on_keras_3: dict[str, Any]) -> None:
    variance, slope = sorted(on_keras_3["off"]["normalised"]["unlike"])
    assert variance.startswith("Keras 2.3.1 keeps the variance of a sample")
    assert slope.startswith("hard_sigmoid rises by 1/5 in Keras 2.3.1")
    assert on_keras_3["off"]["recurrent"]["unlike"] == []
    assert on_keras_3["engine"] is None


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "theano"])
def test_dropout_and_noise_are_off_in_keras_2_too(backend: str, keras2_python: str) -> None:
    found = told("keras2", backend, keras2_python)
    for name in QUIET:
        assert found["off"][name]["alike"], name
        assert found["off"][name]["random"] == [], name
    assert (found["engine"] is not None) == (backend == "theano")
