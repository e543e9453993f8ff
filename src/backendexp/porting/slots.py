"""Which weights each layer of Keras 2 has, and in which order a file keeps those of layers in layers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backendexp.errors import UserError
from backendexp.porting.architecture import Layer, Model

# What has weights besides what `_bias` says: the number of trainable ones, without the bias.
_KERNELS = {
    "Dense": 1,
    "Conv1D": 1,
    "Conv2D": 1,
    "Conv3D": 1,
    "Conv2DTranspose": 1,
    "Conv3DTranspose": 1,
    "SeparableConv1D": 2,
    "SeparableConv2D": 2,
    "DepthwiseConv2D": 1,
    "LocallyConnected1D": 1,
    "LocallyConnected2D": 1,
    "SimpleRNN": 2,
    "GRU": 2,
    "LSTM": 2,
    "SimpleRNNCell": 2,
    "GRUCell": 2,
    "LSTMCell": 2,
    "ConvLSTM2D": 2,
    "ConvLSTM2DCell": 2,
}
_FIXED = {"CuDNNLSTM": 3, "CuDNNGRU": 3, "Embedding": 1, "PReLU": 1}
# Keras 1 has a kernel, a recurrent kernel and a bias for each gate.
_GATES_OF_KERAS_1 = {"LSTM": 4, "GRU": 3, "ConvLSTM2D": 4}
_WRAPPERS = ("TimeDistributed", "Bidirectional", "RNN", "StackedRNNCells", "ConvRNN2D")


@dataclass(frozen=True)
class Slot:
    """A weight of a layer that has no layers inside.

    leaf: the place of that layer: its name, and the names of the layers around it.
    number: of the weight in that layer.
    trained: whether an optimizer changes it.
    """

    leaf: tuple[str, ...]
    number: int
    trained: bool


def count(layer: Layer, generation: int) -> tuple[int, int]:
    """The numbers of weights that are trained and that are not."""
    if generation == 1 and layer.kind in _GATES_OF_KERAS_1:
        return 3 * _GATES_OF_KERAS_1[layer.kind], 0
    if layer.kind in _KERNELS:
        return _KERNELS[layer.kind] + bool(layer.config.get("use_bias", True)), 0
    if layer.kind == "BatchNormalization":
        return bool(layer.config.get("center", True)) + bool(layer.config.get("scale", True)), 2
    if layer.kind == "LayerNormalization":
        return bool(layer.config.get("center", True)) + bool(layer.config.get("scale", True)), 0
    if layer.kind == "Attention":
        return int(bool(layer.config.get("use_scale", False))), 0
    return _FIXED.get(layer.kind, 0), 0


@dataclass(frozen=True)
class Rules:
    """What decides how many weights a layer has.

    generation: of the Keras that wrote the file.
    custom: the classes of the user's, of which only their code knows the number of weights.
    unknown: the number that each of those is taken to have.
    """

    generation: int
    custom: frozenset[str]
    unknown: int = 0


def _slots(layer: Layer, place: tuple[str, ...], rules: Rules) -> Iterator[Slot]:
    here = (*place, layer.name)
    if layer.model is not None:
        for one in layer.model.layers:
            yield from _slots(one, here, rules)
    elif layer.kind == "Bidirectional":
        for direction in ("forward", "backward"):
            yield from _slots(layer.inner[0], (*here, direction), rules)
    elif layer.kind in _WRAPPERS:
        for number, one in enumerate(layer.inner):
            yield from _slots(one, (*here, str(number)), rules)
    else:
        own = layer.kind in rules.custom
        trained, fixed = (rules.unknown, 0) if own else count(layer, rules.generation)
        for number in range(trained + fixed):
            yield Slot(here, number, layer.trainable and number < trained)


def order_of_file(layer: Layer, rules: Rules, arrays: int) -> list[Slot]:
    """The weights of a layer in the order of the file: all that are trained come first.

    arrays: the number of weights in the file.
    Raises UserError: the file has another number of weights than the layer.
    """
    known = list(_slots(layer, (), rules))
    own = sum(1 for one in _leaves(layer) if one.kind in rules.custom)
    missing = arrays - len(known)
    if missing and own:
        if missing % own:
            raise UserError(
                f"layer {layer.name!r} has {arrays} weights in the file, which cannot be divided among its "
                f"{own} layers of your own"
            )
        known = list(_slots(layer, (), replace(rules, unknown=missing // own)))
    elif missing:
        raise UserError(
            f"the file is damaged, or its architecture and its weights do not belong together: layer "
            f"{layer.name!r} has {len(known)} weights, and the file {arrays}"
        )
    return sorted(known, key=lambda slot: not slot.trained)


def _leaves(layer: Layer) -> Iterator[Layer]:
    inside = list(layer.inner) + (list(layer.model.layers) if layer.model is not None else [])
    if not inside:
        yield layer
    for one in inside:
        yield from _leaves(one)


def has_weights(layer: Layer, rules: Rules) -> bool:
    return bool(list(_slots(layer, (), replace(rules, unknown=1))))


def by_leaf(
    model: Model, stored: Sequence[tuple[str, dict[str, Any]]], rules: Rules
) -> tuple[dict[tuple[str, ...], list[Any]], list[Slot]]:
    """The weights of each layer, by its place; and all weights that are trained, in the order of Keras 2.

    stored: the weights of the layers that are not inside of others, in the order of the file.
    Raises UserError: architecture and weights do not belong together.
    """
    held = {name: list(weights.values()) for name, weights in stored}
    filled = [name for name, weights in stored if weights]
    named = set(filled) <= {layer.name for layer in model.layers}
    if not named:
        # The names of a weights file can be those of another process. Then the order counts, as in Keras 2.
        bearing = [layer.name for layer in model.layers if has_weights(layer, rules)]
        if len(bearing) != len(filled):
            raise UserError(
                f"the architecture and the weights do not belong together: {len(bearing)} layers have "
                "weights, "
                f"and the file has weights of {len(filled)}"
            )
        held = {layer: held[name] for layer, name in zip(bearing, filled, strict=True)}
    found: dict[tuple[str, ...], list[Any]] = {}
    trained: list[Slot] = []
    for layer in model.layers:
        arrays = held.get(layer.name, [])
        slots = order_of_file(layer, rules, len(arrays))
        for slot, array in zip(slots, arrays, strict=True):
            found.setdefault(slot.leaf, []).append((slot.number, array))
        trained += [slot for slot in slots if slot.trained]
    return {
        leaf: [array for _, array in sorted(numbered, key=lambda pair: pair[0])]
        for leaf, numbered in found.items()
    }, trained
