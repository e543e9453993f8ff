"""Each layer trains on Theano to the weights that it has on JAX."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracles import layers_to_train
from oracles.backends import trained

pytestmark = pytest.mark.slow


# JAX takes some seconds to compile each model, so CI trains one or two of each kind. The others are in the
# extended tests.
IN_CI = (
    "MaxPooling1D",
    "AveragePooling2D",
    "AdaptiveAveragePooling1D",
    "Conv2D in groups",
    "DepthwiseConv1D",
    "SeparableConv2D",
    "Conv2DTranspose",
    "LSTM, masked",
    "GRU",
    "Bidirectional",
    "RNN of several cells",
    "RNN of a user's cell",
    "ConvLSTM1D",
)
MODELS = [
    pytest.param(name, marks=[] if name in IN_CI else pytest.mark.extended) for name in layers_to_train.MODELS
]
TIERS = ["interpreter", "native"]
# Returns the weights in each tier, and on JAX, of the models that are in CI, or of the others.
Weights = Callable[[bool], dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    def made(in_ci: bool) -> dict[str, dict[str, Any]]:
        folder = tmp_path_factory.mktemp("layers")
        names = [name for name in layers_to_train.MODELS if (name in IN_CI) == in_ci]
        script = Path(layers_to_train.__file__)
        ours = {tier: trained("theano", folder, script, *names, mode=tier) for tier in TIERS}
        return {**ours, "jax": trained("jax", folder, script, *names)}

    return cache(made)


def test_models_of_ci_are_models() -> None:
    assert set(IN_CI) < set(layers_to_train.MODELS)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", MODELS)
def test_weights_after_training_are_those_of_jax(name: str, tier: str, weights: Weights) -> None:
    made = weights(name in IN_CI)
    ours = {key: value for key, value in made[tier].items() if key.startswith(f"{name}/")}
    assert len(ours) > 2
    for key, value in ours.items():
        assert np.isfinite(value).all()
        np.testing.assert_allclose(value, made["jax"][key], rtol=1e-5, atol=1e-5, err_msg=key)
