"""Makes the arrays that a run trains on. Each kind of data is a module here, and `data.kind` names it.

A kind has
    Settings           the dataclass of its settings, a subclass of settings.Part
    TASK               what the labels ask for, see worker/tasks.py, or None if that is not known before the
                       arrays are made
    LABELS_ARE_CHANCE  whether the labels are independent of x, so that nothing can be learned
    LABEL_RANGE        optional, the least and the greatest label, if the labels are amounts
    make(data, seed)   takes the `data` part of the plan and returns an arrays.Dataset. If the settings have a
                       FILE, data["file"] is its path

The parent process reads the first three, so no module here imports numpy before `make` is called.
"""

import sys

from .. import arrays, tasks
from .. import kinds as modules


def kinds():
    """Return the names of all kinds, in alphabetical order."""
    return modules.names(sys.modules[__name__])


def kind(name):
    """Return the module of a kind. Raises ImportError: there is no such kind."""
    return modules.module(sys.modules[__name__], name)


def labels_are_chance(name):
    """Return whether the labels of a kind are independent of x.

    The answer is also False for a kind that only another version of backendexp knows.
    """
    return name in kinds() and kind(name).LABELS_ARE_CHANCE


def labels_classes(params):
    """Return the number of classes of labels that are chance. All classes are equally likely.

    params: the plan under its dotted names, as text.
    """
    classes = params.get("data.classes", "2")
    return int(classes) if classes.isdigit() else 2


def make_data(data, seed):
    return kind(data["kind"]).make(data, seed)


def task_of(data, dataset, loss):
    """Return the task that a data set describes, see `tasks.decide`.

    data: the `data` part of the plan.
    Returns a dict of tasks by the names of the outputs if there are several.
    """
    known = kind(data["kind"]).TASK
    if known is not None:
        return known
    pairs = [
        (name, (train, test))
        for (name, train), (_, test) in zip(arrays.leaves(dataset.y_train), arrays.leaves(dataset.y_test))
    ]
    found = {name: tasks.of_labels(*ys, loss=loss) for name, ys in pairs}
    return found.get("", found)
