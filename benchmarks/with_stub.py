"""Runs the command line of backendexp with a worker that trains nothing: `python with_stub.py ARGUMENTS`."""

import sys
from pathlib import Path

from backendexp.cli import main
from backendexp.runs import worker_pool


def use_stub() -> None:
    worker_pool.WORKER = Path(__file__).with_name("stub_worker.py")


if __name__ == "__main__":
    use_stub()
    sys.exit(main.main())
