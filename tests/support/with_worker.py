"""`python with_worker.py SCRIPT ARGUMENTS`: backendexp as a user types it, whose workers are that script of
tests/workers: what happens around the training, without the minutes of an engine.
"""

import sys
from pathlib import Path

from backendexp.cli import main
from backendexp.runs import workers

workers.WORKER = Path(__file__).parent / "workers" / f"{sys.argv.pop(1)}.py"
sys.exit(main.main())
