"""Leaves before it is ready; only its log knows why."""

import os
import sys
from pathlib import Path

Path(os.environ["BACKENDEXP_WORKER_LOG"]).write_text("a line before\nIllegal instruction in libengine\n")
sys.exit(7)
