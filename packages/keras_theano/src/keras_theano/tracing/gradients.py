"""Computes gradients inside a trace, for train steps that the user writes."""

from collections.abc import Sequence
from typing import Any

import pytensor

from keras_theano.tracing.depth import as_deep_as
from keras_theano.tracing.tensor import Tensor, as_node, cast
from keras_theano.tracing.variable import Variable


def gradients(loss: Any, variables: Sequence[Variable]) -> list[Tensor | None]:
    """Return the gradient of `loss` with respect to each variable, or None where the loss does not depend on
    the variable.

    loss: a traced scalar, computed from the variables in this train step.
    variables: Keras variables.
    Raises TypeError if `loss` is a NumPy value, because it does not know how it was computed.
    """
    if not isinstance(loss, Tensor):
        raise TypeError(
            "keras_theano.gradients needs a loss that was computed inside train_step, which is traced; "
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
