"""The files of installed packages are found without importing the packages."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from backendexp.config import bundled
from backendexp.errors import ConfigError
from backendexp.worker import data
from backendexp.worker.bundled import File, Settings
from support.command import Command


@dataclass
class Ships(Settings):
    kind: str = "ships"
    FILE = File("ships_of_nobody", "data/ships.csv", "ships", "pip install ships")


@pytest.mark.parametrize("kind", ["digits", "mnist5k", "breast_cancer"])
def test_file_is_found(kind: str) -> None:
    found = bundled.file_of(data.kind(kind).Settings())
    assert found is not None
    assert Path(found).is_absolute()
    assert Path(found).stat().st_size > 50_000


@pytest.mark.parametrize("kind", ["random", "signal", "mnist1d", "addition", "npz"])
def test_other_kinds_have_no_file(kind: str) -> None:
    assert bundled.file_of(data.kind(kind).Settings()) is None


def test_missing_package_is_told_with_the_command_that_installs_it() -> None:
    said = (
        r"^data=ships is read from a file of ships, which is not installed here\. "
        r"Install it with: pip install ships$"
    )
    with pytest.raises(ConfigError, match=said):
        bundled.file_of(Ships())


def test_package_without_the_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "ships_of_nobody"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"ships\.csv, which is not there\. Another version of ships may"):
        bundled.file_of(Ships())
    (package / "data").mkdir()
    (package / "data" / "ships.csv").touch()
    assert bundled.file_of(Ships()) == str(package / "data" / "ships.csv")
    assert "ships_of_nobody" not in sys.modules


def test_looking_for_the_files_imports_no_package(project: Path) -> None:
    code = (
        "import sys; from backendexp.config import bundled; from backendexp.worker import data\n"
        "for kind in ('digits', 'mnist5k'): bundled.file_of(data.kind(kind).Settings())\n"
        "print(*sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"sklearn", "mlxtend", "numpy", "pandas"} & set(answer.stdout.split())


def test_too_many_samples_are_refused_before_anything_starts(backendexp: Command) -> None:
    ended = backendexp("data=digits", "data.samples=1700", "data.test_samples=500")
    assert ended.returncode == 2
    assert "together 2200, but data=digits has 1797 samples. Lower one of them" in ended.stderr
