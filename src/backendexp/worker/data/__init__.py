"""The arrays that a run trains on. Each kind of data is a module of this package, and `data.kind` names it.

A kind has
    DRAWN              its arrays are drawn from the seed, and data.samples, data.test_samples and
                       data.features say how many; otherwise data.path names the file that holds them
    LABELS_ARE_CHANCE  the labels do not depend on x, so nothing can be learned
    make(data, seed)   takes the `data` part of the plan and returns an arrays.Dataset

The parent process reads the facts, so no module here imports numpy before `make` is called.
"""

import importlib
import pkgutil


def kinds():
    """The names of all kinds, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def kind(name):
    """The module of a kind. Raises ImportError: there is no such kind."""
    return importlib.import_module("." + name, __name__)


def labels_are_chance(name):
    """False also for a kind that only another version of backendexp knows."""
    return name in kinds() and kind(name).LABELS_ARE_CHANCE


def make_data(data, seed):
    return kind(data["kind"]).make(data, seed)
