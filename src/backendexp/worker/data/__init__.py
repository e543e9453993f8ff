"""Makes the arrays that a run trains on. Each kind of data is a module here, and `data.kind` names it.

A kind has
    DRAWN              whether its arrays are drawn from the seed, in the sizes data.samples,
                       data.test_samples and data.features; otherwise data.path names the file that holds them
    LABELS_ARE_CHANCE  whether the labels are independent of x, so that nothing can be learned
    make(data, seed)   takes the `data` part of the plan and returns an arrays.Dataset

The parent process reads these facts, so no module here imports numpy before `make` is called.
"""

import importlib
import pkgutil


def kinds():
    """Return the names of all kinds, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def kind(name):
    """Return the module of a kind. Raises ImportError: there is no such kind."""
    return importlib.import_module("." + name, __name__)


def labels_are_chance(name):
    """Return whether the labels of a kind are independent of x.

    The answer is also False for a kind that only another version of backendexp knows.
    """
    return name in kinds() and kind(name).LABELS_ARE_CHANCE


def make_data(data, seed):
    return kind(data["kind"]).make(data, seed)
