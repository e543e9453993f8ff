"""Checks that a recorded step makes while it runs. They are the same in every tier."""

from typing import Any

import pytensor.tensor as pt
from pytensor.graph.basic import Constant
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.variable import TensorVariable


def checked(x: TensorVariable, error: type[Exception], message: str, *conditions: Any) -> TensorVariable:
    """Return `x`, and raise `error` unless all conditions hold.

    error: the type of the exception.
    message: its text.
    conditions: bools, or variables of bools. Each must be true for all of its elements.

    The error is raised now if the conditions are known now, otherwise when the step runs.
    """
    unknown = []
    for condition in conditions:
        known = condition.data.all() if isinstance(condition, Constant) else condition
        if isinstance(known, TensorVariable):
            unknown.append(pt.all(known))
        elif not known:
            raise error(message)
    return CheckAndRaise(error, message)(x, *unknown) if unknown else x


def within(
    indices: TensorVariable,
    length: Any,
    message: str,
    from_the_end: bool = True,
    error: type[Exception] = IndexError,
) -> TensorVariable:
    """Return `indices`, and check that they lie inside of an axis.

    indices: whole numbers.
    length: the size of the axis. Each index must be less than this.
    message: the text of the error.
    from_the_end: whether indices from -length to -1 are allowed. If not, no index may be negative.
    error: the type of the exception.
    """
    low = -length if from_the_end else 0
    if isinstance(indices, Constant) and isinstance(length, int):
        return checked(indices, error, message, (indices.data >= low).all(), (indices.data < length).all())
    return checked(indices, error, message, pt.ge(indices, low), pt.lt(indices, length))
