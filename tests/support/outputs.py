"""Command lines whose workers are scripts, and the status of their runs."""

import json
import sys
from pathlib import Path

WITH_WORKER = str(Path(__file__).with_name("with_worker.py"))


NO_STORE = "tracking.kind=none"


def command(script: str, *arguments: str) -> list[str]:
    """Return the command line of backendexp, with this script from tests/support/workers as its worker."""
    return [sys.executable, WITH_WORKER, script, *arguments]


def status(project: Path) -> str:
    """Return the status of the only run that is recorded in `project`."""
    (result,) = (project / "outputs").rglob("result.json")
    return str(json.loads(result.read_text(encoding="utf-8"))["status"])
