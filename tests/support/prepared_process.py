"""Imports backendexp with what it imports from other packages, and then forks a process for each command.

Standard input holds one line of JSON for each command: `arguments` of backendexp, `folder` to run it in,
`environment`, `ignored`, the numbers of signals that it ignores, and `answer`, a folder for the files
`stdout`, `stderr` and `ended`. The answer to a line is the id of the process. `ended` holds its return code,
in the terms of subprocess.
"""

import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import sys
from pathlib import Path
from typing import Any

# The packages of backendexp without those of workers and clusters. What they import of others comes along.
_PARTS = ("analysis", "cli", "config", "experiments", "porting", "reporting", "runs", "runtimes", "tracking")


def main() -> None:
    # Without a buffer, so that a forked process finds nothing that was read ahead.
    orders = os.fdopen(0, "rb", buffering=0, closefd=False)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _prepare()
    running: dict[int, Path] = {}
    while True:
        for pid in list(running):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                _say_the_end(running.pop(pid), status)
        if not select.select([orders], [], [], 0.02 if running else None)[0]:
            continue
        line = orders.readline()
        if not line:
            return
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            answers.close()
            _become(order)
            return
        running[pid] = Path(order["answer"])
        print(pid, file=answers, flush=True)


def _prepare() -> None:
    from backendexp.tracking import mlflow_connection

    mlflow_connection.import_client(of_database=True)
    for part in _PARTS:
        package = importlib.import_module(f"backendexp.{part}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def _become(order: dict[str, Any]) -> None:
    """Run the command in this process, which ends as any other afterwards."""
    os.setsid()
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        signal.signal(number, signal.SIG_IGN if number in order["ignored"] else handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(Path(order["answer"], name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    # As with `python -m`, the working directory is the first place to look for modules.
    sys.path[0] = order["folder"]
    sys.argv = ["backendexp", *order["arguments"]]
    runpy.run_module("backendexp", run_name="__main__", alter_sys=True)


def _say_the_end(answer: Path, status: int) -> None:
    part = answer / "ended.part"
    part.write_text(str(os.waitstatus_to_exitcode(status)), encoding="utf-8")
    part.rename(answer / "ended")


if __name__ == "__main__":
    main()
