"""The model that was logged is the model that was trained: loaded elsewhere, it has the logged loss."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

from backendexp import cache
from backendexp.runtimes import build
from support.projects import Project, artifact_folder
from support.servers import places

pytestmark = pytest.mark.slow

# For Python 3.7 and Keras 2.3 as well.
EVALUATE = """
import json, sys
import numpy
from keras.models import load_model

arrays = numpy.load(sys.argv[2])
model = load_model(sys.argv[1])
scores = model.evaluate(arrays["x_test"], arrays["y_test"], verbose=0)
print("\\n" + json.dumps([float(score) for score in scores]))
"""


@pytest.fixture(scope="module")
def project(new_project: Callable[..., Project]) -> Project:
    """A project in which every backend has trained on the user's arrays, and logged its model."""
    made = new_project()
    draw = numpy.random.default_rng(2)
    x_train, x_test = (draw.normal(size=(n, 5)).astype("float32") for n in (400, 150))
    y_train, y_test = (x[:, :1] > 0 for x in (x_train, x_test))
    numpy.savez(
        made.folder / "mine.npz", x_train=x_train, y_train=1 * y_train, x_test=x_test, y_test=1 * y_test
    )
    for runtime in dict.fromkeys(runtime for runtime, _ in places()):
        backends = ",".join(backend for where, backend in places() if where == runtime)
        answer = made.run(
            "-m",
            f"runtime={runtime}",
            "data=npz",
            "data.path=mine.npz",
            "training.epochs=3",
            "threads=1",
            "tracking.log_model=true",
            f"backend={backends}",
        )
        assert answer.returncode == 0, answer.stderr
    return made


def test_a_logged_model_evaluates_to_the_logged_loss_in_a_fresh_process(
    project: Project, runtime: str, backend: str, tmp_path: Path
) -> None:
    (run,) = [
        run
        for run in project.tracked()
        if (run.data.tags.get("runtime"), run.data.tags.get("backend")) == (runtime, backend)
    ]
    (model,) = (artifact_folder(run) / "model").iterdir()
    assert model.suffix == (".h5" if runtime == "keras2" else ".keras")
    python = build.python_of("keras2") if runtime == "keras2" else sys.executable
    settings = {"KERAS_BACKEND": backend, "KERAS_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    compiled = cache.folder("compiled", runtime)
    answer = subprocess.run(
        [python, "-c", EVALUATE, str(model), str(project.folder / "mine.npz")],
        env={
            **project.environment,
            **settings,
            "THEANO_FLAGS": f"device=cpu,floatX=float32,base_compiledir={compiled}",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    loss, accuracy = json.loads(answer.stdout.splitlines()[-1])
    # Batches of another size are summed in another order: float32 rounding.
    assert loss == pytest.approx(run.data.metrics["test/loss"], rel=1e-5)
    assert accuracy == pytest.approx(run.data.metrics["test/accuracy"], abs=1e-6)
