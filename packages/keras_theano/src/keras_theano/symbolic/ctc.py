"""Connectionist temporal classification (https://doi.org/10.1145/1143844.1143891).

A sequence of labels is spelled by many alignments of the same length as the outputs. Between two labels, and
at both ends, an alignment may have blanks. So there are 2 * labels + 1 states: the even ones are blanks, and
state 2 * n + 1 is the n-th label. An alignment begins before the first state of all.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from keras.src.backend.common.dtypes import result_type

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.symbolic.bounds import checked
from keras_theano.tracing.computed import computed
from keras_theano.tracing.tensor import Tensor, as_node, cast, traceable

eager = numpy_ops("nn")

# The logarithm of a probability that Keras takes for 0. Labels that do not fit into the outputs have a loss
# of about its size, instead of an infinite one.
_IMPOSSIBLE = -1e5
# A finite number below all sums of logarithms, because the difference of two infinities is NaN.
_LOWEST = -1e30


def ctc_loss(target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0) -> Tensor:
    """Return the negative logarithm of the probability of each sequence of labels.

    target: the labels, shape (batch, labels). What comes after the length of a sequence does not count.
    output: logits, shape (batch, time, classes).
    target_length, output_length: shape (batch,). A length beyond the end of the array counts as its size.
    mask_index: the class that stands for a blank.
    Returns shape (batch,).
    Raises IndexError when the step runs, if a label is too large for a class.
    """
    labels, logits = as_node(target, "int32"), as_node(output)
    if labels.type.ndim != 2 or logits.type.ndim != 3:
        raise ValueError(
            "ctc_loss needs a target of shape (batch, labels) and an output of shape (batch, time, classes). "
            f"Received: {labels.type.shape} and {logits.type.shape}"
        )
    classes = logits.type.shape[2]
    if classes is not None and not 0 <= mask_index < classes:
        raise ValueError(f"mask_index must be one of the {classes} classes. Received: {mask_index}")
    labels = checked(
        labels,
        IndexError,
        "a label of ctc_loss lies outside of the classes",
        pt.lt(labels, logits.shape[2] if classes is None else classes),
    )
    dtype = traceable(result_type(logits.type.dtype, "float32"))
    log_probabilities = pt.special.log_softmax(cast(logits, dtype), axis=-1)
    batch, time = logits.type.shape[:2]
    states = None if labels.type.shape[1] is None else 2 * labels.type.shape[1] + 1
    loss, _ = computed(
        _losses,
        [log_probabilities, labels, as_node(target_length, "int32"), as_node(output_length, "int32")],
        [(dtype, (batch,)), ("float64", (None if time is None else time + 1, batch, states))],
        gradient=_gradient_of_losses,
        blank=mask_index,
    )
    return Tensor(loss)


def _gradient_of_losses(
    inputs: Sequence[Any], outputs: Sequence[Any], upstream: Sequence[Any], blank: int
) -> list[Any]:
    log_probabilities = inputs[0]
    (gradient,) = computed(
        _occupancies,
        [*inputs, outputs[1], upstream[0]],
        [(log_probabilities.type.dtype, log_probabilities.type.shape)],
        blank=blank,
    )
    return [gradient, None, None, None]


def _losses(log_probabilities: Any, labels: Any, label_lengths: Any, lengths: Any, *, blank: int) -> Any:
    """Return the losses, and the logarithms of the probabilities of all beginnings of alignments.

    log_probabilities: shape (batch, time, classes).
    labels: shape (batch, labels).
    label_lengths, lengths: shape (batch,).
    Returns shapes (batch,) and (time + 1, batch, states).
    """
    emitted = _emissions(log_probabilities, labels, blank)
    time, batch, states = emitted.shape
    skipping = _skipping(labels)
    paths = np.full((time + 1, batch, states), _IMPOSSIBLE)
    paths[0, :, 0] = 0.0
    for n in range(time):
        ways = _ways(paths[n], skipping)
        highest = np.maximum(ways.max(axis=0), _LOWEST)
        ways -= highest
        total = np.log(np.exp(ways, out=ways).sum(axis=0), out=paths[n + 1])
        total += highest
        total += emitted[n]
        over = n >= lengths
        if over.any():
            paths[n + 1, over] = paths[n, over]
    return -np.logaddexp(*_ends(paths[time], label_lengths)), paths


def _occupancies(
    log_probabilities: Any,
    labels: Any,
    label_lengths: Any,
    lengths: Any,
    paths: Any,
    upstream: Any,
    *,
    blank: int,
) -> Any:
    """Return the gradient of the losses with respect to the logarithms of the probabilities. It is the
    probability, under the condition that the labels are spelled, that a step of the alignment has a class,
    with a minus sign.

    paths: the second result of _losses.
    upstream: the gradient of the losses, shape (batch,).
    Returns shape (batch, time, classes).
    """
    emitted = _emissions(log_probabilities, labels, blank)
    time, batch, states = emitted.shape
    skipping = _skipping(labels)
    rows = np.arange(batch)
    last, before = _ends(paths[time], label_lengths)
    end = 2 * np.clip(label_lengths, 0, labels.shape[1])
    both = np.maximum(np.logaddexp(last, before), _LOWEST)
    here = np.zeros((batch, states))
    here[rows, end] = -upstream * np.exp(last - both)
    here[rows, np.maximum(end - 1, 0)] -= upstream * np.exp(before - both)
    occupied = np.zeros((time, batch, states))
    for n in reversed(range(time)):
        over = n >= lengths
        arrived = np.where(paths[n + 1] > _LOWEST, paths[n + 1] - emitted[n], 0.0)
        shares = _ways(paths[n], skipping)
        shares -= arrived
        np.exp(shares, out=shares)
        shares *= here
        earlier = shares[0]
        earlier[:, :-1] += shares[1, :, 1:]
        earlier[:, :-2] += shares[2, :, 2:]
        if over.any():
            earlier[over] = here[over]
            here[over] = 0.0
        occupied[n] = here
        here = earlier
    return _by_class(occupied, labels, log_probabilities.shape, blank)


def _emissions(log_probabilities: Any, labels: Any, blank: int) -> Any:
    """Return the logarithms of the probabilities of the classes that belong to the states.

    Returns float64 of shape (time, batch, states).
    """
    batch, time, _ = log_probabilities.shape
    emitted = np.empty((time, batch, 2 * labels.shape[1] + 1))
    emitted[:, :, ::2] = log_probabilities[:, :, blank].T[..., None]
    known = np.take_along_axis(log_probabilities, np.maximum(labels, 0)[:, None, :], axis=2)
    emitted[:, :, 1::2] = np.where(labels < 0, 0.0, known.transpose(1, 0, 2))
    return emitted


def _skipping(labels: Any) -> Any:
    """Return the logarithm of the weight with which a state is reached from the last but one, without the
    blank between two labels. Two equal labels need the blank. Shape (batch, states).
    """
    weights = np.full((labels.shape[0], 2 * labels.shape[1] + 1), -np.inf)
    weights[:, 3::2] = np.where(labels[:, 1:] == labels[:, :-1], _IMPOSSIBLE, 0.0)
    return weights


def _ways(paths: Any, skipping: Any) -> Any:
    """Return the logarithms of the probabilities of the three ways to each state: from itself, from the last
    state and from the last but one. Shape (3, batch, states).
    """
    ways = np.full((3, *paths.shape), -np.inf)
    ways[0] = paths
    ways[1, :, 1:] = paths[:, :-1]
    ways[2, :, 2:] = paths[:, :-2]
    ways[2] += skipping
    return ways


def _ends(paths: Any, label_lengths: Any) -> tuple[Any, Any]:
    """Return those of the two states in which an alignment may end: the blank after the last label, and the
    last label. Each has shape (batch,).
    """
    rows = np.arange(len(paths))
    end = 2 * np.clip(label_lengths, 0, paths.shape[1] // 2)
    return paths[rows, end], np.where(end > 0, paths[rows, end - 1], -np.inf)


def _by_class(occupied: Any, labels: Any, shape: tuple[int, ...], blank: int) -> Any:
    """Add up the states of each class.

    occupied: shape (time, batch, states).
    shape: (batch, time, classes).
    """
    batch, time, classes = shape
    row = np.arange(batch)[:, None, None] * time + np.arange(time)[None, :, None]
    places = (row * classes + np.maximum(labels, 0)[:, None, :]).ravel()
    numbers = np.where(labels < 0, 0.0, occupied[:, :, 1::2]).transpose(1, 0, 2).ravel()
    total = np.bincount(places, numbers, batch * time * classes).reshape(shape)
    total[:, :, blank] += occupied[:, :, ::2].sum(axis=2).T
    return total


def ctc_decode(
    inputs: Any,
    sequence_lengths: Any,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int | None = 0,
) -> tuple[Tensor, Tensor]:
    """Return the likeliest sequences of labels, and their scores.

    inputs: logits, shape (batch, time, classes).
    sequence_lengths: shape (batch,).
    strategy: "greedy" takes the likeliest class at each time, and its score is the sum of these logits with
        a minus sign. "beam_search" follows the `beam_width` likeliest sequences, and its scores are
        logarithms of probabilities, which have no gradient.
    top_paths: how many sequences a beam search returns.
    merge_repeated: whether equal neighbours are one label. A beam search always merges them.
    mask_index: the class that stands for a blank, by default the first. None means the last.
    Returns labels of shape (sequences, batch, time) that end with entries of -1, and scores of shape
    (batch, sequences).
    """
    node, lengths = as_node(inputs), as_node(sequence_lengths, "int32")
    node = cast(node, traceable(result_type(node.type.dtype, "float32")))
    if strategy == "greedy":
        return _greedy(node, lengths, merge_repeated, mask_index)
    if strategy != "beam_search":
        raise ValueError(f"Invalid strategy {strategy}. Supported values are 'greedy' and 'beam_search'.")
    batch, time, classes = node.type.shape
    found = min(top_paths, 2 * beam_width * classes) if classes is not None else None
    labels, scores = computed(
        _beam_search,
        [node, lengths],
        [("int32", (found, batch, time)), (node.type.dtype, (batch, found))],
        beam_width=beam_width,
        top_paths=top_paths,
        mask_index=mask_index,
    )
    return Tensor(labels), Tensor(scores)


def _beam_search(inputs: Any, lengths: Any, **settings: Any) -> Any:
    return eager.ctc_decode(inputs, lengths, strategy="beam_search", **settings)


def _greedy(logits: Any, lengths: Any, merge_repeated: bool, mask_index: int | None) -> tuple[Tensor, Tensor]:
    classes, time = logits.shape[2], logits.shape[1]
    blank = cast(classes - 1, "int32") if mask_index is None else as_node(mask_index, "int32")
    place = pt.arange(time, dtype="int32")[None, :]
    over = pt.ge(place, lengths[:, None])
    best = pt.switch(over, blank, cast(pt.argmax(logits, axis=-1), "int32"))
    scores = pt.switch(over, as_node(0, logits.type.dtype), pt.max(logits, axis=-1))
    if merge_repeated:
        repeated = pt.eq(best[:, 1:], best[:, :-1])
        best = pt.concatenate([best[:, :1], pt.switch(repeated, blank, best[:, 1:])], axis=1)
    dropped = pt.eq(best, blank)
    order = pt.argsort(pt.switch(dropped, cast(time, "int32"), place), axis=-1, kind="mergesort")
    labels = pt.take_along_axis(pt.switch(dropped, as_node(-1, "int32"), best), order, axis=-1)
    labels = pt.specify_shape(labels, logits.type.shape[:2])
    return Tensor(labels[None]), Tensor(-pt.sum(scores, axis=1)[:, None])
