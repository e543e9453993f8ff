"""A contract in pyproject.toml describes the layers of the code, and a forbidden import breaks it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import REPOSITORY

THEANO = "keras_theano/src/keras_theano"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    shutil.copytree(REPOSITORY / "src", folder / "src")
    shutil.copytree(REPOSITORY / "packages" / "keras_theano" / "src", folder / "keras_theano" / "src")
    return folder


def checked(copy: Path) -> "subprocess.CompletedProcess[str]":
    paths = [str(copy / "src"), str(copy / "keras_theano" / "src")]
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )


def test_code_keeps_the_contract(copy: Path) -> None:
    answer = checked(copy)
    assert answer.returncode == 0, answer.stdout
    assert " 0 broken" in answer.stdout


@pytest.mark.parametrize(
    ("module", "forbidden", "said"),
    [
        ("src/backendexp/config/schema.py", "import backendexp.cli.main", "config is not allowed to import"),
        ("src/backendexp/worker/engine.py", "import backendexp.errors", "worker is not allowed to import"),
        ("src/backendexp/runs/events.py", "import backendexp.runs.session", "No cycles are allowed"),
        (
            "keras_theano/src/keras_theano/tracing/tensor.py",
            "import keras_theano.src.ops",
            "is not allowed to import",
        ),
        ("keras_theano/src/keras_theano/hook/loader.py", "import backendexp", "is not allowed to import"),
    ],
)
def test_forbidden_import_breaks_the_contract(module: str, forbidden: str, said: str, copy: Path) -> None:
    file = copy / module
    text = file.read_text()
    file.write_text(f"{text}\n{forbidden}\n")
    try:
        answer = checked(copy)
    finally:
        file.write_text(text)
    assert answer.returncode == 1
    assert said in answer.stdout
