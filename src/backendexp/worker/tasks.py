"""Decides from the labels what a model has to learn: two classes, several classes, or amounts.

The loss, the metrics and the last layer follow from it where the configuration says `auto`. The parent
process decides it when it knows the labels before the run; otherwise the worker does.
"""

import collections

AUTO = "auto"
BINARY, MULTICLASS, REGRESSION = "binary", "multiclass", "regression"

# kind: BINARY (labels 0 and 1), MULTICLASS (labels 0 to classes - 1, or one-hot rows) or REGRESSION.
# classes: the number of classes, or None for REGRESSION.
# units: the number of columns of the labels: 1, or the number of classes of one-hot rows.
Task = collections.namedtuple("Task", "kind classes units")

_SPARSE, _ONE_HOT = "sparse_categorical_crossentropy", "categorical_crossentropy"


def binary():
    return Task(BINARY, 2, 1)


def multiclass(classes, one_hot=False):
    return Task(MULTICLASS, classes, classes if one_hot else 1)


def regression(units=1):
    return Task(REGRESSION, None, units)


def loss_of(task):
    """Return the loss that `auto` stands for."""
    if task.kind == BINARY:
        return "binary_crossentropy"
    if task.kind == MULTICLASS:
        return _ONE_HOT if task.units > 1 else _SPARSE
    return "mean_squared_error"


def metrics_of(task):
    """Return the metrics that `auto` stands for."""
    return ["mean_absolute_error"] if task.kind == REGRESSION else ["accuracy"]


def units_of(task, loss):
    """Return the number of outputs of a model with this loss."""
    if loss == _SPARSE:
        return task.classes
    return task.units


def activation_of(task, loss):
    """Return the activation of the last layer that `auto` stands for."""
    if loss in (_SPARSE, _ONE_HOT):
        return "softmax"
    return "linear" if task.kind == REGRESSION else "sigmoid"


def of_labels(y):
    """Return the task that the labels of a data set describe.

    y: a NumPy array, shape (samples,) or (samples, columns). Whole numbers from 0 up are classes, unless
        they are floating-point numbers other than 0 and 1.
    """
    rows = y.reshape(len(y), -1)
    if rows.shape[1] == 1 and bool(((rows == 0) | (rows == 1)).all()):
        return binary()
    if rows.shape[1] == 1 and y.dtype.kind in "iub" and rows.min() >= 0:
        return multiclass(int(rows.max()) + 1)
    zeros_and_ones = bool(((rows == 0) | (rows == 1)).all())
    if rows.shape[1] > 1 and zeros_and_ones and bool((rows.sum(axis=1) == 1).all()):
        return multiclass(rows.shape[1], one_hot=True)
    return regression(rows.shape[1])
