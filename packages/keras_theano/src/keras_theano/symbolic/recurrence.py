"""Recurrence in a trace. The step of a cell is recorded once, however long the sequences are."""

from collections.abc import Callable
from typing import Any

import pytensor.tensor as pt
from keras.src import tree
from pytensor.tensor.variable import TensorVariable

from keras_theano.symbolic.loops import looped
from keras_theano.tracing.tensor import Tensor, as_node

Step = Callable[[Any, Any], tuple[Any, Any]]


def rnn(
    step_function: Step,
    inputs: Any,
    initial_states: Any,
    go_backwards: bool = False,
    mask: Any = None,
    constants: Any = None,
    unroll: bool = False,
    input_length: Any = None,
    time_major: bool = False,
    zero_output_for_mask: bool = False,
    return_all_outputs: bool = True,
) -> tuple[Any, Any, Any]:
    """Run a cell over sequences, and return the last output, all outputs and the last states.

    step_function: takes the inputs of one time step and a sequence of the states, followed by `constants`.
        Returns the output and the new states.
    inputs: shape (batch, time, ...), or (time, batch, ...) if `time_major`. May be nested.
    initial_states: the states before the first step. May be nested.
    go_backwards: whether the last time step comes first. The outputs are in the order of the computation.
    mask: shape (batch, time) or (batch, time, ...), with the first two axes swapped if `time_major`. A sample
        is skipped where its mask is false everywhere: it keeps its states.
    constants: tensors that the step function receives behind the states.
    unroll: whether to record every step. The graph then grows with the length of the sequences, but it can be
        compiled.
    input_length: not used. The length is that of the inputs.
    zero_output_for_mask: whether the output of a skipped step is 0. If not, it is the previous output, which
        must be the first state, or the first state of the last of several cells.
    return_all_outputs: whether all outputs are needed. If not, an unrolled loop returns only the last.

    Variables that the step function assigns to, such as the seed of a dropout, are carried from step to step.

    Raises ValueError if the sequences have no elements.
    """

    def time_first(x: Any) -> TensorVariable:
        node = as_node(x)
        return node if time_major else node.transpose(1, 0, *range(2, node.type.ndim))

    sequences = [time_first(part) for part in tree.flatten(inputs)]
    if mask is not None:
        sequences.append(time_first(Tensor(as_node(mask, "bool"))))
    if go_backwards:
        sequences = [part[::-1] for part in sequences]
    length = sequences[0].type.shape[0]
    if length == 0:
        raise ValueError(
            "a recurrent layer needs at least one time step. "
            f"Received: sequences of shape {sequences[0].type.shape} with the time first"
        )
    starts = [as_node(part) for part in tree.flatten(initial_states)]

    def step(elements: list[Any], carry: list[Any]) -> tuple[list[Any], list[Any]]:
        """Return the output and the new states."""
        given = tree.pack_sequence_as(inputs, elements if mask is None else elements[:-1])
        states = tree.pack_sequence_as(initial_states, carry)
        output, new_states = step_function(given, (*states, *constants) if constants else states)
        flat = tree.flatten(output)
        moved = tree.flatten(new_states)
        if len(moved) != len(carry):
            raise ValueError(f"the cell takes {len(carry)} states and returns {len(moved)}")
        if mask is not None:
            before = [_output_in(states) if not zero_output_for_mask else None for _ in flat]
            flat = [_unless(elements[-1], old, new) for old, new in zip(before, flat, strict=True)]
            moved = [_unless(elements[-1], old, new) for old, new in zip(carry, moved, strict=True)]
        outputs_like[:] = [output]
        return flat, moved

    outputs_like: list[Any] = []
    run = _unrolled if unroll and length is not None else looped
    stacks, states = run(step, sequences, starts)
    if unroll and not return_all_outputs:
        stacks = [part[-1:] for part in stacks]
    last = tree.pack_sequence_as(outputs_like[0], [Tensor(part[-1]) for part in stacks])
    outputs = [Tensor(part if time_major else part.swapaxes(0, 1)) for part in stacks]
    return (
        last,
        tree.pack_sequence_as(outputs_like[0], outputs),
        tree.pack_sequence_as(initial_states, [Tensor(part) for part in states]),
    )


def _output_in(states: Any) -> Any:
    """Return the previous output among the states."""
    return states[-1][0] if tree.is_nested(states[0]) else states[0]


def _unless(mask: Tensor, old: Any, new: Any) -> Tensor:
    """Return `new` where the mask is true, otherwise `old`, or 0 if that is None."""
    result, valid = as_node(new), mask.node
    if valid.type.ndim > 1:
        valid = valid.any(axis=tuple(range(1, valid.type.ndim)))
    valid = valid.dimshuffle(0, *["x"] * (result.type.ndim - 1))
    zero = as_node(0, result.type.dtype)
    return Tensor(pt.switch(valid, result, zero if old is None else as_node(old, result.type.dtype)))


def _unrolled(
    step: Callable[..., Any], sequences: list[Any], carry: list[Any]
) -> tuple[list[Any], list[Any]]:
    outputs, states = [], [Tensor(part) for part in carry]
    for n in range(sequences[0].type.shape[0]):
        found, moved = step([Tensor(part[n]) for part in sequences], states)
        outputs.append([as_node(part) for part in found])
        states = [Tensor(as_node(new, old.dtype)) for new, old in zip(moved, states, strict=True)]
    return [pt.stack(parts) for parts in zip(*outputs, strict=True)], [part.node for part in states]
