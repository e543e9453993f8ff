"""Both distributions, built and installed into empty environments as a user installs them."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from uv import find_uv_bin

from support.command import REPOSITORY

pytestmark = pytest.mark.slow

TRAIN = """
import os
os.environ["KERAS_BACKEND"] = "theano"
import keras, numpy
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
model.compile("sgd", "mse")
x = numpy.random.default_rng(0).normal(size=(256, 4)).astype("float32")
losses = model.fit(x, x.sum(1, keepdims=True), epochs=10, verbose=0).history["loss"]
assert losses[-1] < losses[0] / 2, losses
print(keras.config.backend(), "trains")
"""


def sh(*words: object, **env: str) -> str:
    done = subprocess.run(
        [str(word) for word in words], env={**os.environ, **env}, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels, each made from its source distribution, and these."""
    folder = tmp_path_factory.mktemp("built")
    for project in (REPOSITORY / "packages" / "keras_theano", REPOSITORY):
        sh(find_uv_bin(), "build", "--quiet", "--out-dir", folder, project)
    assert len(list(folder.glob("*.whl"))) == len(list(folder.glob("*.tar.gz"))) == 2
    return folder


@pytest.fixture(scope="module")
def pins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The locked versions, without the hashes, which a wheel of one's own does not have."""
    path = tmp_path_factory.mktemp("pins") / "constraints.txt"
    lines = re.findall(r"^[\w.-]+==[^\\\n]+", (REPOSITORY / "requirements.txt").read_text(), re.MULTILINE)
    assert len(lines) > 50
    path.write_text("\n".join(lines))
    return path


def environment_with(name: str, folder: Path, built: Path, pins: Path) -> Path:
    """The interpreter of a new environment into which one distribution was installed."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    sh(
        *(find_uv_bin(), "pip", "install", "--quiet", "--python", python),
        *("-f", built, "--constraint", pins, name),
    )
    return python


def test_keras_theano_alone_trains_a_model(built: Path, pins: Path, tmp_path: Path) -> None:
    python = environment_with("keras-theano", tmp_path / "alone", built, pins)
    assert sh(python, "-c", TRAIN).strip().splitlines()[-1] == "theano trains"
    for absent in ("tensorflow", "mlflow", "statsmodels", "hydra", "backendexp"):
        missing = f"import importlib.util; print(importlib.util.find_spec({absent!r}))"
        assert sh(python, "-c", missing).strip() == "None"


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the locked versions are those of Python 3.11")
def test_backendexp_and_its_backend_come_from_their_wheels(
    built: Path, pins: Path, tmp_path: Path, project: Path
) -> None:
    python = environment_with("backendexp", tmp_path / "both", built, pins)
    script = python.with_name("backendexp")
    for command in (["doctor"], ["backend=theano", "training.epochs=2", "tracking=none"]):
        said = sh(script, *command)
    assert "FINISHED  theano on keras3" in said
    assert "doctor" in sh(script, "--help")
