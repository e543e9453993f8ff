"""Checks that the labels suit the loss and the output activation."""

import math
from dataclasses import dataclass
from typing import Any

from backendexp.errors import ConfigError
from backendexp.worker import tasks

# Up to this many distinct labels are listed one by one.
MANY = 10

# The least and the greatest label that a loss accepts. Keras does not complain about other labels, but the
# result is meaningless: a cross-entropy falls below zero, and a logarithm is taken of a clipped number or is
# not defined.
_TAKEN = {
    "binary_crossentropy": (0.0, 1.0),
    "binary_focal_crossentropy": (0.0, 1.0),
    "poisson": (0.0, math.inf),
    "mean_squared_logarithmic_error": (0.0, math.inf),
    "mean_squared_error": (-math.inf, math.inf),
    "mean_absolute_error": (-math.inf, math.inf),
    "log_cosh": (-math.inf, math.inf),
    "huber": (-math.inf, math.inf),
}
# These losses expect -1 and 1. Keras converts 0 and 1 to -1 and 1 in each batch that holds no other labels.
_OF_TWO_SIGNS = ("hinge", "squared_hinge")
# These losses bring the output close to the label itself, so the output must be able to reach it.
_OF_AMOUNTS = tuple(name for name, (_, high) in _TAKEN.items() if high == math.inf)

# The least and the greatest number that an output activation gives. An activation that is not listed gives
# any number.
_GIVEN = {
    "sigmoid": (0.0, 1.0),
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
    """

    low: float
    high: float
    values: tuple[float, ...] | None

    def are_among(self, *allowed: float) -> bool:
        return self.values is not None and set(self.values) <= set(allowed)

    def within(self, low: float, high: float) -> bool:
        return low <= self.low and self.high <= high

    def __str__(self) -> str:
        """Describe the labels in words. Eight digits distinguish 1 from the next float32 above it."""
        if self.values is None:
            return f"labels from {self.low:.8g} to {self.high:.8g}"
        if len(self.values) == 1:
            return f"the label {self.low:.8g} alone"
        *others, last = (f"{value:.8g}" for value in self.values)
        return f"the labels {', '.join(others)} and {last}"


def task_of(labels: Labels, loss: str) -> Any:
    """Return what labels ask for: two classes if they are 0 and 1 or if the loss wants that, else amounts."""
    if labels.are_among(0, 1) or loss in _OF_TWO_SIGNS or loss.startswith("binary"):
        return tasks.binary()
    return tasks.regression()


def check(where: str, labels: Labels, loss: str, output_activation: str) -> None:
    """Check that the loss accepts the labels and that the output can reach them.

    where: the name of the array in the message.
    Raises ConfigError: the loss does not accept these labels, or the output cannot come close to them.
    """
    if not _takes(loss, labels):
        raise ConfigError(
            f"{where} holds {labels}, but training.loss={loss} accepts {_in_words(loss)}. {_way_out(labels)}"
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
    if loss in _OF_TWO_SIGNS:
        return labels.are_among(-1, 1) or labels.are_among(0, 1)
    return labels.within(*_TAKEN[loss])


def _in_words(loss: str) -> str:
    if loss in _OF_TWO_SIGNS:
        return "-1 and 1, or 0 and 1"
    return f"labels {_range(*_TAKEN[loss])}"


def _range(low: float, high: float) -> str:
    return f"from {low:g} up" if high == math.inf else f"from {low:g} to {high:g}"


def _way_out(labels: Labels) -> str:
    if _takes("binary_crossentropy", labels):
        return "Use training.loss=binary_crossentropy"
    if _takes("hinge", labels):
        return "Replace -1 by 0, or use training.loss=hinge model.output_activation=tanh"
    amounts = "training.loss=mean_squared_error model.output_activation=linear"
    if labels.values is not None and len(labels.values) == 2:
        return f"Replace them by 0 and 1, or use {amounts}"
    return f"The model has one output: for classes, make two of them, 0 and 1; for amounts, use {amounts}"
