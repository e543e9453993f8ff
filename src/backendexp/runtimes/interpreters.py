"""Where a Python of a given version may be found: PATH, pyenv, uv, conda."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from backendexp.errors import RuntimeUnavailable


def find_python(version: str, needed_by: str) -> str:
    """Path of an interpreter of `version` ("3.7").

    Raises RuntimeUnavailable: none is here; the message names every place that was looked at.
    """
    for candidate in _candidates(version):
        if _runs_as(candidate, version):
            return candidate
    name = f"py{version.replace('.', '')}"
    raise RuntimeUnavailable(
        f"runtime {needed_by!r} needs Python {version}, and none was found: not as python{version} on "
        f"PATH, not in pyenv, not in uv, not in conda's environments.\nExpected any one of them. Install "
        f"it with: pyenv install {version}   or: conda create -n {name} python={version}"
    )


def find_uv() -> str | None:
    """The uv of this environment, or of PATH."""
    try:
        from uv import find_uv_bin

        return os.fsdecode(find_uv_bin())
    except (ImportError, FileNotFoundError):
        return shutil.which("uv")


def _candidates(version: str) -> Iterator[str]:
    yield from filter(None, [shutil.which(f"python{version}")])
    yield from _of_pyenv(version)
    yield from _of_uv(version)
    yield from _of_conda()


def _of_pyenv(version: str) -> Iterator[str]:
    """pyenv's shims refuse versions that are not active, so look into its folder of versions."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = (root / "versions").glob(f"{version}.*")
    for folder in sorted(folders, key=lambda f: [int(p) for p in f.name.split(".") if p.isdigit()]):
        python = folder / ("python.exe" if sys.platform == "win32" else "bin/python")
        if python.exists():
            yield str(python)


def _of_uv(version: str) -> Iterator[str]:
    uv = find_uv()
    if uv:
        found = subprocess.run(
            [uv, "python", "find", "--no-project", "--offline", "--managed-python", version],
            capture_output=True,
            encoding=sys.getfilesystemencoding(),
            errors="surrogateescape",
        )
        if found.returncode == 0:
            yield found.stdout.strip()


def _of_conda() -> Iterator[str]:
    """Conda lists its environments in a file, whatever their Python."""
    listing = Path.home() / ".conda" / "environments.txt"
    if listing.exists():
        for folder in listing.read_text(encoding="utf-8", errors="surrogateescape").split("\n"):
            python = Path(folder.strip()) / ("python.exe" if sys.platform == "win32" else "bin/python")
            if folder.strip() and python.exists():
                yield str(python)


def _runs_as(python: str, version: str) -> bool:
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [python, "-E", "-s", "-c", script],
            capture_output=True,
            encoding="ascii",
            errors="replace",
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and answer.stdout.strip() == version
