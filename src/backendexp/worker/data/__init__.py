"""Makes the arrays that a run trains on. Each kind of data is a module here, and `data.kind` names it.

A kind has
    Settings           the dataclass of its settings, a subclass of settings.Part
    LABELS_ARE_CHANCE  whether the labels are independent of x, so that nothing can be learned
    LABEL_RANGE        optional, the least and the greatest label, if the labels are amounts
    task(data)         takes the `data` part of the plan and returns what the labels ask for, see
                       worker/tasks.py, or None if that is not known before the arrays are made
    make(data, seed)   takes the `data` part of the plan and returns an arrays.Dataset. If the settings have a
                       FILE, data["file"] is its path

The parent process uses all but `make`, so no module here imports numpy before `make` is called.
"""

import functools
import sys

from .. import arrays, tasks
from .. import kinds as modules


def kinds():
    """Return the names of all kinds, in alphabetical order."""
    return modules.names(sys.modules[__name__])


def kind(name):
    """Return the module of a kind. Raises ImportError: there is no such kind."""
    return modules.module(sys.modules[__name__], name)


@functools.lru_cache(maxsize=None)  # it is asked for every run of a comparison
def labels_are_chance(name):
    """Return whether the labels of a kind are independent of x.

    The answer is also False for a kind that only another version of backendexp knows.
    """
    return name in kinds() and kind(name).LABELS_ARE_CHANCE


def labels_classes(params):
    """Return the number of classes of labels that are chance. All classes are equally likely.

    params: the plan under its dotted names, as text.
    """
    return int(params.get("data.classes", "2"))  # runs of before the setting had two classes


def make_data(data, seed):
    return kind(data["kind"]).make(data, seed)


def task_of(data, dataset, loss):
    """Return the task that a data set describes, see `tasks.decide`.

    data: the `data` part of the plan.
    Returns a dict of tasks by the names of the outputs if there are several.
    """
    known = kind(data["kind"]).task(data)
    if known is not None:
        return known
    pairs = [
        (name, (train, test))
        for (name, train), (_, test) in zip(arrays.leaves(dataset.y_train), arrays.leaves(dataset.y_test))
    ]
    found = {name: tasks.of_labels(*ys, loss=loss) for name, ys in pairs}
    return found.get("", found)
