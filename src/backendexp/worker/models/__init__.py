"""Contains the models that a run can train. Each kind is a module of this package, and `model.kind` names it.

A kind has
    Settings
        the dataclass of its settings, a subclass of settings.Model
    build(model, features)
        takes the `model` part of the plan and the number of features of x, and returns a Keras model that is
        not compiled yet
    draw_weights(model, features, seed, probe)
        returns the initial weights in the order of `get_weights`. NumPy draws them from the seed, so that
        every backend starts from the same.

No module here imports Keras before `build` is called.
"""

import sys

from .. import kinds as modules


def kinds():
    """Return the names of all kinds, in alphabetical order."""
    return modules.names(sys.modules[__name__])


def kind(name):
    """Return the module of a kind. Raises ImportError: there is no such kind."""
    return modules.module(sys.modules[__name__], name)
