"""`mlflow run` in a fresh clone: every entry point, every manager of environments, awkward values."""

import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from backendexp.runs import events
from support.entry_points import cloned, mlflow_run, summary_of_entry
from support.projects import QUICK, Project, named, statuses, trained

pytestmark = pytest.mark.slow

TINY = "data.samples=256 data.features=8 data.test_samples=64 threads=1"


@pytest.fixture
def clone(new_project: Callable[..., Project]) -> Project:
    """A clone of the repository as it was committed last."""
    return cloned(new_project(store=False))


def only_run(clone: Project) -> Any:
    (run,) = clone.tracked(experiment="Default")
    return run


def test_mlflow_run_trains_with_all_its_parameters_in_the_run_that_mlflow_made(clone: Project) -> None:
    sizes = ["epochs=2", "batch_size=64", "hidden_units=16,8", "dropout=0.25"]
    # Spaces, quotes, commas and ampersands arrive as they were meant.
    name = 'it\'s a, b & c = "d"; $HOME'
    quoted = name.replace('"', '\\"')
    overrides = shlex.join([f'tracking.run_name="{quoted}"', *shlex.split(TINY)])
    more = ["seed=7", "optimizer=adam", "learning_rate=0.01", f"overrides={overrides}"]
    undeclared = "model.activation=tanh"  # MLproject does not declare it, so it is an override
    answer = mlflow_run(clone, "backend=theano", *sizes, *more, undeclared)
    assert answer.returncode == 0, answer.stderr
    run = only_run(clone)
    assert run.info.status == "FINISHED"
    assert run.info.run_id in answer.stderr
    assert run.data.tags["backend"] == "theano"
    assert run.data.tags["mlflow.project.entryPoint"] == "main"
    assert run.data.metrics["training_time_s"] > 0
    wanted = {
        "backend.name": "theano",
        "runtime.name": "keras3",
        "seed": "7",
        "training.epochs": "2",
        "training.batch_size": "64",
        "training.optimizer": "adam",
        "training.learning_rate": "0.01",
        "model.hidden_units": "[16, 8]",
        "model.dropout": "0.25",
        "model.activation": "tanh",
        "data.samples": "256",
        "threads": "1",
    }
    assert {key: run.data.params.get(key) for key in wanted} == wanted
    # What MLflow logged itself, before we were started.
    assert run.data.params["epochs"] == "2"
    (directory,) = clone.directories()
    config = OmegaConf.load(directory / "config.yaml")
    assert config.model.activation == "tanh"
    assert config.tracking.run_name == name


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("backend=tensorflwo", "Did you mean 'tensorflow'?"),
        pytest.param("overrides=trainig.epochs=3", "trainig.epochs is not a key", marks=pytest.mark.extended),
        pytest.param("overrides='not closed", "No closing quotation", marks=pytest.mark.extended),
    ],
)
def test_a_bad_value_fails_and_leaves_no_run_running(clone: Project, parameter: str, message: str) -> None:
    answer = mlflow_run(clone, parameter)
    assert answer.returncode != 0
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
    assert statuses(clone.tracked(experiment="Default")) == ["FAILED"]
    assert clone.directories() == []


def test_a_run_that_fails_fails_the_run_of_mlflow(clone: Project) -> None:
    overrides = f"{TINY} training.loss=mean_squared_error model.output_activation=linear"
    steep = ["optimizer=sgd", "learning_rate=1e6", "dropout=0"]
    parameters = ["backend=theano", *steep, f"overrides={overrides}"]
    answer = mlflow_run(clone, *parameters)
    assert answer.returncode != 0
    run = only_run(clone)
    assert run.info.status == "FAILED"
    assert run.data.tags["failure"] == "non_finite_loss"


def test_the_sweep_entry_point_runs_every_job_and_sums_up_in_mlflows_run(clone: Project) -> None:
    overrides = shlex.join([*QUICK, "training.steps_per_execution=1,2"])
    parameters = ["backend=theano", "seed=range(2)", f"overrides={overrides}"]
    answer = mlflow_run(clone, *parameters, entry="sweep")
    assert answer.returncode == 0, answer.stderr
    runs = clone.tracked(experiment="Default")
    assert statuses(runs) == ["FINISHED"] * 5
    summary = summary_of_entry("sweep", runs)
    assert "| theano | keras3 | 4 of 4 |" in summary.data.tags["mlflow.note.content"]
    assert {
        (run.data.params["training.steps_per_execution"], run.data.params["seed"]) for run in trained(runs)
    } == {(steps, seed) for steps in "12" for seed in "01"}


def test_the_compare_entry_point_concludes_in_mlflows_run(clone: Project) -> None:
    overrides = shlex.join([*QUICK, "compare.parity=false", "inference=false"])
    parameters = ["backends=theano,tensorflow", "blocks=3", f"overrides={overrides}"]
    answer = mlflow_run(clone, *parameters, entry="compare")
    assert answer.returncode == 0, answer.stderr
    runs = clone.tracked(experiment="Default")
    assert statuses(runs) == ["FINISHED"] * 7
    summary = summary_of_entry("compare", runs)
    # MLflow has logged its own parameters into the run before us.
    assert summary.data.params["blocks"] == "3"
    assert summary.data.params["compare.blocks"] == "3"
    assert "theano/training_time_s_median" in summary.data.metrics


@pytest.fixture
def environments(tmp_path: Path) -> Iterator[Path]:
    """Where MLflow builds environments: an empty folder, which is emptied again, for each takes 2 GiB."""
    folder = tmp_path / "environments"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(2400)
@pytest.mark.parametrize(
    "manager",
    [
        pytest.param(("--env-manager=uv",), id="uv"),
        pytest.param((), id="mlflow's default, virtualenv", marks=pytest.mark.extended),
    ],
)
def test_mlflow_builds_an_environment_that_trains(
    clone: Project, environments: Path, manager: tuple[str, ...]
) -> None:
    parameters = ["backend=tensorflow", "epochs=2", f"overrides={TINY}"]
    answer = mlflow_run(clone, *parameters, manager=manager, timeout=2300, MLFLOW_ENV_ROOT=str(environments))
    assert answer.returncode == 0, answer.stderr[-4000:]
    run = only_run(clone)
    assert run.info.status == "FINISHED"
    assert run.data.tags["backend"] == "tensorflow"
    # The engine was the environment's, not the one of the tests.
    (directory,) = clone.directories()
    (built,) = environments.glob("mlflow-*/bin/python")
    assert built.exists()
    (ready,) = named(events.read(directory / "events.jsonl"), "ready")
    assert ready["packages"].get("pytest") is None
