"""Training is the same on the installed Keras and on the next one, which loads backends in another way."""

import json
import os
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uv import find_uv_bin

pytestmark = [pytest.mark.slow, pytest.mark.extended]

PACKAGE = Path(__file__).parents[2]
# The newest build that was tested. The package index keeps nightly builds for years.
NIGHTLY = "3.16.0.dev2026102704"

# The tutorial's model. The batches are not shuffled, because Keras 3.16 shuffles by the number of the epoch
# and not by a seed.
TRAIN = """
import json, sys
import keras, numpy as np

random = np.random.default_rng(0)
x, y = random.random((1000, 20), dtype="float32"), random.integers(0, 2, (1000, 1))
keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((20,)),
    keras.layers.Dense(64, "relu"), keras.layers.Dropout(0.5),
    keras.layers.Dense(64, "relu"), keras.layers.Dropout(0.5),
    keras.layers.Dense(1, "sigmoid"),
])
model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=3, batch_size=128, shuffle=False, verbose=0).history
outcome = {
    "version": keras.__version__,
    "backend": keras.config.backend(),
    "losses": history["loss"] + model.evaluate(x, y, verbose=0),
    "weights": [weight.ravel().tolist() for weight in model.get_weights()],
    "predictions": model.predict(x[:8], verbose=0).tolist(),
}
model.save(sys.argv[1])
loaded = keras.models.load_model(sys.argv[1])
outcome["predictions of the saved"] = loaded.predict(x[:8], verbose=0).tolist()
try:
    model.export(sys.argv[1] + ".exported", verbose=False)
except ImportError as refusal:
    outcome["export"] = str(refusal)
print(json.dumps(outcome))
"""


@pytest.fixture(scope="module")
def next_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build an interpreter with the next Keras, this keras_theano, and the numerical packages used here."""
    folder = tmp_path_factory.mktemp("next")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    environment = dict(os.environ)
    # uv does not read pip's settings, so a package mirror that is set for pip is passed on.
    if "PIP_INDEX_URL" in environment and "UV_INDEX_URL" not in environment:
        environment.setdefault("UV_DEFAULT_INDEX", environment["PIP_INDEX_URL"])
    needed = ("pytensor", "numpy", "scipy", "llvmlite", "threadpoolctl")
    same = [f"{name}=={version(name)}" for name in needed]
    for what in ([f"keras-nightly=={NIGHTLY}", *same], ["--no-deps", str(PACKAGE)]):
        install = [find_uv_bin(), "pip", "install", "--quiet", "--python", str(python), *what]
        installed = subprocess.run(install, capture_output=True, text=True, env=environment)
        assert installed.returncode == 0, installed.stderr
    return python


def train(python: str, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    environment = {
        **os.environ,
        "KERAS_BACKEND": "theano",
        "KERAS_THEANO_MODE": "interpreter",
        "KERAS_HOME": str(folder),
        "PYTENSOR_FLAGS": f"base_compiledir={folder / 'compiled'}",
    }
    command = [python, "-c", TRAIN, str(folder / "model.keras")]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    outcome: dict[str, Any] = json.loads(ended.stdout)
    return outcome


def test_next_keras_trains_the_same(next_python: Path, tmp_path: Path) -> None:
    here, there = train(sys.executable, tmp_path / "here"), train(str(next_python), tmp_path / "there")
    assert there["version"] == NIGHTLY != here["version"]
    assert here["backend"] == there["backend"] == "theano"
    for ours, theirs in zip(here["weights"], there["weights"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(here["losses"], there["losses"], rtol=1e-5)
    assert there["predictions of the saved"] == there["predictions"]
    assert "through another backend of Keras, which is not installed" in there["export"]
