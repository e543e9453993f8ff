"""A Python is searched for in folders that are made for the test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backendexp.errors import RuntimeUnavailable
from backendexp.runtimes import interpreters

OURS = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hide all interpreters on PATH, in pyenv, in uv and in conda."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)  # otherwise uv would offer the active environment
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    return tmp_path


def script(path: Path, content: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)
    return str(path)


def ours(path: Path) -> str:
    """Write a script that runs our own interpreter under another path."""
    return script(path, f'#!/bin/sh\nexec {sys.executable} "$@"\n')


def test_missing_interpreter_is_reported_with_all_places_that_were_searched() -> None:
    with pytest.raises(RuntimeUnavailable) as refusal:
        interpreters.find_python("3.99", needed_by="keras2")
    message = str(refusal.value)
    assert message.startswith(
        "runtime 'keras2' needs Python 3.99, but it was not found: not as python3.99 on"
    )
    for place in ("PATH", "pyenv", "uv", "conda"):
        assert place in message
    assert "pyenv install 3.99" in message


def test_interpreter_on_path_is_found(nowhere: Path) -> None:
    python = ours(nowhere / "bin" / f"python{OURS}")
    assert interpreters.find_python(OURS, "x") == python


def test_interpreter_of_pyenv_is_found_although_it_is_not_active(nowhere: Path) -> None:
    python = ours(nowhere / "pyenv" / "versions" / f"{OURS}.9" / "bin" / "python")
    assert interpreters.find_python(OURS, "x") == python


def test_pyenvs_folder_is_looked_for_at_home_by_default(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYENV_ROOT")
    python = ours(nowhere / "home" / ".pyenv" / "versions" / f"{OURS}.9" / "bin" / "python")
    assert interpreters.find_python(OURS, "x") == python


def test_interpreter_of_a_conda_environment_is_found(nowhere: Path) -> None:
    python = ours(nowhere / "conda" / "envs" / "old" / "bin" / "python")
    listing = nowhere / "home" / ".conda" / "environments.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text(f"{nowhere}/removed\n\n{nowhere}/conda/envs/old\n")
    assert interpreters.find_python(OURS, "x") == python


@pytest.mark.parametrize(
    "content",
    ["#!/bin/sh\necho 'pyenv: python3.99: command not found' >&2\nexit 127\n", "#!/nowhere\n", "\x00"],
    ids=["a shim that is not active", "its interpreter is gone", "no program"],
)
def test_candidate_that_does_not_run_is_passed_over(content: str, nowhere: Path) -> None:
    script(nowhere / "bin" / f"python{OURS}", content)
    python = ours(nowhere / "pyenv" / "versions" / f"{OURS}.9" / "bin" / "python")
    assert interpreters.find_python(OURS, "x") == python


def test_candidate_of_another_version_is_passed_over(nowhere: Path) -> None:
    script(nowhere / "bin" / "python3.99", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    with pytest.raises(RuntimeUnavailable):
        interpreters.find_python("3.99", "x")


def test_uv_of_this_environment_is_found_without_path() -> None:
    uv = interpreters.find_uv()
    assert uv is not None
    answer = subprocess.run([uv, "--version"], capture_output=True, text=True, env=dict(os.environ))
    assert answer.stdout.startswith("uv ")
