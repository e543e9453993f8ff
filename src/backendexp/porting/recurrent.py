"""Recurrent layers: the gates keep the meaning of the old hard_sigmoid, and CuDNN's weights are put in order.

Keras 2 has hard_sigmoid(x) = clip(x / 5 + 1/2, 0, 1), and Keras 3 has clip(x / 6 + 1/2, 0, 1). So the old one
at x is the new one at 1.2 x. What a gate applies it to is a sum of products with weights, so a gate whose
weights are multiplied by 1.2 computes the same with the hard_sigmoid of any Keras 3.
"""

from collections.abc import Sequence
from typing import Any

import numpy

from backendexp.porting.architecture import Layer
from backendexp.porting.pieces import Context, rearranged

STEEPER = 1.2
OLD_SIGMOID = "hard_sigmoid"
# The parts of the kernels, in the order of Keras 2 and 3, and which of them are gates.
_GATES = {
    "LSTM": ("gate", "gate", "state", "gate"),
    "GRU": ("gate", "gate", "state"),
    "SimpleRNN": ("state",),
}
_SCALED = (
    "the weights of its gates are multiplied by 1.2, because hard_sigmoid rises by 1/5 in Keras 2 and by 1/6 "
    "in "
    "Keras 3. It computes the same. When it is trained further, the steps of these weights have another size"
)


def family(kind: str) -> str:
    """LSTM, GRU or SimpleRNN."""
    for name in ("LSTM", "GRU"):
        if name in kind:
            return name
    return "SimpleRNN"


def scales(layer: Layer, context: Context, shown: str) -> list[float] | None:
    """The factor of each part of the kernels, or None if all of them are 1.

    shown: the name of the layer that the user knows, which has this one inside.
    """
    kind = family(layer.kind)
    old_gates = layer.config.get("recurrent_activation") == OLD_SIGMOID
    old_state = layer.config.get("activation") == OLD_SIGMOID
    if old_state and kind == "LSTM":
        # It is applied to the cell state too, which no weight can scale.
        context.may_differ(shown, "hard_sigmoid rises by 1/5 in Keras 2, and by 1/6 in Keras 3")
        old_state = False
    if not (old_gates or old_state):
        return None
    context.note(shown, _SCALED)
    wanted = {"gate": old_gates, "state": old_state}
    return [STEEPER if wanted[part] else 1.0 for part in _GATES[kind]]


def with_factors(array: Any, factors: Sequence[float] | None, context: Context) -> Any:
    """Scale a weight, so that what an optimizer keeps of it follows."""
    if factors is None:
        return array

    def likewise(state: Any, power: int) -> Any:
        return scaled(state, [factor**power for factor in factors])

    return context.changed(likewise(array, 1), array, likewise)


def scaled(array: Any, factors: Sequence[float] | None) -> Any:
    """Multiply the parts of a kernel or a bias, which lie side by side in its last axis."""
    if factors is None:
        return array
    width = array.shape[-1] // len(factors)
    return (array * numpy.repeat(numpy.asarray(factors), width)).astype(array.dtype)


def from_cudnn(kind: str, arrays: Sequence[Any], context: Context) -> list[Any]:
    """The weights of CuDNNLSTM or CuDNNGRU in the order of LSTM, or of GRU with reset_after.

    kernel: its part for each gate is kept with its rows and columns in the order of Fortran.
    recurrent kernel: its part for each gate is transposed. bias: CuDNN has one for the input and one for the
        state. An LSTM adds them, and a GRU with reset_after keeps both.
    """
    gates = len(_GATES[family(kind)])

    def turned(kernel: Any) -> Any:
        parts = numpy.split(kernel, gates, axis=1)
        return numpy.concatenate([part.T.reshape(part.shape, order="F") for part in parts], axis=1)

    def transposed(recurrent: Any) -> Any:
        return numpy.concatenate([part.T for part in numpy.split(recurrent, gates, axis=1)], axis=1)

    def both(bias: Any) -> Any:
        return bias.reshape(2, -1)

    bias = _added if family(kind) == "LSTM" else rearranged(both)
    ways = (rearranged(turned), rearranged(transposed), bias)
    return [context.changed(way(array, 1), array, way) for way, array in zip(ways, arrays, strict=True)]


def _added(bias: Any, power: int) -> Any:
    """The sum of the two biases of an LSTM, and what an optimizer keeps of the sum.

    Both have the same gradient, which is that of the sum, and the step of the sum is that of both.
    """
    halves = bias.reshape(2, -1)
    if power < 0:
        return halves[0]
    return (halves ** (1 / power)).sum(axis=0) ** power
