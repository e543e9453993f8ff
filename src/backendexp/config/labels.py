"""Checks that the labels suit the loss and the output activation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backendexp.errors import ConfigError
from backendexp.worker import tasks

# Up to this many distinct labels are listed one by one.
MANY = 10
# Up to this many distinct whole numbers are remembered, to find out whether they are classes.
MANY_WHOLE = 2**16

# These losses compare shares that sum to 1, so the output must be shares too.
_OF_CLASSES = (tasks.SPARSE, tasks.ONE_HOT)
# A model with more outputs than this does not fit into any memory, so the labels cannot be classes.
_MOST_CLASSES = 10**6
# These losses bring the output close to the label itself, so the output must be able to reach it.
_OF_AMOUNTS = tuple(name for name, (_, high) in tasks.ACCEPTED.items() if high == math.inf)

# The least and the greatest number that an output activation gives. An activation that is not listed gives
# any number.
_GIVEN = {
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "softplus": (0.0, math.inf),
    "exponential": (0.0, math.inf),
    "elu": (-1.0, math.inf),
    "celu": (-1.0, math.inf),
    "selu": (-1.7581, math.inf),
    "silu": (-0.2785, math.inf),
    "gelu": (-0.17, math.inf),
    "mish": (-0.3089, math.inf),
    "hard_silu": (-0.375, math.inf),
}


@dataclass(frozen=True)
class Labels:
    """Describes one array of labels, as float32.

    low, high: the least and the greatest label.
    values: the distinct labels in ascending order, or None if there are more than MANY.
    columns: the number of columns.
    rows: "one-hot" if each row consists of zeros and a single one, "shares" if each row otherwise consists of
        numbers from 0 to 1 that sum to 1, or None. It is None if there is only one column.
    count: the number of labels, or None if it is not known.
    more_values: like `values` if there are more than MANY whole numbers and at most MANY_WHOLE; else None.
    all_whole: whether all labels are whole numbers, if there are more than MANY.
    """

    low: float
    high: float
    values: tuple[float, ...] | None
    columns: int = 1
    rows: str | None = None
    count: int | None = field(default=None, compare=False)
    more_values: tuple[float, ...] | None = field(default=None, compare=False)
    all_whole: bool = field(default=False, compare=False)

    @property
    def zeros_and_ones(self) -> bool:
        return self.are_among(0, 1)

    @property
    def one_hot(self) -> bool:
        return self.rows == "one-hot"

    @property
    def whole(self) -> bool:
        return self.all_whole if self.values is None else all(value % 1 == 0 for value in self.values)

    @property
    def classes(self) -> int | None:
        """The number of classes, see `worker.tasks.Labels`."""
        values = self.values or self.more_values
        if values is None or self.columns > 1:
            return None
        count = 2 * len(values) if self.count is None else self.count
        found: int | None = tasks.classes_of(values, count)
        return found

    def are_among(self, *allowed: float) -> bool:
        return self.values is not None and set(self.values) <= set(allowed)

    def within(self, low: float, high: float) -> bool:
        return low <= self.low and self.high <= high

    def __str__(self) -> str:
        """Describe the labels in words. Eight digits distinguish 1 from the next float32 above it."""
        if self.columns > 1:
            return f"{self.columns} columns of labels from {self.low:.8g} to {self.high:.8g}"
        if self.values is None:
            return f"labels from {self.low:.8g} to {self.high:.8g}"
        if len(self.values) == 1:
            return f"the label {self.low:.8g} alone"
        *others, last = (f"{value:.8g}" for value in self.values)
        return f"the labels {', '.join(others)} and {last}"


def of_kind(kind: Any, task: Any) -> Labels:
    """Return a description of the labels that a kind of data makes.

    kind: the module of the kind. If the labels are amounts, it may have a LABEL_RANGE.
    task: what it says that the labels ask for, a `worker.tasks.Task`.
    """
    if task.kind == tasks.REGRESSION:
        low, high = getattr(kind, "LABEL_RANGE", (-math.inf, math.inf))
        return Labels(low, high, None, task.units)
    if task.units > 1:
        return Labels(0, 1, (0, 1), task.units, "one-hot" if task.kind == tasks.MULTICLASS else None)
    values = tuple(map(float, range(task.classes)))
    few = task.classes <= MANY
    return Labels(0, values[-1], values if few else None, more_values=None if few else values, all_whole=True)


def task_of(where: str, found: Mapping[str, Labels], loss: str) -> Any:
    """Return what the labels ask for, a `worker.tasks.Task`.

    where: stands before the names in the message.
    found: the labels for training and those for testing, by the names of their arrays.
    loss: the name of the loss, or auto.
    Raises ConfigError: the labels do not say whether they are classes or amounts, and the loss does not
        either.
    """
    together = _joined(*found.values())
    try:
        return tasks.decide(together, loss)
    except tasks.Unclear as error:
        name = next((name for name, labels in found.items() if _is_unclear(labels)), next(iter(found)))
        labels = found[name]
        if labels.are_among(-1, 1):
            why = f"but training.loss=auto takes 0 and 1 for two classes. {_way_out(labels)}"
        else:
            why = str(error)
        raise ConfigError(f"{where}{name} holds {labels}, {why}") from error


def _is_unclear(labels: Labels) -> bool:
    return not labels.zeros_and_ones and labels.classes is None


def _joined(first: Labels, *others: Labels) -> Labels:
    """Return the description of several arrays of labels together."""
    joined = first
    for other in others:
        values = more = None
        own, its = joined.values or joined.more_values, other.values or other.more_values
        if own is not None and its is not None:
            distinct = tuple(sorted({*own, *its}))
            values, more = (distinct, None) if len(distinct) <= MANY else (None, distinct)
        joined = Labels(
            low=min(joined.low, other.low),
            high=max(joined.high, other.high),
            values=values,
            columns=joined.columns,
            rows=joined.rows if joined.rows == other.rows else None,
            count=None if joined.count is None or other.count is None else joined.count + other.count,
            more_values=more,
            all_whole=joined.whole and other.whole,
        )
    return joined


def check(where: str, labels: Labels, loss: str, output_activation: str | None) -> None:
    """Check that the loss accepts the labels and that the output can reach them.

    where: the name of the array in the message.
    loss: the name of the loss, not auto.
    output_activation: None if the model has no such setting.
    Raises ConfigError: the loss does not accept these labels, or the output cannot come close to them.
    """
    if not _takes(loss, labels):
        raise ConfigError(
            f"{where} holds {labels}, but training.loss={loss} accepts {_in_words(loss)}. {_way_out(labels)}"
        )
    if output_activation is None:
        return
    if loss in _OF_CLASSES and output_activation != "softmax":
        raise ConfigError(
            f"model.output_activation is {output_activation}, but training.loss={loss} compares shares that "
            "sum to 1. Use model.output_activation=softmax"
        )
    low, high = _GIVEN.get(output_activation, (-math.inf, math.inf))
    if loss in _OF_AMOUNTS and not labels.within(low, high):
        # The Poisson loss takes the logarithm of the output, which must therefore be positive.
        other = "exponential" if loss == "poisson" else "linear"
        raise ConfigError(
            f"{where} holds {labels}, but model.output_activation={output_activation} gives only numbers "
            f"{_range(low, high)}. Use model.output_activation={other}"
        )


def _takes(loss: str, labels: Labels) -> bool:
    if loss in tasks.OF_TWO_SIGNS:
        return labels.are_among(-1, 1) or labels.are_among(0, 1)
    if loss == tasks.SPARSE:
        return labels.columns == 1 and labels.whole and labels.within(0, _MOST_CLASSES - 1)
    if loss == tasks.ONE_HOT:
        return labels.rows is not None
    return labels.within(*tasks.ACCEPTED[loss])


def _in_words(loss: str) -> str:
    if loss in tasks.OF_TWO_SIGNS:
        return "-1 and 1, or 0 and 1"
    if loss == tasks.SPARSE:
        return f"one column of whole numbers from 0 to {_MOST_CLASSES - 1:,}, which are classes"
    if loss == tasks.ONE_HOT:
        return "rows with one column for each class, of shares that sum to 1, such as a single 1 and zeros"
    return f"labels {_range(*tasks.ACCEPTED[loss])}"


def _range(low: float, high: float) -> str:
    return f"from {low:g} up" if high == math.inf else f"from {low:g} to {high:g}"


def _way_out(labels: Labels) -> str:
    amounts = "training.loss=mean_squared_error model.output_activation=linear"
    if labels.rows is not None:
        return "Use training.loss=categorical_crossentropy model.output_activation=softmax"
    if _takes("binary_crossentropy", labels):
        return "Use training.loss=binary_crossentropy model.output_activation=sigmoid"
    if labels.columns > 1:
        return f"Use {amounts}"
    if _takes("hinge", labels):
        return "Replace -1 by 0, or use training.loss=hinge model.output_activation=tanh"
    if labels.classes:
        classes = "training.loss=sparse_categorical_crossentropy model.output_activation=softmax"
        return f"For classes, there is {classes}; for amounts, use {amounts}"
    if labels.values is not None and len(labels.values) == 2:
        return f"Replace them by 0 and 1, or use {amounts}"
    return f"For classes, number them 0, 1, 2 and so on; for amounts, use {amounts}"
