"""Runs a script in a process of its own on a chosen backend of Keras."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from oracles.processes import lean


def trained(
    backend: str,
    folder: Path,
    script: str | Path,
    *arguments: str,
    mode: str = "auto",
    only_engine: bool = True,
) -> dict[str, Any]:
    """Return the arrays that the script saved as an `npz` file at the path in `sys.argv[1]`.

    script: its text, or the path of its file.
    arguments: further arguments of the script.
    mode: KERAS_THEANO_MODE.
    only_engine: whether the process finds no other engine than that of the backend.
    """
    path = folder / f"{backend}.npz"
    environment = {**os.environ, "KERAS_BACKEND": backend, "KERAS_HOME": str(folder), "OMP_NUM_THREADS": "1"}
    if backend == "jax":
        # It takes half the time to compile.
        environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    if backend == "tensorflow":
        # TensorFlow turns this on itself on some processors only. Without it, it lacks dilated transposed
        # convolutions.
        environment["TF_ENABLE_ONEDNN_OPTS"] = "1"
    environment["KERAS_THEANO_MODE"] = mode
    program = [str(script)] if isinstance(script, Path) else ["-c", script]
    answer = subprocess.run(
        [sys.executable, *program, str(path), *arguments],
        env=lean(environment, backend) if only_engine else environment,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    return dict(np.load(path))
