"""Finds or builds the interpreter that can run a plan."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from backendexp.errors import BackendUnavailable, RuntimeUnavailable
from backendexp.runtimes import build, catalogue, inventory


@dataclass(frozen=True)
class Interpreter:
    """Names the interpreter that runs a worker.

    python: the path of the interpreter. own: whether it is the one that backendexp itself runs in.
    """

    python: str
    own: bool


class Place(Protocol):
    """Describes where a plan runs.

    python: the path of the interpreter to use, or None for the runtime's own.
    """

    @property
    def backend(self) -> str: ...

    @property
    def runtime(self) -> str: ...

    @property
    def python(self) -> str | None: ...


def check_available(spec: Place) -> None:
    """Check whether the runtime can serve the backend, within milliseconds and without importing an engine.

    A runtime that has been built always has its engines. For a runtime that has not been built yet, the tools
    that build it are looked for.
    Raises BackendUnavailable: the engine is missing; the message has the command that installs it.
    Raises RuntimeUnavailable: the tools that build the runtime are missing, or the interpreter that the plan
        names cannot be used.
    """
    engine = catalogue.RUNTIMES[spec.runtime].engines[spec.backend]
    if spec.python is not None:
        found = inventory.take_inventory(spec.python)
        _check_generation(spec, found)
        missing = next((m for m in ("keras", *engine.modules) if not found.has(m)), None)
        if missing:
            raise _engine_missing(spec, missing, spec.python, engine)
    elif catalogue.RUNTIMES[spec.runtime].recipe is None:
        missing = next((m for m in ("keras", *engine.modules) if not _importable(m)), None)
        if missing:
            raise _engine_missing(spec, missing, sys.executable, engine)
    elif not build.is_built(spec.runtime):
        build.find_tools(spec.runtime)


def prepare(spec: Place, say: Callable[[str], None]) -> Interpreter:
    """Return the interpreter for a plan, and build its runtime first if necessary.

    say: receives a message about what the user is waiting for.
    Raises RuntimeUnavailable: the runtime cannot be built.
    """
    if spec.python is not None:
        return Interpreter(spec.python, own=False)
    if catalogue.RUNTIMES[spec.runtime].recipe is None:
        return Interpreter(sys.executable, own=True)
    return Interpreter(build.ensure_built(spec.runtime, say), own=False)


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _check_generation(spec: Place, found: inventory.Inventory) -> None:
    wanted = catalogue.RUNTIMES[spec.runtime].generation
    if found.keras is not None and found.keras_generation != wanted:
        raise RuntimeUnavailable(
            f"runtime.python is {spec.python}, which has Keras {found.keras}, but runtime "
            f"{spec.runtime!r} expects Keras {wanted}. Use runtime=auto, which follows the "
            "generation of the interpreter"
        )


def _engine_missing(spec: Place, module: str, python: str, engine: catalogue.Engine) -> BackendUnavailable:
    install = engine.install if spec.python is None else f"{python} -m pip install {module.replace('_', '-')}"
    return BackendUnavailable(
        f"backend {spec.backend!r} is not available in runtime {spec.runtime!r}: no module named "
        f"{module!r}.\nExpected it in {python}. Install it with: {install}"
    )
