"""Decides from the labels what a model has to learn: two classes, several classes, or amounts.

The loss, the metrics and the last layer follow from it where the configuration says `auto`. The parent
process decides it when it knows the labels before the run; otherwise the worker does. Both ask `decide`.
"""

import collections
import math

AUTO = "auto"
BINARY, MULTICLASS, REGRESSION = "binary", "multiclass", "regression"

# kind: BINARY (labels 0 and 1), MULTICLASS (labels 0 to classes - 1, or rows with one column for each class)
#     or REGRESSION.
# classes: the number of classes, or None for REGRESSION.
# units: the number of columns of the labels. MULTICLASS has one, or as many as classes. BINARY may also have
#     several: each column then answers a question of its own.
Task = collections.namedtuple("Task", "kind classes units")

# What labels are like.
# columns: the number of columns.
# zeros_and_ones: whether there are no other labels.
# one_hot: whether every row consists of zeros and a single one. There are several columns.
# classes: the number of classes if the labels are 0, 1, 2 and so on without a gap, in one column, and each
#     occurs twice on average; else None.
# whole: whether all labels are whole numbers.
# high: the greatest label.
Labels = collections.namedtuple("Labels", "columns zeros_and_ones one_hot classes whole high")

SPARSE, ONE_HOT = "sparse_categorical_crossentropy", "categorical_crossentropy"
# These losses expect -1 and 1. Keras converts 0 and 1 to -1 and 1 in each batch that holds no other labels.
OF_TWO_SIGNS = ("hinge", "squared_hinge")

# The least and the greatest label that a loss accepts. Keras does not complain about other labels, but the
# result is meaningless: a cross-entropy falls below zero, and a logarithm is taken of a clipped number or is
# not defined.
ACCEPTED = {
    "binary_crossentropy": (0.0, 1.0),
    "binary_focal_crossentropy": (0.0, 1.0),
    ONE_HOT: (0.0, 1.0),
    "poisson": (0.0, math.inf),
    "mean_squared_logarithmic_error": (0.0, math.inf),
    "mean_squared_error": (-math.inf, math.inf),
    "mean_absolute_error": (-math.inf, math.inf),
    "log_cosh": (-math.inf, math.inf),
    "huber": (-math.inf, math.inf),
}

# What is said of whole numbers that may be classes as well as amounts.
UNCLEAR = (
    "but training.loss=auto takes whole numbers for classes only if they are 0, 1, 2 and so on without a gap "
    "and occur twice or more on average. For classes, number them like that, or use "
    "training.loss=sparse_categorical_crossentropy; for amounts, use training.loss=mean_squared_error"
)


class Unclear(ValueError):
    """Raised if the labels may be classes as well as amounts, and the loss does not say which."""


def binary(units=1):
    return Task(BINARY, 2, units)


def multiclass(classes, one_hot=False):
    return Task(MULTICLASS, classes, classes if one_hot else 1)


def of_classes(classes):
    """Return the task of labels that are numbers of classes in one column."""
    return binary() if classes == 2 else multiclass(classes)


def regression(units=1):
    return Task(REGRESSION, None, units)


def decide(labels, loss=AUTO):
    """Return the task that labels and the loss describe.

    labels: a `Labels`, or an object with the same attributes.
    loss: AUTO, or the name of the loss, which then decides where the labels leave it open.
    Raises Unclear: whole numbers may be classes as well as amounts, and the loss does not say which.
    """
    if loss == SPARSE:
        return multiclass(max(2, int(labels.high) + 1))
    if loss == ONE_HOT:
        return multiclass(labels.columns, one_hot=True)
    if labels.one_hot:
        return multiclass(labels.columns, one_hot=True)
    if labels.zeros_and_ones or loss in OF_TWO_SIGNS or loss.startswith("binary"):
        return binary(labels.columns)
    if loss == AUTO and labels.columns == 1:
        if labels.classes:
            return multiclass(labels.classes)
        if labels.whole:
            raise Unclear(UNCLEAR)
    return regression(labels.columns)


def loss_of(task):
    """Return the loss that `auto` stands for."""
    if task.kind == BINARY:
        return "binary_crossentropy"
    if task.kind == MULTICLASS:
        return ONE_HOT if task.units > 1 else SPARSE
    return "mean_squared_error"


def metrics_of(task):
    """Return the metrics that `auto` stands for."""
    if task.kind == REGRESSION:
        return ["mean_absolute_error"]
    # With several columns, Keras takes "accuracy" for the share of rows whose greatest column is right.
    return ["binary_accuracy"] if task.kind == BINARY and task.units > 1 else ["accuracy"]


def units_of(task, loss):
    """Return the number of outputs of a model with this loss."""
    if loss == SPARSE:
        return task.classes
    return task.units


def activation_of(task, loss):
    """Return the activation of the last layer that `auto` stands for."""
    if loss in (SPARSE, ONE_HOT):
        return "softmax"
    return "linear" if task.kind == REGRESSION else "sigmoid"


def of_labels(*ys, **more):
    """Return the task that the labels of a data set describe.

    ys: NumPy arrays, such as the labels for training and those for testing. Each has the shape (samples,) or
        (samples, columns).
    loss: the name of the loss, or AUTO, which is the default.
    Raises Unclear: see `decide`.
    """
    import numpy

    rows = numpy.concatenate([y.reshape(len(y), -1) for y in ys])
    zeros_and_ones = bool(((rows == 0) | (rows == 1)).all())
    single = rows.shape[1] == 1
    labels = Labels(
        columns=rows.shape[1],
        zeros_and_ones=zeros_and_ones,
        one_hot=not single and zeros_and_ones and bool((rows.sum(axis=1) == 1).all()),
        classes=classes_of(numpy.unique(rows), len(rows)) if single else None,
        whole=bool((rows == numpy.floor(rows)).all()),
        high=float(rows.max()),
    )
    return decide(labels, more.get("loss", AUTO))


def classes_of(distinct, count):
    """Return the number of classes if the labels are classes, else None; see `Labels`.

    distinct: the distinct labels in ascending order. count: the number of labels.
    """
    classes = len(distinct)
    without_gap = distinct[0] == 0 and distinct[-1] == classes - 1
    whole = all(label == position for position, label in enumerate(distinct)) if without_gap else False
    return classes if whole and 2 * classes <= count else None


def with_dtype(*ys):
    """Return arrays of labels in the dtype that they are trained with.

    It is float32 for amounts, for zeros and ones, and for rows. It is int32 for one column of whole numbers
    from 0 up that are stored as whole numbers, or that are classes.
    """
    import numpy

    rows = numpy.concatenate([y.reshape(len(y), -1) for y in ys])
    whole = False
    if rows.shape[1] == 1 and not ((rows == 0) | (rows == 1)).all():
        stored_whole = all(y.dtype.kind in "iu" for y in ys) and 0 <= rows.min() <= rows.max() < 2**31
        whole = stored_whole or classes_of(numpy.unique(rows), len(rows)) is not None
    return tuple(y.astype("int32" if whole else "float32", copy=False) for y in ys)
