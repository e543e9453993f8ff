"""Both tiers train alike, with dropout and in processes that share an empty cache, and `report` tells which
tier ran.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracles.processes import lean

# Prints what ran, and the weights after 60 steps.
TRAIN = """
import json
import keras, numpy as np
import keras_theano

x = np.random.default_rng(0).random((64, 4), dtype="float32")
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.layers.Dense(3, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(1)])
model.compile("sgd", "mse")
for _ in range(60):
    model.train_on_batch(x, x[:, :1])
(ran,) = keras_theano.report()
weights = [weight.tolist() for weight in model.get_weights()]
print(json.dumps({"calls": ran.calls, "tier": ran.tier, "weights": weights}))
"""


def start(folder: Path, mode: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "KERAS_BACKEND": "theano", "KERAS_THEANO_MODE": mode, "OMP_NUM_THREADS": "1"}
    environment.update(KERAS_HOME=str(folder), PYTENSOR_FLAGS=f"base_compiledir={folder / 'compiled'}")
    environment.update(TMPDIR=str(folder / "temporary"))
    (folder / "temporary").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN],
        env=lean(environment, "theano"),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def outcome(process: "subprocess.Popen[str]") -> Any:
    out, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors
    return json.loads(out)


@pytest.mark.slow
def test_processes_that_share_an_empty_cache_train_as_the_interpreter_does(tmp_path: Path) -> None:
    expected = outcome(start(tmp_path, "interpreter"))
    assert expected["calls"] == {"interpreter": 60}
    for ran in map(outcome, [start(tmp_path, "auto"), start(tmp_path, "native")]):
        assert (ran["tier"], ran["calls"]) == ("native", {"native": 60})
        for ours, theirs in zip(ran["weights"], expected["weights"], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert list((tmp_path / "temporary").iterdir()) == []  # a step leaves no files behind
