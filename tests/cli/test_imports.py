"""Each command imports only the packages that it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backendexp.cli import exit_codes
from support.command import Command
from support.imported import HEAVY, WATCHED, split


def loaded_by(code: str, folder: Path) -> set[str]:
    answer = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        cwd=folder,
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    return {name.split(".")[0] for name in answer.stdout.split()}


@pytest.mark.parametrize(
    "code",
    [
        "import backendexp",
        "import backendexp.cli.main",
        "from backendexp.cli import application, mlproject",
        "from backendexp.cli.commands import compare, doctor, port, sync, ui",
    ],
)
def test_importing_backendexp_loads_neither_keras_nor_mlflow(code: str, project: Path) -> None:
    loaded = loaded_by(code, project)
    assert not loaded & HEAVY
    assert "backendexp" in loaded


def test_what_only_a_comparison_needs_is_not_loaded_by_every_start(project: Path) -> None:
    loaded = loaded_by("from backendexp.cli import application", project)
    assert not {"numpy", "scipy", "statsmodels", "matplotlib", "jinja2"} & loaded


def test_importing_the_package_loads_nothing_but_itself(project: Path) -> None:
    loaded = loaded_by("import backendexp", project)
    assert not {"hydra", "omegaconf", "numpy", "rich"} & loaded


@pytest.mark.parametrize("arguments", [["--help"], ["doctor"], ["doctor", "--json"]], ids=" ".join)
def test_informational_commands_load_no_engine(arguments: list[str], backendexp: Command) -> None:
    ended = backendexp(*arguments, env=WATCHED)
    imported, printed = split(ended.stderr)
    assert (ended.returncode, printed) == (0, "")
    assert not imported & HEAVY
    assert "backendexp" in imported


def test_doctor_loads_no_hydra(backendexp: Command) -> None:
    imported, _ = split(backendexp("doctor", "--json", env=WATCHED).stderr)
    assert not {"hydra", "omegaconf"} & imported


def test_compare_finds_out_that_there_is_no_store_before_it_loads_anything_slow(backendexp: Command) -> None:
    ended = backendexp("compare", env=WATCHED)
    imported, printed = split(ended.stderr)
    assert ended.returncode == exit_codes.BAD_INPUT
    assert "does not exist, so there are no runs to read" in printed
    assert not (HEAVY | {"numpy", "scipy", "statsmodels"}) & imported


def test_watching_imports_sees_an_import(backendexp: Command) -> None:
    """Without this, the tests above could not fail."""
    imported, _ = split(backendexp("--help", env=WATCHED).stderr)
    assert "hydra" in imported
