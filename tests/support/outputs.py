"""Command lines whose workers are scripts, and how their runs ended."""

import json
import sys
from pathlib import Path

WITH_WORKER = str(Path(__file__).with_name("with_worker.py"))


NO_STORE = "tracking.kind=none"


def command(script: str, *arguments: str) -> list[str]:
    """backendexp, whose workers are that script of tests/workers."""
    return [sys.executable, WITH_WORKER, script, *arguments]


def status(project: Path) -> str:
    """Of the one run that is recorded below `project`."""
    (result,) = (project / "outputs").rglob("result.json")
    return str(json.loads(result.read_text(encoding="utf-8"))["status"])
