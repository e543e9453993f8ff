"""Every backend on every runtime trains, and MLflow is told all of it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from backendexp import cache
from backendexp.runtimes import build
from backendexp.worker.data import make_data
from support.command import LEAN
from support.projects import ENDLESS, SMALL, Project, artifact_folder, named, reached, statuses
from support.projects import trained as trained_runs
from support.servers import places

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("interruptible")]

NewProject = Callable[..., Project]
ENGINES = {"tensorflow": "TensorFlow", "jax": "JAX", "theano": "PyTensor", "torch": "PyTorch"}
GENERATIONS = {"keras3": "3.", "keras2": "2.3.1"}
EPOCHS = {"time/first_epoch_s", "time/remaining_epochs_s", "time/steady_epoch_s"}
PHASES = {"time/import_s", "time/build_s", *EPOCHS, "time/evaluate_s"}

# Runs on Python 3.7 with Keras 2.3 too.
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
def repository(new_project: NewProject) -> Project:
    """A project under git, in which every backend has trained the same plan twice and logged its model."""
    project = new_project()
    git = ["git", "-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    subprocess.run([*git, "init", "--quiet"], cwd=project.folder, check=True)
    commit = ["commit", "--quiet", "--allow-empty", "-m", "start"]
    subprocess.run([*git, *commit], cwd=project.folder, check=True)
    for runtime in dict.fromkeys(runtime for runtime, _ in places()):
        backends = ",".join(backend for where, backend in places() if where == runtime)
        where = [f"runtime={runtime}", *SMALL, f"backend={backends}"]
        twice = project.run("-m", "tracking.run_name=first,again", "tracking.log_model=true", *where)
        assert twice.returncode == 0, twice.stderr
    return project


@pytest.fixture
def trained(repository: Project, runtime: str, backend: str) -> dict[str, Any]:
    """The MLflow runs of one place, by name: first, again."""
    return trained_on(repository, runtime, backend)


def trained_on(repository: Project, runtime: str, backend: str) -> dict[str, Any]:
    runs = {
        run.info.run_name: run
        for run in repository.tracked()
        if (run.data.tags.get("runtime"), run.data.tags.get("backend")) == (runtime, backend)
    }
    assert sorted(runs) == ["again", "first"]
    assert statuses(list(runs.values())) == ["FINISHED"] * 2
    return runs


def test_params_are_the_whole_plan_under_its_dotted_names(
    trained: dict[str, Any], runtime: str, backend: str
) -> None:
    assert trained["first"].data.params == {
        "backend.name": backend,
        "runtime.name": runtime,
        "runtime.python": "None",
        "runtime.start": "fork",
        "data.kind": "random",
        "data.samples": "256",
        "data.classes": "2",
        "data.features": "8",
        "data.test_samples": "64",
        "model.kind": "mlp",
        "model.hidden_units": "[16, 8]",
        "model.activation": "relu",
        "model.dropout": "0.5",
        "model.output_activation": "sigmoid",
        "training.optimizer": "rmsprop",
        "training.learning_rate": "0.001",
        "training.loss": "binary_crossentropy",
        "training.metrics": "['accuracy']",
        "training.epochs": "3",
        "training.batch_size": "64",
        "training.dtype": "float32",
        "training.steps_per_execution": "1",
        "engine.device": "auto",
        "engine.jit_compile": "None",
        "engine.precision": "None",
        "engine.run_eagerly": "False",
        "controls.initial_weights": "True",
        "controls.batch_order": "True",
        "controls.dropout": "True",
        "inference": "True",
        "parity.probe": "0",
        "tracking.log_model": "True",
        "threads": "1",
        "seed": "0",
        "timeout_s": "None",
    }


def test_tags_name_the_engine_the_machine_and_the_commit(
    trained: dict[str, Any], repository: Project, runtime: str, backend: str
) -> None:
    tags = trained["first"].data.tags
    head = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(head, cwd=repository.folder, capture_output=True, text=True, check=True)
    assert tags["keras_version"].startswith(GENERATIONS[runtime])
    on_old_theano = (runtime, backend) == ("keras2", "theano")
    assert tags["engine"] == ("Theano" if on_old_theano else ENGINES[backend])
    assert tags.get("engine_tier") == ("native" if tags["engine"] == "PyTensor" else None)
    assert tags["engine_version"][0].isdigit()
    assert tags["python_version"].startswith("3.7." if runtime == "keras2" else "3.")
    assert tags["cpu_model"]
    assert int(tags["cores"]) >= 1
    assert tags["git_commit"] == commit.stdout.strip()
    assert tags["sweep"]
    assert tags["start"] == "fork"


def test_metrics_hold_the_headline_the_phases_the_epochs_and_the_memory(
    trained: dict[str, Any], repository: Project
) -> None:
    metrics = trained["first"].data.metrics
    assert metrics["training_time_s"] > 0
    assert metrics["loss"] == metrics["test/loss"] > 0
    assert metrics["accuracy"] == metrics["test/accuracy"]
    assert 0 <= metrics["accuracy"] <= 1
    assert set(metrics) >= PHASES
    assert metrics["inference/samples_per_s"] > 0
    assert 0 < metrics["inference/latency_ms"] <= metrics["inference/latency_p95_ms"]
    assert 20 < metrics["memory/peak_mib"] < 20_000
    for name in ("train/loss", "train/accuracy", "train/epoch_s"):
        history = repository.history(trained["first"], name)
        assert [point.step for point in history] == [1, 2, 3]


def test_the_epochs_take_no_longer_than_the_whole_fit(trained: dict[str, Any]) -> None:
    for run in trained.values():
        metrics = run.data.metrics
        epochs = metrics["time/first_epoch_s"] + metrics["time/remaining_epochs_s"]
        assert epochs <= metrics["training_time_s"]


def test_the_dataset_is_logged_with_a_digest_that_all_backends_share(
    trained: dict[str, Any], repository: Project
) -> None:
    (logged,) = trained["first"].inputs.dataset_inputs
    assert logged.dataset.name == "random-seed0"
    assert json.loads(logged.dataset.profile)["x_train_shape"] == [256, 8]
    everywhere = {
        dataset.dataset.digest for run in repository.tracked() for dataset in run.inputs.dataset_inputs
    }
    assert everywhere == {logged.dataset.digest}


def test_artifacts_are_the_config_the_log_the_events_and_the_environment(
    trained: dict[str, Any], backend: str
) -> None:
    folder = artifact_folder(trained["first"])
    assert {"config.yaml", "worker.log", "events.jsonl", "environment.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert f"name: {backend}" in (folder / "config.yaml").read_text()
    environment = json.loads((folder / "environment.json").read_text())
    packages = {name.lower().replace("_", "-") for name in environment["packages"]}
    assert {"keras", "numpy"} <= packages


def test_the_same_plan_gives_the_same_losses_again(trained: dict[str, Any], repository: Project) -> None:
    assert losses(repository, trained["again"]) == losses(repository, trained["first"])
    assert trained["again"].data.metrics["loss"] == trained["first"].data.metrics["loss"]
    assert trained["again"].data.tags["plan"] == trained["first"].data.tags["plan"]


def losses(project: Project, run: Any) -> list[float]:
    return [point.value for point in project.history(run, "train/loss")]


# CI spawns on a backend of each generation that starts quickly. The others are in the extended tests.
_SPAWNED_IN_CI = [("keras3", "theano"), ("keras2", "tensorflow")]
SPAWNED = [
    pytest.param(*place, marks=[] if place in _SPAWNED_IN_CI else pytest.mark.extended) for place in places()
]


@pytest.mark.parametrize(("where", "name"), SPAWNED)
def test_a_spawned_run_gives_the_losses_of_a_forked_one(
    where: str, name: str, repository: Project, lab: Project
) -> None:
    answer = lab.run(f"runtime={where}", f"backend={name}", *SMALL, "runtime.start=spawn")
    assert answer.returncode == 0, answer.stderr
    (spawned,) = lab.tracked()
    assert spawned.data.tags["start"] == "spawn"
    forked = trained_on(repository, where, name)["first"]
    assert losses(lab, spawned) == losses(repository, forked)


def test_a_logged_model_evaluates_to_the_logged_loss_in_a_fresh_process(
    trained: dict[str, Any], repository: Project, runtime: str, backend: str, tmp_path: Path
) -> None:
    run = trained["again"]
    (model,) = (artifact_folder(run) / "model").iterdir()
    assert model.suffix == (".h5" if runtime == "keras2" else ".keras")
    sizes = {"samples": 256, "features": 8, "test_samples": 64, "classes": 2}
    drawn = make_data({"kind": "random", **sizes}, seed=0)
    numpy.savez(tmp_path / "test.npz", x_test=drawn.x_test, y_test=drawn.y_test)
    python = build.python_of("keras2") if runtime == "keras2" else sys.executable
    settings = {"KERAS_BACKEND": backend, "KERAS_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    theano = f"device=cpu,floatX=float32,base_compiledir={cache.folder('compiled', runtime)}"
    answer = subprocess.run(
        [python, "-c", LEAN + EVALUATE, str(model), str(tmp_path / "test.npz")],
        env={**repository.environment, **settings, "THEANO_FLAGS": theano},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    loss, accuracy = json.loads(answer.stdout.splitlines()[-1])
    # Batches of another size are summed in another order: float32 rounding.
    assert loss == pytest.approx(run.data.metrics["test/loss"], rel=1e-5)
    assert accuracy == pytest.approx(run.data.metrics["test/accuracy"], abs=1e-6)


def test_every_run_has_a_process_of_its_own(repository: Project) -> None:
    directories = repository.directories()
    started = [named(repository.events(n), "started")[0]["pid"] for n in range(len(directories))]
    assert len(set(started)) == len(directories) == 2 * len(places())


def test_one_run_has_one_worker(lab: Project) -> None:
    begun = lab.start("backend=theano", *ENDLESS)
    assert reached(lambda: named(lab.events(), "epoch"), 90)
    # backendexp, the worker that has imported Keras, and the run that was forked from it
    assert len(lab.processes()) == 3
    begun.send_signal(signal.SIGINT)
    begun.communicate(timeout=60)


@pytest.mark.parametrize("backend", ["theano", pytest.param("tensorflow", marks=pytest.mark.extended)])
def test_a_backend_learns_labels_that_can_be_learned(backend: str, lab: Project) -> None:
    answer = lab.run(
        "data=signal",
        "training.epochs=60",
        "model.dropout=0.1",
        "training.learning_rate=0.003",
        "threads=1",
        f"backend={backend}",
    )
    assert answer.returncode == 0, answer.stderr
    (run,) = lab.tracked()
    first, *_, last = losses(lab, run)
    # Of 1000 test samples a coin flip gets 0.5 right, give or take 0.016 (one standard error).
    assert run.data.metrics["accuracy"] > 0.7
    assert last < first


def test_the_users_own_arrays_are_trained_on(lab: Project) -> None:
    draw = numpy.random.default_rng(5)
    x_train, x_test = draw.normal(size=(600, 3)), draw.normal(size=(200, 3))
    arrays = {"x_train": x_train, "x_test": x_test}
    labels = {"y_train": x_train[:, 0] > 0, "y_test": (x_test[:, 0] > 0)[:, None]}
    numpy.savez(lab.folder / "mine.npz", **arrays, **labels)
    answer = lab.run(
        "backend=theano",
        "data=npz",
        "data.path=mine.npz",
        "training.epochs=40",
        "model.dropout=0",
        "threads=1",
    )
    assert answer.returncode == 0, answer.stderr
    (run,) = lab.tracked()
    assert run.data.metrics["accuracy"] > 0.9
    assert run.data.params["data.samples"] == "600"
    assert run.data.params["data.features"] == "3"
    assert run.data.params["data.path"] == str(lab.folder / "mine.npz")
    (logged,) = run.inputs.dataset_inputs
    assert logged.dataset.name == "mine.npz"
    assert json.loads(logged.dataset.source) == {"path": str(lab.folder / "mine.npz")}


def test_relative_paths_mean_the_same_when_hydra_changes_the_directory(lab: Project) -> None:
    numpy.savez(
        lab.folder / "mine.npz",
        x_train=numpy.zeros((8, 2)),
        y_train=numpy.ones(8),
        x_test=numpy.zeros((4, 2)),
        y_test=numpy.array([0, 1, 1, 0]),
    )
    words = ("hydra.job.chdir=true", "backend=theano", "data=npz", "data.path=mine.npz", "training.epochs=1")
    alone = lab.run(*words, "threads=1")
    assert alone.returncode == 0, alone.stderr
    assert "y_train holds one class only, every label is 1" in alone.stdout
    swept = lab.run("-m", *words, "seed=1,2", "threads=1")
    assert swept.returncode == 0, swept.stderr
    assert len(trained_runs(lab.tracked())) == 3
    assert list(lab.folder.rglob("mlflow.db")) == [lab.folder / "mlflow.db"]


def test_a_named_interpreter_decides_the_runtime(lab: Project) -> None:
    python = build.ensure_built("keras2", print)
    answer = lab.run("backend=tensorflow", f"runtime.python={python}", *SMALL)
    assert answer.returncode == 0, answer.stderr
    (run,) = lab.tracked()
    assert run.data.params["runtime.name"] == "keras2"
    assert run.data.params["runtime.python"] == python
    assert run.data.tags["keras_version"] == "2.3.1"


def test_the_users_keras_settings_are_neither_read_nor_written(
    new_project: NewProject, tmp_path: Path
) -> None:
    settings = tmp_path / ".keras" / "keras.json"
    settings.parent.mkdir()
    settings.write_text('{"backend": "torch", "floatx": "float16", "epsilon": 0.5}')
    before = settings.stat().st_mtime_ns
    lab = new_project(HOME=str(tmp_path), BACKENDEXP_CACHE=str(cache.folder()))
    answer = lab.run("-m", *SMALL, "backend=theano", "runtime=keras3,keras2")
    assert answer.returncode == 0, answer.stderr
    runs = trained_runs(lab.tracked())
    assert [run.data.tags["engine"] for run in runs] == ["PyTensor", "Theano"]
    assert "they do not compare backends" in " ".join(answer.stdout.split())
    assert settings.read_text() == '{"backend": "torch", "floatx": "float16", "epsilon": 0.5}'
    assert settings.stat().st_mtime_ns == before
    assert [path.name for path in settings.parent.iterdir()] == ["keras.json"]
    assert not (tmp_path / ".theano").exists()
    assert not (tmp_path / ".pytensor").exists()


@pytest.mark.parametrize("backend", ["theano", pytest.param("jax", marks=pytest.mark.extended)])
def test_a_run_in_the_c_locale_whose_reader_has_left_is_trained_and_tracked(
    backend: str, lab: Project
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    c_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(
        [sys.executable, "-m", "backendexp", f"backend={backend}", *SMALL],
        cwd=lab.folder,
        env={**lab.environment, **c_locale},
        stdout=writing,
        stderr=writing,
    )
    os.close(writing)
    assert ended.returncode == 0
    assert statuses(lab.tracked()) == ["FINISHED"]
