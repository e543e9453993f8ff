"""Each layer trains on Theano to the weights that it has on JAX."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracles import layers_to_train

pytestmark = pytest.mark.slow


def trained(backend: str, folder: Path) -> dict[str, Any]:
    path = folder / f"{backend}.npz"
    environment = {**os.environ, "KERAS_BACKEND": backend, "KERAS_HOME": str(folder), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [sys.executable, layers_to_train.__file__, str(path)],
        env={**environment, "KERAS_THEANO_MODE": "interpreter"},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    return dict(np.load(path))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("layers")
    return {backend: trained(backend, folder) for backend in ("theano", "jax")}


@pytest.mark.parametrize("name", layers_to_train.MODELS)
def test_weights_after_training_are_those_of_jax(name: str, weights: dict[str, dict[str, Any]]) -> None:
    ours = {key: value for key, value in weights["theano"].items() if key.startswith(f"{name}/")}
    assert len(ours) > 2
    for key, value in ours.items():
        assert np.isfinite(value).all()
        np.testing.assert_allclose(value, weights["jax"][key], rtol=1e-5, atol=1e-5, err_msg=key)
