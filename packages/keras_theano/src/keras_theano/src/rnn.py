"""Recurrent layers. lstm and gru always raise NotImplementedError, and then Keras's layers run their cells
through rnn, which can be traced.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from keras.src import tree
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

from keras_theano.src.dispatch import namespace

# `from keras.src.backend.numpy import rnn` would give the function of that name.
eager = import_module("keras.src.backend.numpy.rnn")


def _rnn(
    step_function: Callable[[Any, Any], tuple[Any, Any]],
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
    """Run a cell over sequences. Keras's own function ignores constants, fails for nested inputs,
    and cannot mask outputs that have more than two axes.
    """

    def time_first(x: Any) -> Any:
        return np.asarray(x) if time_major else np.swapaxes(x, 0, 1)

    sequences = [time_first(part) for part in tree.flatten(inputs)]
    valid = None if mask is None else time_first(np.asarray(mask, "bool"))
    if valid is not None and valid.ndim > 2:
        valid = valid.any(axis=tuple(range(2, valid.ndim)))
    states, kept, output = initial_states, [], None
    length = len(sequences[0])
    # If only the shapes are wanted, one step shows them.
    times = range(min(length, 1) if in_symbolic_scope() else length)
    for n in reversed(times) if go_backwards else times:
        before = tree.flatten(states)
        given = tree.pack_sequence_as(inputs, [part[n] for part in sequences])
        output, moved = step_function(given, (*states, *constants) if constants else states)
        flat, new = tree.flatten(output), tree.flatten(moved)
        if valid is not None:
            last = None if zero_output_for_mask else states[-1][0] if tree.is_nested(states[0]) else states[0]
            flat = [_unless(valid[n], np.zeros_like(part) if last is None else last, part) for part in flat]
            new = [_unless(valid[n], old, part) for old, part in zip(before, new, strict=True)]
        states = tree.pack_sequence_as(initial_states, new)
        kept.append(flat)
    if not kept:
        raise ValueError("a recurrent layer needs at least one time step. Received: none")
    wanted = kept[-1:] if unroll and not return_all_outputs else kept
    stacks = [np.stack(parts) for parts in zip(*wanted, strict=True)]
    if in_symbolic_scope() and wanted is kept:
        stacks = [np.broadcast_to(part, (length, *part.shape[1:])) for part in stacks]
    outputs = [part if time_major else np.swapaxes(part, 0, 1) for part in stacks]
    return tree.pack_sequence_as(output, kept[-1]), tree.pack_sequence_as(output, outputs), states


def _unless(valid: Any, old: Any, new: Any) -> Any:
    return np.where(valid.reshape(-1, *[1] * (np.ndim(new) - 1)), new, old)


globals().update(namespace(eager, rnn=_rnn))
