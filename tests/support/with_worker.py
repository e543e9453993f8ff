"""Runs the command line of backendexp with a script from tests/support/workers as its worker:
`python with_worker.py SCRIPT ARGUMENTS`. This tests what happens around the training, without the minutes
that an engine takes.
"""

import sys
from pathlib import Path

from backendexp.cli import main
from backendexp.runs import worker_pool

worker_pool.WORKER = Path(__file__).parent / "workers" / f"{sys.argv.pop(1)}.py"
sys.exit(main.main())
