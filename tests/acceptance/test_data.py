"""Every kind of data, and the user's own arrays of every kind, trained on everything that can run here."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pytest

from backendexp.worker import data
from support.projects import Project
from support.servers import places

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# The least accuracy, or for addition the greatest error, that a small dense network reaches in 10 epochs.
BUILT_IN = {
    "digits": ("accuracy", 0.85),
    "mnist5k": ("accuracy", 0.8),
    "breast_cancer": ("accuracy", 0.9),
    "mnist1d": ("accuracy", 0.25),
    "addition": ("mean_absolute_error", 0.45),
}


def own_arrays(name: str) -> dict[str, Any]:
    """Arrays of 600 samples that can be learned, of which 200 are for testing."""
    draw = numpy.random.default_rng(5)
    x = draw.normal(size=(600, 6)).astype("float32")
    classes = x[:, :3].argmax(axis=1)
    y: Any
    x, y = {
        "classes": (x, classes),
        "float classes": (x.astype("float64"), classes.astype("float64")),
        "one-hot": (x, numpy.eye(3)[classes]),
        "several answers": (x, x[:, :4] > 0),
        "amounts": (x, x[:, :2] * [1, 2]),
        "images": (x.reshape(600, 3, 2, 1), classes),
        "whole numbers": ((x > 0).astype("int64") + 3, (x[:, 0] > 0)),
    }[name]
    return {"x_train": x[:400], "y_train": y[:400], "x_test": x[400:], "y_test": y[400:]}


OWN = {
    "classes": ("accuracy", 0.8),
    "float classes": ("accuracy", 0.8),
    "one-hot": ("accuracy", 0.8),
    "several answers": ("binary_accuracy", 0.8),
    "amounts": ("mean_absolute_error", 0.8),
    "images": ("accuracy", 0.8),
    "whole numbers": ("accuracy", 0.9),
}


# CI trains on a backend of each generation that starts quickly. The others are in the extended tests.
_IN_CI = [("keras3", "theano"), ("keras2", "tensorflow")]
PLACES = [pytest.param(place, marks=[] if place in _IN_CI else pytest.mark.extended) for place in places()]
# Returns the metrics of the runs on a pair of runtime and backend, by the name of the data.
Trained = Callable[[tuple[str, str]], dict[str, dict[str, float]]]


def results(project: Project) -> dict[str, dict[str, float]]:
    """Return the metrics of all runs, by the name of their data."""
    found = {}
    for path in project.folder.rglob("result.json"):
        spec = json.loads((path.parent / "spec.json").read_text())
        result = json.loads(path.read_text())
        assert result["status"] == "FINISHED", result
        found[Path(spec["data"].get("path", spec["data"]["kind"])).stem] = result["metrics"]
    return found


def train(project: Project, place: tuple[str, str], *words: str) -> dict[str, dict[str, float]]:
    runtime, backend = place
    answer = project.run(
        "-m",
        f"runtime={runtime}",
        f"backend={backend}",
        "threads=1",
        "tracking=none",
        "inference=false",
        "model.dropout=0",
        "training.learning_rate=0.003",
        "training.epochs=10",
        "training.batch_size=32",
        *words,
        timeout=900,
    )
    assert answer.returncode == 0, answer.stderr
    assert "other labels than 0 and 1" not in answer.stdout
    assert not re.search("accuracy tells little|nothing could be learned", answer.stdout)
    return results(project)


@pytest.fixture(scope="module")
def built_in(new_project: Callable[..., Project]) -> Trained:
    return cache(lambda place: train(new_project(), place, f"data={','.join(BUILT_IN)}"))


@pytest.fixture(scope="module")
def own(new_project: Callable[..., Project]) -> Trained:
    def trained(place: tuple[str, str]) -> dict[str, dict[str, float]]:
        project = new_project()
        for name in OWN:
            numpy.savez(project.folder / f"{name}.npz", **own_arrays(name))
        return train(project, place, "data=npz", "data.path=" + ",".join(f'"{name}.npz"' for name in OWN))

    return cache(trained)


def check(metrics: dict[str, float], metric: str, limit: float) -> None:
    value = metrics[f"test/{metric}"]
    assert value < limit if metric.endswith("error") else value > limit


@pytest.mark.parametrize("place", PLACES, ids="-".join)
@pytest.mark.parametrize("kind", BUILT_IN)
def test_a_kind_of_data_is_learned(built_in: Trained, place: tuple[str, str], kind: str) -> None:
    check(built_in(place)[kind], *BUILT_IN[kind])


@pytest.mark.parametrize("place", PLACES, ids="-".join)
@pytest.mark.parametrize("name", OWN)
def test_own_arrays_are_learned(own: Trained, place: tuple[str, str], name: str) -> None:
    check(own(place)[name], *OWN[name])


def test_every_kind_that_can_be_learned_is_trained_here() -> None:
    others = {"random", "signal", "npz", "custom"}
    assert {name for name in data.kinds() if name not in others} == set(BUILT_IN)
