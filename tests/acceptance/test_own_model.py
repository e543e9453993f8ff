"""The examples, as a user runs them, and what a user is told about mistakes that only a run can find."""

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from support.command import REPOSITORY
from support.projects import Project, artifact_folder, statuses, trained

pytestmark = pytest.mark.slow

OWN = ("model=custom", "model._target_=model.build", "data=custom", "threads=1")
DIGITS = (*OWN, "data._target_=digits.load")
GOODS = (*OWN, "data._target_=goods.load")
KERAS_3 = "tensorflow,jax,theano"
MISTAKES = """
import keras, time
from keras import layers, ops


def raises():
    return {}["width"]


def no_model():
    return "a model"


def two_units(input_shape):
    return keras.Sequential([layers.Input(input_shape), layers.Dense(2)])


class Padded(layers.Layer):
    def call(self, x):
        return ops.pad(x, ((0, 0), (1, 1)), "mean")

    def compute_output_shape(self, shape):
        return (shape[0], shape[1] + 2)


def lacking(input_shape):
    last = layers.Dense(1, activation="sigmoid")
    return keras.Sequential([layers.Input(input_shape), layers.Dense(4), Padded(), last])


def endless():
    while True:
        time.sleep(0.01)
"""

# The loss is never below 10 ** 4, because the distance of an output from its label is 10 more than it is.
QUARTIC = """
import keras
from keras import layers, ops


def shifted(y, found):
    return ops.mean(ops.square(ops.square(ops.abs(y - found) + 10)), axis=-1)


def build(input_shape):
    model = keras.Sequential([layers.Input(input_shape), layers.Dense(1, "sigmoid")])
    model.compile("adam", shifted)
    return model
"""


def example(new_project: Callable[..., Project], name: str) -> Project:
    project = new_project()
    shutil.copytree(REPOSITORY / "examples" / name, project.folder, dirs_exist_ok=True)
    return project


@pytest.fixture(scope="module")
def own_model(new_project: Callable[..., Project]) -> Project:
    return example(new_project, "own_model")


def test_example_learns_digits_and_its_code_is_an_artifact(own_model: Project) -> None:
    answer = own_model.run(*DIGITS, "backend=theano", "training.epochs=10", "model.width=16")
    assert answer.returncode == 0, answer.stderr
    (run,) = own_model.tracked()
    assert run.data.metrics["accuracy"] > 0.8
    digest = run.data.params["model._source_"]
    assert run.data.tags["model_source_digest"] == digest
    assert len(run.data.tags["data_source_digest"]) == len(digest) == 64
    assert run.data.params["model.width"] == "16"
    kept = {path.name: path.read_text() for path in (artifact_folder(run) / "source").iterdir()}
    assert kept == {name: (own_model.folder / name).read_text() for name in ("model.py", "digits.py")}


def test_sweep_varies_arguments_of_the_function(new_project: Callable[..., Project]) -> None:
    project = example(new_project, "own_model")
    answer = project.run("-m", *DIGITS, "training.epochs=1", "model.width=8,16", "backend=theano")
    assert answer.returncode == 0, answer.stderr
    runs = trained(project.tracked())
    assert statuses(runs) == ["FINISHED"] * 2
    assert [run.data.params["model.width"] for run in runs] == ["8", "16"]
    assert len({run.data.tags["weights_digest"] for run in runs}) == 2


# CI compares the two backends that start fastest.
@pytest.mark.parametrize("backends", ["tensorflow,theano", pytest.param(KERAS_3, marks=pytest.mark.extended)])
def test_two_inputs_and_two_outputs_start_and_train_alike_on_every_backend(
    backends: str, new_project: Callable[..., Project]
) -> None:
    project = example(new_project, "two_inputs")
    count = len(backends.split(","))
    compared = ("parity.probes=1", f"compare.backends=[{backends}]", "compare.blocks=3")
    answer = project.run("experiment=compare", *GOODS, "training.epochs=5", "inference=false", *compared)
    assert answer.returncode == 0, answer.stderr
    runs = trained(project.tracked())
    # The parity part has one more run, the rounding probe.
    assert statuses(runs) == ["FINISHED"] * (count + 1 + 3 * count)
    assert len({run.data.tags["weights_digest"] for run in runs if run.data.params["seed"] == "0"}) == 2
    for run in runs:
        assert {"test/sort_accuracy", "test/price_mean_absolute_error"} <= set(run.data.metrics)
        assert "test/sort_loss" not in run.data.metrics  # Keras averages it in two ways
    assert "faster than" in answer.stdout or "inconclusive" in answer.stdout


def test_parity_check_trains_with_the_loss_of_a_model_that_comes_compiled(
    new_project: Callable[..., Project],
) -> None:
    project = new_project()
    (project.folder / "quartic.py").write_text(QUARTIC)
    compared = ("parity.probes=1", "compare.backends=[tensorflow,theano]", "compare.blocks=3")
    own = ("model=custom", "model._target_=quartic.build", "training.compile=own")
    answer = project.run(
        "experiment=compare", *own, *compared, "training.epochs=2", "inference=false", "threads=1"
    )
    assert answer.returncode == 0, answer.stderr
    assert "theano on keras3, seed 0 agrees with tensorflow on keras3" in answer.stdout
    checked = [run for run in project.tracked() if run.data.tags.get("role") == "parity"]
    assert {run.data.params["training.compile"] for run in checked} == {"own_loss"}
    assert {run.data.params["training.optimizer"] for run in checked} == {"sgd"}
    assert all(run.data.metrics["loss"] >= 10**4 for run in checked)


def test_mlflow_run_takes_the_users_model_from_the_project(new_project: Callable[..., Project]) -> None:
    project = new_project(store=False)
    command = ["git", "clone", "--quiet", str(REPOSITORY), str(project.folder)]
    subprocess.run(command, check=True, capture_output=True)
    folder = "examples/own_model"
    targets = f"model._target_={folder}/model.py:build data._target_={folder}/digits.py:load"
    overrides = f"{targets} model.width=8 threads=1"
    parameters = ["backend=theano", "model=custom", "data=custom", "epochs=1", f"overrides={overrides}"]
    given = [word for parameter in parameters for word in ("-P", parameter)]
    answer = project.run("run", ".", "--env-manager=local", *given, module="mlflow")
    assert answer.returncode == 0, answer.stderr
    (run,) = project.tracked(experiment="Default")
    assert run.info.status == "FINISHED"
    assert run.data.params["model._target_"] == f"{folder}/model.py:build"


@pytest.fixture(scope="module")
def mistaken(new_project: Callable[..., Project]) -> Callable[..., Any]:
    """mistaken("raises"): the run of that function, and what was printed."""
    project = new_project()
    (project.folder / "mistakes.py").write_text(MISTAKES)

    def run(name: str, *words: str) -> tuple[Any, str]:
        settings = (
            "model=custom",
            f"model._target_=mistakes.{name}",
            "threads=1",
            f"tracking.run_name={name}",
        )
        answer = project.run(*settings, *words)
        assert answer.returncode == 1, answer.stderr
        (run,) = [run for run in project.tracked() if run.info.run_name == name]
        return run, answer.stdout

    return run


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raises", "mistakes.raises failed at mistakes.py, line 7: KeyError: 'width'"),
        ("no_model", "mistakes.no_model (mistakes.py, line 10) returned a str: expected a keras.Model"),
        (
            "two_units",
            "mistakes.two_units (mistakes.py, line 14): the output has the shape (samples, 2), and y_train "
            "has (samples, 1): training.loss=binary_crossentropy expects the same shape",
        ),
    ],
)
def test_mistake_in_the_users_code_is_told_with_file_and_line(
    mistaken: Callable[..., Any], name: str, message: str
) -> None:
    run, printed = mistaken(name, "backend=jax")
    assert f"user_code: {message}" in printed
    assert (run.info.status, run.data.tags["failure"]) == ("FAILED", "user_code")
    assert "site-packages" not in run.data.tags["mlflow.note.content"]


def test_op_that_a_backend_lacks_is_told_with_the_backends_that_may_have_it(
    mistaken: Callable[..., Any],
) -> None:
    _, printed = mistaken("lacking", "backend=theano")
    others = "Other backends may have it: backend=tensorflow, backend=jax, backend=torch"
    assert f"This is missing in backend theano, not in your code. {others}" in printed


def test_endless_loop_ends_at_the_deadline_with_its_line(mistaken: Callable[..., Any]) -> None:
    run, printed = mistaken("endless", "backend=theano", "timeout_s=20")
    assert "deadline: stopped at its deadline, timeout_s=20, in your code: mistakes.py, line 3" in printed
    assert run.data.tags["failure"] == "deadline"
