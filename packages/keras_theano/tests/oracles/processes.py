"""The environment of processes in which Keras starts in a third of the time."""

import os
from collections.abc import Mapping
from pathlib import Path

_LEAN_START = Path(__file__).with_name("lean_start")


def lean(environment: Mapping[str, str], backend: str) -> dict[str, str]:
    """Return the environment of a process that finds no other engine than that of the backend, and no
    scikit-learn, pandas and Matplotlib. Keras imports all of these if they are installed.
    """
    paths = [str(_LEAN_START), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths), "LEAN_START_ENGINE": backend}
