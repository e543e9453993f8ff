"""Where a Python of a given version may be found: PATH, pyenv, uv."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from backendexp.errors import RuntimeUnavailable


def find_python(version: str) -> str | None:
    """Path of an interpreter of `version` ("3.7") that is on this machine, or None."""
    return next((python for python in _candidates(version) if _runs_as(python, version)), None)


def get_python(version: str, needed_by: str, say: Callable[[str], None]) -> str:
    """Path of an interpreter of `version`, downloaded by uv when the machine has none.

    Raises RuntimeUnavailable: none is here and none can be had; the message names every place.
    """
    found = find_python(version)
    if found:
        return found
    uv = find_uv()
    why = "uv is not installed"
    if uv:
        say(f"downloading Python {version} with uv: it is not on PATH and not in pyenv")
        answer = subprocess.run([uv, "python", "install", version], capture_output=True, text=True)
        found = find_python(version) if answer.returncode == 0 else None
        if found:
            return found
        why = (answer.stderr.strip().splitlines() or ["uv has none"])[-1].strip()
    raise RuntimeUnavailable(
        f"runtime {needed_by!r} needs Python {version}, and none was found: not as python{version} on "
        f"PATH, not in pyenv, and not from uv ({why}).\nExpected any one of them. Install it with: "
        f"pyenv install {version}   or: uv python install {version}   or: conda create -n py"
        f"{version.replace('.', '')} python={version}, and put its bin folder on PATH"
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
            text=True,
        )
        if found.returncode == 0:
            yield found.stdout.strip()


def _runs_as(python: str, version: str) -> bool:
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [python, "-E", "-s", "-c", script], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and answer.stdout.strip() == version
