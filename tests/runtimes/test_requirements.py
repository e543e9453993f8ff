"""The lock files pin every package, give the hash of every file to download, and name no package index."""

import re
from pathlib import Path

import pytest

from support.command import REPOSITORY

LOCKS = [
    REPOSITORY / "requirements.txt",
    REPOSITORY / "requirements" / "dev.txt",
    REPOSITORY / "src" / "backendexp" / "runtimes" / "keras2.txt",
]
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[\w,]+\])?==(?P<version>[^\s;\\]+)", re.MULTILINE)


def normal(name: str) -> str:
    """Return the normalised name of a distribution, as PEP 503 defines it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, str]:
    return {normal(found["name"]): found["version"] for found in PIN.finditer(path.read_text())}


def requirements(path: Path) -> list[str]:
    """Return the requirements of a lock file, each joined with its continuation lines."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    return [line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_requirement_is_a_pin_with_hashes(lock: Path) -> None:
    found = requirements(lock)
    assert len(found) > 20
    for requirement in found:
        assert PIN.match(requirement), requirement
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement), requirement


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_lock_names_a_package_index(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    # No option stands in it but the hashes, so none of an index or of a folder with packages.
    assert set(re.findall(r"^\s*(-[\w-]+)", text, re.MULTILINE)) == {"--hash"}
    assert "file:" not in text


def test_development_has_the_same_versions_as_the_project() -> None:
    project, development = (pins(lock) for lock in LOCKS[:2])
    assert project.items() <= development.items()


def test_locks_satisfy_the_declared_requirements() -> None:
    import tomllib

    from packaging.requirements import Requirement

    projects = [REPOSITORY, REPOSITORY / "packages" / "keras_theano"]
    declared = [
        line
        for project in projects
        for line in tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
    ]
    pinned = pins(LOCKS[0])
    # keras-theano is installed from the cloned repository.
    wanted = [one for one in map(Requirement, declared) if one.name != "keras-theano"]
    here = [r for r in wanted if r.marker is None or r.marker.evaluate()]
    assert len(here) > 5
    for requirement in here:
        version = pinned[normal(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is locked to {version}"


def test_runtime_of_the_tutorial_is_locked_as_it_is_asked_for() -> None:
    from packaging.requirements import Requirement

    pinned = pins(LOCKS[2])
    asked = (REPOSITORY / "requirements" / "keras2.in").read_text().splitlines()
    wanted = [Requirement(line) for line in asked if line.strip() and not line.startswith("#")]
    assert {"keras", "tensorflow", "theano"} <= {r.name for r in wanted}
    for requirement in wanted:
        assert requirement.specifier.contains(pinned[normal(requirement.name)])


def test_mlflow_and_conda_install_the_locked_versions() -> None:
    """Both files either refer to requirements.txt or name the same versions."""
    import yaml

    files = ["python_env.yaml", "conda.yaml"]
    checked = [name for name in files if (REPOSITORY / name).exists()]
    assert "python_env.yaml" in checked
    locked = pins(LOCKS[0])
    for name in checked:
        tree = yaml.safe_load((REPOSITORY / name).read_text())
        words = tree["dependencies"]
        pip = [line for word in words if isinstance(word, dict) for line in word.get("pip", [])]
        lines = pip if name == "conda.yaml" else words
        handed_over = [line for line in lines if line.split()[0] in ("-r", "--requirement")]
        named = [line for line in lines if line not in handed_over]
        assert handed_over in (["-r requirements.txt"], []), name
        assert handed_over or named, name
        for line in named:
            found = PIN.match(line)
            assert found, f"{name}: {line} is no pin"
            assert locked.get(normal(found["name"])) == found["version"], f"{name}: {line}"


def test_no_environment_of_mlflow_installs_the_project_itself() -> None:
    """Otherwise mlflow could run the code of one checkout for another."""
    for path in REPOSITORY.glob("*.yaml"):
        lines = [line.strip(" -") for line in path.read_text().splitlines() if not line.startswith("#")]
        assert not [line for line in lines if line in (".", "e .", "backendexp")]
