"""The command line as a user types it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
# The first line of a script. Keras imports these packages if they are installed, and the scripts need none.
LEAN = 'import sys; sys.modules.update(dict.fromkeys(("sklearn", "pandas", "matplotlib")))\n'

Command = Callable[..., subprocess.CompletedProcess[str]]
