"""Records the step of a loop once, and runs it for each element or as long as a condition holds."""

from collections.abc import Callable
from typing import Any

import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from keras_theano.tracing import trace
from keras_theano.tracing.loop import recorded
from keras_theano.tracing.subgraphs import next_number
from keras_theano.tracing.tensor import Tensor, as_node
from keras_theano.tracing.variable import Variable


def looped(
    step: Callable[[list[Tensor], list[Tensor]], tuple[list[Any], list[Any]]],
    sequences: list[TensorVariable],
    starts: list[TensorVariable],
    backwards: bool = False,
    condition: Callable[[list[Tensor]], Any] | None = None,
) -> tuple[list[TensorVariable], list[TensorVariable]]:
    """Return the stacked outputs of all steps, and the states after the last step.

    step: takes an element of each sequence and the states. Returns the outputs and the new states.
    sequences: arrays whose elements along the first axis go to the steps.
    starts: the states before the first step.
    backwards: whether the last element comes first.
    condition: takes the states, and decides whether there is another step. With a condition, there are no
        sequences.

    Variables that the step assigns to are carried from step to step. The step is then recorded a second time,
    with those among the states.
    """
    outer = trace.current()
    assert outer is not None
    variables: list[Variable] = []
    while True:
        since = next_number()
        elements = [pt.tensor(dtype=part.type.dtype, shape=part.type.shape[1:]) for part in sequences]
        carry = [pt.tensor(dtype=part.type.dtype, shape=part.type.shape) for part in starts]
        begin = [as_node(outer.read(variable)) for variable in variables]
        values = [part.type() for part in begin]
        inner = outer.branch()
        for variable, value in zip(variables, values, strict=True):
            inner.write(variable, Tensor(value))
        with trace.opened(inner):
            going = (
                None if condition is None else as_node(condition([Tensor(part) for part in carry]), "bool")
            )
            found, moved = step([Tensor(part) for part in elements], [Tensor(part) for part in carry])
        assigned = [variable for variable, _ in inner.updates]
        if len(assigned) == len(variables):
            break
        variables = assigned
    outputs = [as_node(part) for part in found]
    new_states = [_like(as_node(new, old.type.dtype), old) for new, old in zip(moved, carry, strict=True)]
    new_values = [_like(as_node(inner.read(v)), old) for v, old in zip(variables, values, strict=True)]
    last, stacks = recorded(
        list(zip(elements, sequences, strict=True)),
        list(zip([*carry, *values], [*starts, *begin], [*new_states, *new_values], strict=True)),
        outputs,
        since,
        backwards,
        going,
    )
    for variable, value in zip(variables, last[len(carry) :], strict=True):
        outer.write(variable, Tensor(value))
    return stacks, last[: len(carry)]


def _like(new: TensorVariable, old: TensorVariable) -> TensorVariable:
    """Return the new state with the known sizes of the old one."""
    if new.type.ndim != old.type.ndim:
        raise ValueError(f"a state of shape {old.type.shape} cannot become one of shape {new.type.shape}")
    return pt.specify_shape(new, old.type.shape)
