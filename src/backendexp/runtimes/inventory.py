"""Lists the packages that an interpreter has installed, without importing any of them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from backendexp.errors import RuntimeUnavailable
from backendexp.runtimes.catalogue import RUNTIMES

# These variables point to the packages of one interpreter, which another must not import.
PATHS_OF_AN_INTERPRETER = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")

_SCRIPT = Path(__file__).parent.parent / "worker" / "environment.py"
# The distributions whose names differ from the module that they provide.
_DISTRIBUTIONS = {"tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tf-nightly")}


@dataclass(frozen=True)
class Inventory:
    """Describes what an interpreter has installed.

    python: the version of Python.
    packages: maps the name of each distribution, in lower case with dashes, to its version.
    modules: the modules that the interpreter can import, out of keras and the modules of all engines.
    """

    python: str
    packages: dict[str, str]
    modules: frozenset[str]

    @property
    def keras(self) -> str | None:
        return self.version("keras")

    @property
    def keras_generation(self) -> int | None:
        return int(self.keras.split(".")[0]) if self.keras else None

    def version(self, module: str) -> str | None:
        """Return the version of the distribution that provides `module`, or None."""
        names = _DISTRIBUTIONS.get(module, (module,))
        return next((self.packages[name] for name in names if name in self.packages), None)

    def has(self, module: str) -> bool:
        return module in self.modules


@cache
def take_inventory(python: str) -> Inventory:
    """Return what a worker could import if `python` ran it.

    Raises RuntimeUnavailable: `python` does not run as an interpreter.
    """
    modules = {module for facts in RUNTIMES.values() for e in facts.engines.values() for module in e.modules}
    try:
        answer = subprocess.run(
            [python, str(_SCRIPT), "keras", *sorted(modules)],
            env=environment_for(python),
            capture_output=True,
            encoding="utf-8",
            timeout=30,
        )
        if answer.returncode:
            raise ValueError(answer.stderr.strip().splitlines()[-1:])
        fields = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        why = "it is a folder" if os.path.isdir(python) else error
        raise RuntimeUnavailable(
            f"runtime.python is {python!r}, which does not run as a Python interpreter: {why}. "
            "Expected the path of a Python 3.7, or 3.11 or newer, that has keras installed"
        ) from error
    packages = {name.lower().replace("_", "-"): version for name, version in fields["packages"].items()}
    return Inventory(fields["python"], packages, frozenset(fields["modules"]))


def environment_for(python: str) -> dict[str, str]:
    """Return the environment of this process, without our Python paths if `python` is another interpreter."""
    if python == sys.executable:
        return dict(os.environ)
    return {name: value for name, value in os.environ.items() if name not in PATHS_OF_AN_INTERPRETER}


def keras_generation_of(python: str) -> int:
    """Return the Keras generation of an interpreter: 2 or 3.

    Raises RuntimeUnavailable: the interpreter has no Keras, or a Keras of another generation.
    """
    inventory = take_inventory(python)
    if inventory.keras_generation not in (2, 3):
        raise RuntimeUnavailable(
            f"runtime.python is {python!r}, which has {_describe(inventory)}: expected Keras 2 or 3. "
            f"Install it with: {python} -m pip install keras"
        )
    return inventory.keras_generation


def _describe(inventory: Inventory) -> str:
    return f"Keras {inventory.keras}" if inventory.keras else "no Keras"
