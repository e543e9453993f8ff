"""Imports what `import keras` leaves to the first step, so that the time of that step holds no imports."""

from importlib import import_module

import pytensor.sparse  # noqa: F401  PyTensor itself leaves it to the first step

from keras_theano.execution import programs
from keras_theano.src.dispatch import TRACED_MODULES
from keras_theano.tracing import gradients  # noqa: F401


def load() -> None:
    """Import the symbolic ops, and the tier that computes the steps."""
    import_module("keras_theano.execution.steps")
    for name in TRACED_MODULES.values():
        import_module(f"keras_theano.symbolic.{name}")
    programs.load_tier()
