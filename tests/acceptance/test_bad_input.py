"""A mistake is told within a second: one sentence, exit code 2, and nothing is made."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

from backendexp.runtimes import catalogue
from support.projects import Project

pytestmark = pytest.mark.slow

MISTAKES = {
    "unknown backend, with the nearest name": (["backend=tehano"], "Did you mean 'theano'?"),
    "unknown runtime": (["runtime=keras4"], "runtime=keras4 is not known"),
    "unknown data": (["data=singal"], "Did you mean 'signal'?"),
    "backend that the runtime does not offer": (
        ["backend=jax", "runtime=keras2"],
        "not offered by runtime 'keras2'",
    ),
    "misspelt key": (["trainig.epochs=3"], "Did you mean 'training.epochs'?"),
    "misspelt leaf": (["training.epoch=3"], "Did you mean 'training.epochs'?"),
    "key that is added": (["+training.momentum=0.9"], "momentum"),
    "key that is added at the top": (["+momentum=0.9"], "momentum"),
    "wrong type": (["training.epochs=many"], "training.epochs"),
    "fraction for a count": (["training.epochs=1.5"], "training.epochs"),
    "zero": (["training.epochs=0"], "training.epochs is 0"),
    "negative": (["training.batch_size=-1"], "training.batch_size is -1"),
    "absurd": (["data.samples=1000000000000"], "data.samples"),
    "more than the memory": (["data.samples=1000000000", "data.features=1000"], "GiB"),
    "wide beyond the memory": (["model.hidden_units=[1000000,1000000]"], "GiB"),
    "no hidden layer": (["model.hidden_units=[]"], "model.hidden_units"),
    "hidden layer of no units": (["model.hidden_units=[64,0]"], "model.hidden_units"),
    "dropout of one": (["model.dropout=1"], "model.dropout is 1"),
    "dropout below zero": (["model.dropout=-0.1"], "model.dropout is -0.1"),
    "dropout that is no number": (["model.dropout=nan"], "model.dropout is nan"),
    "unknown optimizer": (["training.optimizer=rmsporp"], "Did you mean 'rmsprop'?"),
    "unknown loss": (["training.loss=binary_crossentropie"], "Did you mean 'binary_crossentropy'?"),
    "unknown activation": (["model.activation=relo"], "Did you mean 'relu'?"),
    "learning rate that is no number": (["training.learning_rate=nan"], "training.learning_rate is nan"),
    "infinite learning rate": (["training.learning_rate=inf"], "training.learning_rate is inf"),
    "learning rate of zero": (["training.learning_rate=0"], "training.learning_rate is 0"),
    "optimizer that Keras 2 does not have": (
        ["backend=theano", "runtime=keras2", "training.optimizer=lion"],
        "which runtime 'keras2' (Keras 2) does not have",
    ),
    "seed that NumPy does not take": (["seed=-1"], "seed is -1"),
    "no threads": (["threads=0"], "threads is 0"),
    "deadline in the past": (["timeout_s=0"], "timeout_s is 0"),
    "more digits than there are": (["data=digits", "data.samples=1700"], "but data=digits has 1797 samples"),
    "loss that the labels of the data do not suit": (
        ["data=digits", "training.loss=binary_crossentropy"],
        "data=digits: y_train holds the labels 0, 1, 2, 3, 4, 5, 6, 7, 8 and 9",
    ),
    "npz without a path": (["data=npz"], "data.path"),
    "npz that is not there": (["data=npz", "data.path=nowhere.npz"], "no such file"),
    "npz with a name that is too long": (
        ["data=npz", "data.path=" + "d" * 300 + ".npz"],
        "File name too long",
    ),
    "npz in too many folders": (["data=npz", "data.path=" + "d/" * 3000 + "x.npz"], "File name too long"),
    "folder for an npz": (["data=npz", "data.path=.."], "data.path is '..', which is a folder"),
    "folder for an interpreter": (["runtime.python=.."], "interpreter: it is a folder"),
    "interpreter that is not there": (["runtime.python=/nowhere/python"], "/nowhere/python"),
    "option that is none": (["--backend", "theano"], "--backend is not an option"),
    "sweep without -m": (["seed=1,2"], "seed"),
    "unbalanced list": (["model.hidden_units=[64"], "[64"),
    "list of backends": (
        ["backend=[theano,jax]"],
        "-m backend=theano,jax or as -m 'backend=choice(theano,jax)'",
    ),
    "list of backends in a sweep": (["-m", "seed=1,2", "backend=[theano,jax]"], "is a list"),
    "list of another group": (["data=[random,signal]"], "-m data=random,signal"),
    "no backend": (["backend=null"], "backend=null chooses nothing"),
    "no training": (["training=null"], "training=null chooses nothing"),
    "no backend, when help is asked for": (["--help", "backend=null"], "backend=null chooses nothing"),
    "folder that is not there": (["--config-dir", "nowhere"], "--config-dir is 'nowhere': no such folder"),
    "launcher that is not there": (["-m", "hydra.launcher._target_=nowhere.Nobody"], "nowhere.Nobody"),
    "name that is to be quoted": (["tracking.run_name=R&D"], "'tracking.run_name=\"R&D\"'"),
}


@pytest.mark.parametrize(("words", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_and_nothing_is_made(empty_lab: Project, words: list[str], message: str) -> None:
    answer = empty_lab.run(*words)
    assert answer.returncode == 2, answer.stderr
    assert message in answer.stderr
    assert answer.stderr.startswith("backendexp: ")
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""
    assert list(empty_lab.folder.iterdir()) == []


def test_a_broken_file_of_the_users_configuration_is_told(empty_lab: Project, tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "mine.yaml").write_text("epochs: [3\n")
    answer = empty_lab.run("--config-dir", str(tmp_path), "training=mine")
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.startswith("backendexp: a file of the configuration is not YAML")
    assert str(tmp_path / "training" / "mine.yaml") in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert list(empty_lab.folder.iterdir()) == []


@pytest.mark.parametrize("name", ["dätä/my 数据 (1).npz", "it's R&D #1, epoch=3.npz"])
def test_the_line_that_is_shown_for_a_file_can_be_typed(empty_lab: Project, name: str) -> None:
    """Through bash, as a person does."""
    (empty_lab.folder / name).parent.mkdir(exist_ok=True)
    numpy.savez(empty_lab.folder / name, **GOOD)
    words = ["backend=theano", "data=npz", "tracking=none", "training.epochs=1"]
    refused = empty_lab.run(*words, f"data.path={name}")
    assert refused.returncode == 2
    shown = refused.stderr.strip().partition("Quote the value: ")[2]
    line = shlex.join([sys.executable, "-m", "backendexp", *words])
    answer = subprocess.run(
        ["bash", "-c", f"{line} {shown}"],
        cwd=empty_lab.folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    (result,) = empty_lab.folder.rglob("result.json")
    assert '"FINISHED"' in result.read_text()


GOOD: dict[str, Any] = {
    "x_train": numpy.zeros((10, 4), numpy.float32),
    "y_train": numpy.zeros(10, numpy.float32),
    "x_test": numpy.zeros((5, 4), numpy.float32),
    "y_test": numpy.zeros((5, 1), numpy.int64),
}
WITH_NAN = numpy.full((10, 4), numpy.nan, numpy.float32)
ARRAYS = {
    "array that is missing": ({"y_test": None}, "lacks y_test"),
    "x that is no matrix": ({"x_train": numpy.zeros(10)}, "x_train has shape (10,)"),
    "y of two columns": ({"y_train": numpy.zeros((10, 2))}, "y_train has 2 columns, and y_test has 1"),
    "y of three axes": ({"y_train": numpy.zeros((10, 2, 2))}, "y_train has shape (10, 2, 2)"),
    "rows that do not match": ({"y_train": numpy.zeros(9)}, "x_train has 10 rows, and y_train has 9"),
    "features that do not match": ({"x_test": numpy.zeros((5, 3))}, "x_test has 3"),
    "text": ({"x_train": numpy.full((10, 4), "a")}, "x_train has dtype"),
    "complex numbers": ({"x_train": numpy.zeros((10, 4), complex)}, "x_train has dtype complex128"),
    "objects": ({"x_train": numpy.full((10, 4), None)}, "cannot be read as .npz"),
    "NaN": ({"x_train": WITH_NAN}, "x_train holds 40 values that are NaN"),
    "beyond float32": ({"x_test": numpy.full((5, 4), 1e300)}, "x_test holds 20 values"),
    "ten classes": (
        {"y_train": numpy.arange(10)},
        "y_train holds the labels 0, 1, 2, 3, 4, 5, 6, 7, 8 and 9",
    ),
    "classes from one": (
        {"y_train": numpy.arange(10) % 3 + 1, "y_test": numpy.ones(5)},
        "y_train holds the labels 1, 2 and 3",
    ),
    "indices beyond int32": (
        {"x_train": numpy.full((10, 4), 2**40), "x_test": numpy.zeros((5, 4), int)},
        "x_train holds 40 values that are too large for int32",
    ),
    "several inputs": (
        {"x_train": None, "x_test": None}
        | {
            f"x_{part}_{name}": numpy.zeros((n, 2))
            for part, n in (("train", 10), ("test", 5))
            for name in "ab"
        },
        "has the inputs a, b, but model=mlp takes one of each",
    ),
    "two signs": ({"y_test": numpy.array([-1, 1, 1, 1, -1])}, "or use training.loss=hinge"),
    "nothing": ({"x_train": numpy.zeros((0, 4)), "y_train": numpy.zeros(0)}, "x_train has shape (0, 4)"),
}


@pytest.mark.parametrize(("changed", "message"), ARRAYS.values(), ids=ARRAYS.keys())
def test_arrays_that_cannot_be_trained_on_are_told(
    empty_lab: Project, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    arrays = {name: array for name, array in {**GOOD, **changed}.items() if array is not None}
    numpy.savez(tmp_path / "mine.npz", **arrays)
    answer = empty_lab.run("backend=jax", "data=npz", f"data.path={tmp_path / 'mine.npz'}")
    assert answer.returncode == 2, answer.stderr
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
    assert list(empty_lab.folder.iterdir()) == []


def test_a_file_that_is_no_npz_is_told(empty_lab: Project, tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_text("hello")
    answer = empty_lab.run("backend=jax", "data=npz", f"data.path={tmp_path / 'mine.npz'}")
    assert answer.returncode == 2, answer.stderr
    assert "cannot be read as .npz" in answer.stderr
    assert list(empty_lab.folder.iterdir()) == []


def test_an_engine_that_is_missing_is_told_with_the_line_that_installs_it(empty_lab: Project) -> None:
    """The interpreter of keras2 has no JAX, and one without Keras has nothing."""
    from backendexp.runtimes import build

    python = build.ensure_built("keras2", print)
    answer = empty_lab.run("backend=jax", f"runtime.python={python}")
    assert answer.returncode == 2
    assert "backend 'jax' is not offered by runtime 'keras2'" in answer.stderr
    bare = empty_lab.run("backend=jax", "runtime.python=/usr/bin/python3")
    assert bare.returncode == 2
    assert "-m pip install keras" in bare.stderr
    assert list(empty_lab.folder.iterdir()) == []


def test_a_mistake_is_told_before_keras_or_mlflow_is_imported(empty_lab: Project) -> None:
    answer = empty_lab.run("backend=tehano", PYTHONPROFILEIMPORTTIME="1")
    assert answer.returncode == 2
    lines = [line.split("|") for line in answer.stderr.splitlines() if line.startswith("import time:")]
    imported = {line[-1].strip().split(".")[0] for line in lines}
    assert "hydra" in imported
    every = [engine for facts in catalogue.RUNTIMES.values() for engine in facts.engines.values()]
    # The .pth of keras_theano loads its hook at every start.
    engines = {module for engine in every for module in engine.modules} - {"keras_theano"}
    assert not imported & {"keras", "mlflow", *engines}
