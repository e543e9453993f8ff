"""The parity check: real engines agree, and one that computes something else is found out."""

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.entry_points import cloned, mlflow_run, summary_of_entry
from support.projects import Project, statuses, summary_of
from support.servers import places

pytestmark = pytest.mark.slow

SMALL = ("data.samples=512", "data.features=8", "data.test_samples=64", "training.epochs=10")
# Imported by every Python that starts with its folder on the path; the worker of jax then follows
# gradients that are a thousandth too long.
WRONG_GRADIENT = """
import os

if os.environ.get("KERAS_BACKEND") == "jax" and "BACKENDEXP_WORKER_START" in os.environ:
    import jax

    right = jax.value_and_grad

    def value_and_grad(*arguments, **settings):
        compute = right(*arguments, **settings)

        def scaled(*values, **flags):
            value, gradients = compute(*values, **flags)
            return value, jax.tree_util.tree_map(lambda gradient: 1.001 * gradient, gradients)

        return scaled

    jax.value_and_grad = value_and_grad
"""


@pytest.fixture(scope="module")
def agreed(new_project: Callable[..., Project]) -> tuple[list[Any], str]:
    """The runs of a parity check on all backends through its entry point, and what it printed."""
    clone = cloned(new_project(store=False))
    overrides = shlex.join([*SMALL, "parity.probes=1"])
    answer = mlflow_run(clone, f"overrides={overrides}", entry="parity")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return clone.tracked(experiment="Default"), answer.stdout


def test_all_backends_of_both_runtimes_agree_and_the_difference_is_a_number(
    agreed: tuple[list[Any], str],
) -> None:
    runs, printed = agreed
    assert "Agreement" in printed
    assert "NO agreement" not in printed
    greatest = re.search(r"greatest difference of the loss (\S+)", printed)
    assert greatest is not None
    assert set(statuses(runs)) == {"FINISHED"}
    summary = summary_of_entry("parity", runs)
    metric = summary.data.metrics["parity/greatest_difference"]
    assert float(greatest[1]) == pytest.approx(metric, rel=0.01)
    # A float32 loss of about 0.7 is rounded to 6e-8, so it is more than nothing and close to it.
    assert 0 < metric < 1e-4
    assert "Agreement" in summary.data.tags["mlflow.note.content"]


def test_every_place_that_can_run_is_compared_from_one_start(agreed: tuple[list[Any], str]) -> None:
    tracked, printed = agreed
    runs = [run for run in tracked if run.data.params.get("parity.probe") == "0"]
    ran = {(run.data.tags["runtime"], run.data.tags["backend"]) for run in runs}
    assert ran == set(places())
    assert len({run.data.tags["weights_digest"] for run in runs}) == 1
    assert len({run.inputs.dataset_inputs[0].dataset.digest for run in runs}) == 1
    for runtime, backend in places()[1:]:
        assert f"{backend} on {runtime}" in printed


def test_an_engine_that_computes_something_else_is_found_out(
    new_project: Callable[..., Project], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WRONG_GRADIENT)
    before = os.environ.get("PYTHONPATH")
    project = new_project(PYTHONPATH=os.pathsep.join(filter(None, [str(tmp_path), before])))
    answer = project.run("experiment=parity", "parity.probes=1", *SMALL)
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "NO agreement" in answer.stdout
    assert "jax on keras3, seed 0 DIFFERS from tensorflow on keras3, seed 0" in answer.stdout
    assert "theano on keras2, seed 0 agrees with" in answer.stdout
    summary = summary_of(project.tracked())
    assert "NO agreement" in summary.data.tags["mlflow.note.content"]
    assert summary.info.status == "FAILED"


SEQUENCES = ("data=mnist1d", "data.samples=256", "data.test_samples=64")
IMAGES = ("data=digits", "data.samples=256", "data.test_samples=64")


@pytest.mark.extended
@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("cnn", IMAGES),
        ("lstm", (*SEQUENCES, "model.units=[16,8]")),
        ("gru", (*SEQUENCES, "model.units=[16]")),
        ("bilstm", (*IMAGES, "model.units=[16]")),
        ("transformer", (*SEQUENCES, "model.blocks=2")),
    ],
)
def test_all_backends_agree_on_every_built_in_model(
    model: str, words: tuple[str, ...], new_project: Callable[..., Project]
) -> None:
    project = new_project()
    answer = project.run("experiment=parity", f"model={model}", *words, "training.epochs=3", "tracking=none")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    said = answer.stdout.partition("Agreement: greatest difference")[2]
    places = ["jax on keras3", "torch on keras3", "theano on keras3"]
    if model != "transformer":
        places.append("tensorflow on keras2")
    for place in places:
        assert f"- {place}, seed 0 agrees with tensorflow on keras3" in said, said
    if model == "transformer":
        assert "not here: theano on keras2: model=transformer has layers that" in said
    elif model == "cnn":
        assert "theano on keras2, seed 0: not compared with" in said
    else:
        assert "- theano on keras2, seed 0 agrees with tensorflow on keras3" in said
