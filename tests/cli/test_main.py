"""The command line has the right exit codes, prints to the right streams, and leaves the right files."""

import re
from pathlib import Path

import numpy as np
import pytest

from backendexp.cli import command_names, exit_codes, main
from backendexp.config import schema
from support.arrays import good_arrays
from support.command import Command
from support.imported import HEAVY, WATCHED, split

BAD = [
    (["backend=thaeno"], "backend=thaeno is not known. Did you mean 'theano'?"),
    (["runtime=keras2", "backend=jax"], "backend 'jax' is not offered by runtime 'keras2'"),
    (["training.epocs=3"], "Did you mean 'training.epochs'?"),
    (["training.epochs=abc"], "training.epochs: Value 'abc'"),
    (["model.hidden_units=[]"], "model.hidden_units is empty"),
    (["training.learning_rate=nan"], "training.learning_rate is nan"),
    (["data.samples=1000000000", "data.features=1000000000"], "GiB"),
    (["data=npz", "data.path=missing.npz"], "no such file"),
    (["data=npz", "data.path=pickled.npz"], "cannot be read as .npz"),
    (["tracking.uri=sqlite:///"], "tracking.uri is sqlite:///: it does not name a file"),
    (["tracking.uri=http://"], "tracking.uri is http://: it does not name a host"),
    (
        ["-m", "seed=0,1", "tracking.uri=ftp://host"],
        "tracking.uri is ftp://host: 'ftp' is not a kind of store",
    ),
    (["tracking.uri='postgresql://me:p@ss@host/db'"], "it has more than one @"),
    (["tracking.uri=mssql://host/db"], "it needs the driver pyodbc"),
    (["experiment=compare", f"tracking.experiment={'x' * 300}"], "tracking.experiment has 300 characters"),
    (["-m", "seed=0,1,2", "backend=jax,thaeno"], "Did you mean 'theano'?"),
    (["-m", "backend=jax", "seed=0,1,-1"], "seed is -1"),
    (["docter"], "Did you mean 'doctor'?"),
    (["--backend", "jax"], "--backend is not an option"),
    (["--cfg", "job", "backend=thaeno"], "thaeno"),
    (["sync", "nowhere"], "nowhere does not exist"),
    (["ui"], "mlflow.db does not exist yet"),
    (["ui", "port=0"], "port is '0'"),
    (["compare"], "mlflow.db does not exist, so there are no runs to read"),
    (["compare", "--format", "htm"], "--format is 'htm'. Did you mean 'html'?"),
]


@pytest.mark.parametrize(("arguments", "said"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_gives_one_message_and_leaves_no_files(
    arguments: list[str], said: str, backendexp: Command, project: Path
) -> None:
    before = set()
    if "data.path=pickled.npz" in arguments:
        objects = np.array([{"a": 1}], dtype=object)
        np.savez(project / "pickled.npz", **(good_arrays() | {"x_train": objects}))  # type: ignore[arg-type]
        before.add(project / "pickled.npz")
    ended = backendexp(*arguments, env=WATCHED)
    imported, printed = split(ended.stderr)
    assert ended.returncode == exit_codes.BAD_INPUT
    assert printed.startswith("backendexp: ")
    assert said in printed
    assert "Traceback" not in printed
    assert len(printed.splitlines()) <= 4
    assert ended.stdout == ""
    assert set(project.iterdir()) == before
    assert not imported & HEAVY
    assert "backendexp" in imported


@pytest.mark.parametrize("uri", ["sqlite:///", "http://", "ftp://host"])
@pytest.mark.parametrize("arguments", [["backend=jax"], ["compare"], ["ui"]])
def test_impossible_store_in_the_environment_is_refused_immediately(
    uri: str, arguments: list[str], backendexp: Command, project: Path
) -> None:
    ended = backendexp(*arguments, env={**WATCHED, "MLFLOW_TRACKING_URI": uri})
    imported, printed = split(ended.stderr)
    assert ended.returncode == exit_codes.BAD_INPUT
    assert printed.startswith(f"backendexp: MLFLOW_TRACKING_URI is {uri}: ")
    assert ended.stdout == ""
    assert list(project.iterdir()) == []
    assert not imported & (HEAVY | {"sqlalchemy"})


@pytest.mark.parametrize(
    "arguments", [["--help"], *([command, "--help"] for command in command_names.names())]
)
def test_help_is_printed_and_no_files_are_created(
    arguments: list[str], backendexp: Command, project: Path
) -> None:
    ended = backendexp(*arguments)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "backendexp" in ended.stdout
    assert list(project.iterdir()) == []


def test_configuration_is_shown_without_a_run(backendexp: Command, project: Path) -> None:
    ended = backendexp("--cfg", "job", "training.epochs=7")
    assert ended.returncode == 0
    assert "epochs: 7" in ended.stdout
    assert list(project.iterdir()) == []


def test_every_command_is_a_module_with_a_main() -> None:
    from importlib import import_module

    for name in command_names.names():
        assert callable(import_module(f"backendexp.cli.commands.{name}").main)


def test_each_kind_of_ending_has_its_exit_code() -> None:
    codes = {
        exit_codes.OK,
        exit_codes.RUN_FAILED,
        exit_codes.BAD_INPUT,
        exit_codes.NOT_TRACKED,
        exit_codes.HUNG_UP,
        exit_codes.INTERRUPTED,
        exit_codes.TERMINATED,
    }
    assert codes == {0, 1, 2, 3, 129, 130, 143}
    documented = main.main.__doc__ or ""
    assert {int(code) for code in re.findall(r"\b\d+\b", documented)} == codes


def test_configuration_files_are_found() -> None:
    assert (schema.conf_dir() / "config.yaml").is_file()
