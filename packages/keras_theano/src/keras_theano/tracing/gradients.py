"""Gradients inside a trace, for train steps of the user's own."""

from collections.abc import Sequence
from typing import Any

import pytensor

from keras_theano.tracing.depth import as_deep_as
from keras_theano.tracing.tensor import Tensor, as_node, cast
from keras_theano.tracing.variable import Variable


def gradients(loss: Any, variables: Sequence[Variable]) -> list[Tensor | None]:
    """The gradient of `loss` with respect to each variable, None where the loss does not depend on it.

    loss: a traced scalar, computed from the variables in this train step.
    Raises TypeError: called on NumPy values, which remember nothing.
    """
    if not isinstance(loss, Tensor):
        raise TypeError(
            "keras_theano.gradients wants a loss that was computed inside train_step, which is traced; "
            f"received {type(loss).__name__}. Eager values have no gradients on the Theano backend."
        )
    node = as_node(loss)
    with as_deep_as([node]):
        found = pytensor.grad(
            node,
            [variable.shared for variable in variables],
            disconnected_inputs="ignore",
            return_disconnected="none",
        )
    return [
        None if node is None else Tensor(cast(node, variable.shared.type.dtype))
        for node, variable in zip(found, variables, strict=True)
    ]
