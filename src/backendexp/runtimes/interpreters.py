"""Finds a Python of a given version on PATH, or among the interpreters of pyenv, uv and conda."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from backendexp.errors import RuntimeUnavailable


def find_python(version: str, needed_by: str) -> str:
    """Return the path of an interpreter of the given version.

    version: major and minor version, such as "3.7". needed_by: the runtime that needs it, for the message.
    Raises RuntimeUnavailable: none was found; the message names every place that was searched.
    """
    for candidate in _candidates(version):
        if _runs_as(candidate, version):
            return candidate
    name = f"py{version.replace('.', '')}"
    raise RuntimeUnavailable(
        f"runtime {needed_by!r} needs Python {version}, but it was not found: not as python{version} on "
        f"PATH, not in pyenv, not in uv, not in conda's environments.\nExpected it in any of these places. "
        f"Install it with: pyenv install {version}   or: conda create -n {name} python={version}"
    )


def find_uv() -> str | None:
    """Return the path of uv, from this environment or from PATH, or None if there is no uv."""
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
    """Look into pyenv's folder of versions, because its shims refuse versions that are not active."""
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
    """Look into all environments of conda. It lists them in a file, whatever version of Python they have."""
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
