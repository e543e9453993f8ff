"""Builds the runtimes that backendexp provides itself: one virtual environment for each lock file.

A runtime is in <cache>/runtimes/<name>-<digest of its lock>. It is built in a folder next to that one, which
is then renamed, under a file lock. A folder of that name is therefore complete or absent: two processes
may need it at the same time, and a process that is killed leaves nothing broken.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from backendexp import cache, places
from backendexp.errors import RuntimeUnavailable
from backendexp.runtimes import catalogue, interpreters

RECIPES = {name: facts.recipe for name, facts in catalogue.RUNTIMES.items() if facts.recipe is not None}


def is_built(name: str) -> bool:
    return Path(python_of(name)).exists()


def ensure_built(name: str, say: Callable[[str], None]) -> str:
    """Return the path of the runtime's interpreter, and build the runtime first if it does not exist.

    say: receives messages about the progress, for the user.
    Raises RuntimeUnavailable: the base interpreter or uv was not found, or the installation failed.
    """
    home = _home(name)
    if not is_built(name):
        from filelock import FileLock, Timeout

        if (error := cache.why_not(home.parent)) is not None:
            raise RuntimeUnavailable(
                f"runtime {name!r} must be built first: {places.sentence(error, home.parent, places.CACHE)}"
            )
        lock = FileLock(str(home) + ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"waiting for another process, which is building runtime {name}")
            lock.acquire()
        try:
            if not is_built(name):
                _build(name, home, say)
        finally:
            lock.release()
    return python_of(name)


def find_tools(name: str) -> tuple[str, str]:
    """Return the paths of uv and of the base interpreter that the runtime is built with.

    Raises RuntimeUnavailable: one of them was not found.
    """
    uv = interpreters.find_uv()
    if uv is None:
        raise RuntimeUnavailable(
            f"runtime {name!r} must be built first, but uv, which builds it, was not found.\n"
            "Install it with: pip install uv"
        )
    return uv, interpreters.find_python(RECIPES[name].python, needed_by=name)


def python_of(name: str) -> str:
    """Return the path of the runtime's interpreter, whether or not the runtime has been built."""
    return _python_of(_home(name))


def _home(name: str) -> Path:
    recipe = RECIPES[name]
    content = lock_path(name).read_bytes() + recipe.python.encode()
    return cache.folder("runtimes") / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"


def lock_path(name: str) -> Path:
    return Path(__file__).parent / RECIPES[name].lock


def _python_of(home: Path) -> str:
    return str(home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))


def _build(name: str, home: Path, say: Callable[[str], None]) -> None:
    uv, base = find_tools(name)
    packages = lock_path(name).read_text(encoding="utf-8").count("==")
    say(f"building runtime {name} (once): Python {RECIPES[name].python}, {packages} packages")
    began = time.perf_counter()
    half_built = home.with_name(f"{home.name}.building-{os.getpid()}")
    shutil.rmtree(half_built, ignore_errors=True)
    try:
        _run(name, [uv, "venv", "--quiet", "--no-project", "--relocatable", "-p", base, str(half_built)])
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--require-hashes"]
        _run(name, [*install, "-p", _python_of(half_built), "-r", str(lock_path(name))])
        os.rename(half_built, home)
    finally:
        shutil.rmtree(half_built, ignore_errors=True)
    say(f"built runtime {name} in {time.perf_counter() - began:.0f} s: {home}")


def _run(name: str, command: list[str]) -> None:
    environment = dict(os.environ)
    # uv does not read pip's settings, but a user who has set a mirror for pip wants it used here too.
    if "PIP_INDEX_URL" in environment and "UV_INDEX_URL" not in environment:
        environment.setdefault("UV_DEFAULT_INDEX", environment["PIP_INDEX_URL"])
    answer = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", env=environment)
    if answer.returncode:
        raise RuntimeUnavailable(
            f"runtime {name!r} could not be built: {answer.stderr.strip() or answer.stdout.strip()}\n"
            f"The command was: {' '.join(command)}"
        )
