"""The command line as a user types it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


Command = Callable[..., subprocess.CompletedProcess[str]]
