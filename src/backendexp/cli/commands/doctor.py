"""`backendexp doctor` shows which backends can run here, on which runtime, and what the others lack."""

import argparse
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from backendexp import cache, places
from backendexp.errors import RuntimeUnavailable
from backendexp.runs import machine
from backendexp.runs.plan import usable_cores
from backendexp.runtimes import build, catalogue, interpreters, inventory
from backendexp.runtimes.catalogue import RuntimeFacts
from backendexp.tracking import addresses


@dataclass(frozen=True)
class Finding:
    """Describes one backend on one runtime.

    state: "ready", "missing", or "on first use" if the runtime will be built when it is first needed.
    versions: the versions of Keras, the engine and Python, or what is missing.
    remedy: the command that provides what is missing.
    """

    runtime: str
    backend: str
    state: str
    versions: str
    remedy: str


def main(arguments: list[str]) -> int:
    """Print the findings and return the exit code.

    0: at least one backend can run. 1: no backend can run.
    """
    parser = argparse.ArgumentParser("backendexp doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "--build", choices=list(build.RECIPES), help="build a runtime now, so that it is available offline"
    )
    asked = parser.parse_args(arguments)
    if asked.build:
        build.ensure_built(asked.build, lambda text: print(text, file=sys.stderr, flush=True))
    findings = examine()
    if asked.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        _print(findings)
    return 0 if any(finding.state != "missing" for finding in findings) else 1


def examine() -> list[Finding]:
    """Return a finding for every backend of every runtime. No process imports an engine for it."""
    return [
        finding
        for facts in catalogue.RUNTIMES.values()
        for finding in (_of_own_interpreter(facts) if facts.recipe is None else _of_built(facts))
    ]


def _of_own_interpreter(facts: RuntimeFacts) -> list[Finding]:
    return _of_inventory(facts, inventory.take_inventory(sys.executable), remedies=True)


def _of_built(facts: RuntimeFacts) -> list[Finding]:
    if build.is_built(facts.name):
        return _of_inventory(facts, inventory.take_inventory(build.python_of(facts.name)), remedies=False)
    try:
        _, base = build.find_tools(facts.name)
        state, versions = "on first use", f"will be built with {base}"
        remedy = f"backendexp doctor --build {facts.name}"
    except RuntimeUnavailable as error:
        state = "missing"
        versions, _, remedy = str(error).partition("\n")
        remedy = remedy.partition("Install it with: ")[2]
    return [Finding(facts.name, backend, state, versions, remedy) for backend in facts.engines]


def _of_inventory(facts: RuntimeFacts, found: inventory.Inventory, remedies: bool) -> list[Finding]:
    findings = []
    for backend, engine in facts.engines.items():
        missing = next((module for module in engine.modules if not found.has(module)), None)
        if found.keras is None:
            state, text, remedy = "missing", "no keras", "pip install keras"
        elif found.keras_generation != facts.generation:
            state, text = "missing", f"Keras {found.keras}: expected {facts.generation}"
            remedy = f"pip install 'keras=={facts.generation}.*'"
        elif missing is not None:
            state, text = "missing", f"no module named {missing!r}"
            remedy = engine.install if remedies else f"backendexp doctor --build {facts.name}"
        else:
            state, remedy = "ready", ""
            version = found.version(engine.modules[0])
            text = f"Keras {found.keras}, {engine.title} {version}, Python {found.python}"
        findings.append(Finding(facts.name, backend, state, text, remedy))
    return findings


def _cache() -> str:
    place = cache.folder()
    why = cache.why_not(place)
    return str(place) if why is None else places.sentence(why, place, places.CACHE)


def _print(findings: list[Finding]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("runtime", "backend", "state", "versions, or what is missing", "remedy", box=SIMPLE)
    for finding in findings:
        table.add_row(*(escape(value) for value in asdict(finding).values()))
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)
    no_compiler = "none: Theano 1.0.4 falls back to slow Python code. Install it with: apt install g++"
    compiler = shutil.which("g++") or no_compiler
    uv = interpreters.find_uv() or "none. Install it with: pip install uv"
    store = os.environ.get("MLFLOW_TRACKING_URI")
    for title, value in (
        ("machine", f"{machine.cpu_model()}, {usable_cores()} cores"),
        ("interpreter", sys.executable),
        ("uv", uv),
        ("C++ compiler", compiler),
        ("cache", _cache()),
        ("tracking", addresses.shown(store) if store else f"sqlite, {Path.cwd() / 'mlflow.db'}"),
    ):
        print(f"  {title}: {value}")
