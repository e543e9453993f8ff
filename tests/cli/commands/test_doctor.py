import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from backendexp.cli.commands import doctor
from backendexp.cli.commands.doctor import Finding
from backendexp.runtimes import catalogue
from backendexp.runtimes.inventory import Inventory


def found(findings: list[Finding], runtime: str, backend: str) -> Finding:
    (one,) = [f for f in findings if (f.runtime, f.backend) == (runtime, backend)]
    return one


def test_every_backend_of_every_runtime_has_a_finding() -> None:
    places = [(f.runtime, f.backend) for f in doctor.examine()]
    assert places == [(facts.name, b) for facts in catalogue.RUNTIMES.values() for b in facts.engines]


def test_installed_backend_is_ready_with_its_versions() -> None:
    jax = found(doctor.examine(), "keras3", "jax")
    assert (jax.state, jax.remedy) == ("ready", "")
    assert jax.versions.startswith(f"Keras {version('keras')}, JAX {version('jax')}, Python 3.")


def test_built_runtime_is_ready_with_its_versions(keras2_python: str) -> None:
    theano = found(doctor.examine(), "keras2", "theano")
    assert (theano.state, theano.remedy) == ("ready", "")
    assert theano.versions.startswith("Keras 2.3.1, Theano 1.0.4, Python 3.7.")


def test_runtime_that_can_be_built_comes_on_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKENDEXP_CACHE", str(tmp_path))
    theano = found(doctor.examine(), "keras2", "theano")
    assert theano.state == "on first use"
    assert theano.remedy == "backendexp doctor --build keras2"
    assert theano.versions.startswith("will be built with ")


def test_runtime_that_cannot_be_built_is_missing_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKENDEXP_CACHE", str(tmp_path))
    for name in ("PATH", "PYENV_ROOT", "HOME", "UV_PYTHON_INSTALL_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    theano = found(doctor.examine(), "keras2", "theano")
    assert theano.state == "missing"
    assert theano.versions.startswith("runtime 'keras2' needs Python 3.7, but it was not found")
    assert theano.remedy.startswith("pyenv install 3.7")


@pytest.mark.parametrize(
    ("packages", "versions", "remedy"),
    [
        ({}, "no keras", "pip install keras"),
        ({"keras": "2.3.1", "jax": "0.10"}, "Keras 2.3.1: expected 3", "pip install 'keras==3.*'"),
        ({"keras": "3.15.1"}, "no module named 'jax'", "pip install 'backendexp[jax]'"),
    ],
)
def test_missing_package_is_reported_with_the_line_that_installs_it(
    packages: dict[str, str], versions: str, remedy: str
) -> None:
    findings = doctor._of_inventory(
        catalogue.KERAS3, Inventory("3.11.7", packages, frozenset(packages)), remedies=True
    )
    jax = found(findings, "keras3", "jax")
    assert (jax.state, jax.versions, jax.remedy) == ("missing", versions, remedy)


def test_findings_are_available_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {"runtime", "backend", "state", "versions", "remedy"} == set(findings[0])
    assert {f["backend"] for f in findings} == set(catalogue.BACKENDS)


def test_findings_are_shown_with_the_machine_and_the_store(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    assert doctor.main([]) == 0
    shown = capsys.readouterr().out
    for word in ("keras3", "keras2", "theano", "ready", f"interpreter: {sys.executable}", "C++ compiler: "):
        assert word in shown
    assert f"tracking: sqlite, {project}{os.sep}mlflow.db" in shown
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    doctor.main([])
    assert "tracking: http://tracking:5000" in capsys.readouterr().out


def test_runtime_that_is_already_built_is_not_built_again(
    keras2_python: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.main(["--build", "keras2", "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert json.loads(printed.out)


@pytest.mark.parametrize("argument", ["--build=keras4", "--unknown", "word"])
def test_unknown_argument_is_refused(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        doctor.main([argument])
    assert ended.value.code == 2
    assert "usage: backendexp doctor" in capsys.readouterr().err
