"""Exits before it is ready. Only its log contains the reason."""

import os
import sys
from pathlib import Path

Path(os.environ["BACKENDEXP_WORKER_LOG"]).write_text("a line before\nIllegal instruction in libengine\n")
sys.exit(7)
