"""Contains the models that a run can train. Each kind is a module of this package, and `model.kind` names it.

A kind has
    Settings
        the dataclass of its settings, a subclass of settings.Model
    build(model, inputs, output)
        takes the `model` part of the plan, the shape of one sample of x, and an `Output`. It returns a Keras
        model that is not compiled yet. `worker.weights` then draws its initial weights.

No module here imports Keras before `build` is called.
"""

import collections
import sys

from .. import kinds as modules

# units: the number of outputs. activation: the activation of the last layer.
Output = collections.namedtuple("Output", "units activation")


def kinds():
    """Return the names of all kinds, in alphabetical order."""
    return modules.names(sys.modules[__name__])


def kind(name):
    """Return the module of a kind. Raises ImportError: there is no such kind."""
    return modules.module(sys.modules[__name__], name)
