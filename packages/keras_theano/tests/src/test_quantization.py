"""Quantized models compute, train and save as on JAX."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracles import quantized_models
from oracles.backends import trained

# How many arrays each mode gives: weights, predictions and losses.
COUNTS = {
    **{"int8": 47, "int8 weights": 47, "int4": 47, "int4 in blocks": 71},
    **{"float8": 83, "gptq": 28, "gptq in groups": 28, "awq": 33},
}


@pytest.fixture(scope="module")
def results_on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], dict[str, Any]]]:
    """A function that returns the arrays of all modes on a backend, by mode and name."""
    folder = tmp_path_factory.mktemp("quantized")
    script = Path(quantized_models.__file__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYTHONHASHSEED", "0"
        )  # Keras chooses the samples for calibration by the hash of a string
        yield functools.cache(lambda backend: trained(backend, folder, script, *quantized_models.MODES))


@pytest.mark.slow
@pytest.mark.parametrize("mode", quantized_models.MODES)
def test_quantized_model_agrees_with_jax(mode: str, results_on: Callable[[str], dict[str, Any]]) -> None:
    ours, theirs = [
        {name: array for name, array in results_on(backend).items() if name.startswith(f"{mode}/")}
        for backend in ("theano", "jax")
    ]
    assert ours.keys() == theirs.keys()
    assert len(ours) == COUNTS[mode]
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype, name
        if array.dtype.kind in "iu":
            np.testing.assert_array_equal(array, theirs[name], err_msg=name)
        else:
            np.testing.assert_allclose(array, theirs[name], rtol=2e-5, atol=2e-5, err_msg=name)
    # A model with LoRA computes something else when it is loaded: Keras adds LoRA's weights to the others and
    # quantizes the sums again.
    pairs = [("predicted", "eager"), *([("trained", "loaded")] if mode == "float8" else [])]
    for pair in pairs:
        first, second = (ours[f"{mode}/{name}"] for name in pair)
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5)
