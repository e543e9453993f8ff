"""Each layer, and some networks of several layers, trains on Theano to the weights that it has on JAX and on
TensorFlow.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracles import layers_to_train
from oracles.backends import trained

# Training and compiling all models that CI leaves out takes a backend some minutes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


# JAX takes some seconds to compile each model, so CI trains one of each kind, in the tier that is the
# default. The rest is in the extended tests, and so are all models on TensorFlow.
IN_CI = (
    "Conv2D in groups",
    "LSTM, masked",
    "network: transformer",
)
TIERS = ("interpreter", "native")
MODELS = [
    pytest.param(
        name,
        other,
        tier,
        marks=[] if name in IN_CI and (other, tier) == ("jax", "native") else pytest.mark.extended,
        id=f"{name} on {other}-{tier}",
    )
    for tier in TIERS
    for other in ("jax", "tensorflow")
    for name in layers_to_train.MODELS
    if other != "jax" or name not in layers_to_train.NOT_AS_ON_JAX
]
# Returns the weights of the models that are in CI, or of the others, in a tier or on another backend.
Weights = Callable[[bool, str], dict[str, Any]]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    def made(in_ci: bool, where: str) -> dict[str, Any]:
        names = [
            name
            for name in layers_to_train.MODELS
            if (name in IN_CI) == in_ci and not (where == "jax" and name in layers_to_train.NOT_AS_ON_JAX)
        ]
        script = Path(layers_to_train.__file__)
        backend, mode = ("theano", where) if where in TIERS else (where, "interpreter")
        return trained(backend, tmp_path_factory.mktemp("layers"), script, *names, mode=mode)

    return cache(made)


def test_names_of_models_are_names_of_models() -> None:
    assert set(IN_CI) < set(layers_to_train.MODELS)
    assert set(layers_to_train.MODELS) > layers_to_train.NOT_AS_ON_JAX


@pytest.mark.parametrize(("name", "other", "tier"), MODELS)
def test_weights_after_training_are_those_of_other_backends(
    name: str, other: str, tier: str, weights: Weights
) -> None:
    theano, theirs = (weights(name in IN_CI, where) for where in (tier, other))
    ours = {key: value for key, value in theano.items() if key.startswith(f"{name}/")}
    assert len(ours) > 2
    for key, value in ours.items():
        assert np.isfinite(value).all()
        np.testing.assert_allclose(value, theirs[key], rtol=1e-5, atol=1e-5, err_msg=key)
