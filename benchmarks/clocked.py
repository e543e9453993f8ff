"""Runs backendexp and records when each of its stages begins and ends.

python clocked.py SPANS.json [OVERRIDES ...]

It writes a list of [stage, began, ended], in seconds since 1970, as in the events of the worker. Nothing else
in backendexp is changed.
"""

import functools
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

STAGES = {
    "job": "backendexp.cli.application:Application.run_job",
    "run": "backendexp.runs.session:Session.run",
    "mlflow begin": "backendexp.runs.session:Session._begin_tracking",
    "mlflow end": "backendexp.runs.session:Session._end_tracking",
    "record begin": "backendexp.runs.record:begin",
    "record finish": "backendexp.runs.record:finish",
    "worker": "backendexp.runs.worker_pool:Worker.run",
}

Span = tuple[str, float, float]


def clock(stage: str, address: str, spans: list[Span]) -> None:
    module, path = address.split(":")
    owner: Any = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    function = getattr(owner, name)

    @functools.wraps(function)
    def clocked(*args: Any, **kwargs: Any) -> Any:
        began = time.time()
        try:
            return function(*args, **kwargs)
        finally:
            spans.append((stage, began, time.time()))

    setattr(owner, name, clocked)


def main(target: Path, overrides: list[str]) -> int:
    from backendexp.cli import main

    spans: list[Span] = []
    for stage, address in STAGES.items():
        clock(stage, address, spans)
    sys.argv[1:] = overrides
    try:
        return main.main()
    finally:
        target.write_text(json.dumps(spans))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), sys.argv[2:]))
