"""Checks that a recorded step makes when it runs, in every tier alike."""

from typing import Any

import pytensor.tensor as pt
from pytensor.graph.basic import Constant
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.variable import TensorVariable


def checked(x: TensorVariable, error: type[Exception], message: str, *conditions: Any) -> TensorVariable:
    """`x`, which needs the conditions: bools, or variables of them, each of which holds as a whole. Raises
    `error`, now where that can be told, else when the step runs.
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
    """indices: whole numbers, checked to be less than `length` and not negative, or, from_the_end, not less
    than -length.
    """
    low = -length if from_the_end else 0
    if isinstance(indices, Constant) and isinstance(length, int):
        return checked(indices, error, message, (indices.data >= low).all(), (indices.data < length).all())
    return checked(indices, error, message, pt.ge(indices, low), pt.lt(indices, length))
