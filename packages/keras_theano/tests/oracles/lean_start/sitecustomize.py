"""Hides packages from a process that starts with this folder on PYTHONPATH: see oracles.processes.lean."""

import os
import sys

_OPTIONAL = {"sklearn", "pandas", "matplotlib"}
_OTHERS = {"jax", "tensorflow", "torch"} - {os.environ["LEAN_START_ENGINE"]}

for _name in _OPTIONAL | _OTHERS:
    sys.modules[_name] = None  # type: ignore[assignment]
