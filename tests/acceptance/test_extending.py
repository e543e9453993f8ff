"""The recipes of docs/extending.md, each followed in a copy of the code: a new kind touches the files that
its recipe names, and no others.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import REPOSITORY

pytestmark = pytest.mark.slow

DATA = """
from dataclasses import dataclass

from .. import rows, tasks
from ..settings import setting

LABELS_ARE_CHANCE = False


@dataclass
class Settings(rows.Settings):
    kind: str = "halves"
    border: float = setting(0.5, low=0, high=1, example="data.border=0.5")


def task(data):
    return tasks.binary()


def make(data, seed):
    from .. import drawing

    def labels(draw, x):
        return (x[:, :1] > data["border"]).astype("float32")

    return drawing.dataset(data, seed, lambda draw: labels)
"""
MODEL = """
from dataclasses import dataclass

from ..settings import Model


@dataclass
class Settings(Model):
    kind: str = "linear"


    def input_fault(self, inputs):
        return None if len(inputs) == 1 else "model=linear takes rows of amounts"


def build(model, inputs, output):
    from keras.layers import Dense, Input
    from keras.models import Sequential

    return Sequential([Input(inputs), Dense(output.units, activation=output.activation)])
"""
COMMAND = """
def main(arguments):
    print("hello", *arguments)
    return 0
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for name in ("src", "conf"):
        shutil.copytree(REPOSITORY / name, folder / name)
    return folder


def run(copy: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "backendexp", *arguments],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_new_kinds_of_data_and_of_models_are_a_module_and_a_file_of_settings_each(copy: Path) -> None:
    worker = copy / "src" / "backendexp" / "worker"
    (worker / "data" / "halves.py").write_text(DATA)
    (copy / "conf" / "data" / "halves.yaml").write_text("kind: halves\nborder: 0.5\n")
    (worker / "models" / "linear.py").write_text(MODEL)
    (copy / "conf" / "model" / "linear.yaml").write_text("kind: linear\n")
    done = run(
        copy,
        *("backend=theano", "data=halves", "model=linear", "training.optimizer=sgd"),
        *("training.learning_rate=1", "training.epochs=30", "tracking=none"),
    )
    assert done.returncode == 0, done.stderr
    assert "FINISHED" in done.stdout
    accuracy = float(done.stdout.partition("accuracy")[2].split()[0])
    assert accuracy > 0.8  # a linear model learns it
    assert "is luck" not in done.stdout
    refused = run(copy, "data=halves", "data.border=2", "tracking=none")
    assert "data.border is 2.0: expected a number from 0 to 1, e.g. data.border=0.5" in refused.stderr
    refused = run(copy, "data=digits", "model=linear", "tracking=none")
    assert "a sample of x has the shape (8, 8, 1): model=linear takes rows of amounts" in refused.stderr
    refused = run(copy, "data.kind=halvs", "tracking=none")
    assert "Did you mean 'halves'?" in refused.stderr


def test_new_subcommand_is_one_module(copy: Path) -> None:
    (copy / "src" / "backendexp" / "cli" / "commands" / "hello.py").write_text(COMMAND)
    assert run(copy, "hello", "world").stdout == "hello world\n"
    assert "Did you mean 'hello'?" in run(copy, "helo").stderr


def test_new_experiment_is_its_module_and_its_file_of_settings(copy: Path) -> None:
    experiments = copy / "src" / "backendexp" / "experiments"
    (experiments / "twice.py").write_text(
        "from dataclasses import dataclass\n"
        "from backendexp.experiments import sweep\n"
        "from backendexp.experiments.base import PlannedRun\n"
        "CHOOSES_BACKENDS = False\n"
        "def first(spec, config):\n    return spec\n"
        "def plan(spec, config, say):\n    return Twice(spec)\n"
        "@dataclass\n"
        "class Settings:\n"
        "    enabled: bool = False\n"
        "@dataclass(frozen=True)\n"
        "class Twice:\n"
        "    spec: object\n"
        "    opening = ['The same run, twice.']\n"
        "    @property\n    def runs(self):\n        return [PlannedRun(self.spec)] * 2\n"
        "    def conclude(self, sweep_id, folder, records):\n"
        "        return sweep.conclusion_of(folder, records, 2)\n"
    )
    (copy / "conf" / "experiment" / "twice.yaml").write_text("# @package _global_\ntwice:\n  enabled: true\n")
    done = run(copy, "experiment=twice", "backend=theano", "training.epochs=2", "tracking=none")
    assert done.returncode == 0, done.stderr
    assert "The same run, twice." in done.stderr
    assert "2 of 2" in done.stdout
