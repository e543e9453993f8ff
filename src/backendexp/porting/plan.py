"""The plan by which a worker builds the model in Keras 3: JSON, and the weights beside it.

A model is {"name", "sequential", "shape", "dtype", "layers", "inputs", "outputs"}, a layer {"name", "pieces",
"calls"}, and a piece what `pieces.Piece` is, with the keys of its weights. The worker code that reads it is
`backendexp.worker.port_build`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backendexp.errors import UserError
from backendexp.porting import architecture, keras1, layers, slots
from backendexp.porting.architecture import Layer, Model, Source
from backendexp.porting.archive import Archive
from backendexp.porting.pieces import Context, Likewise, Piece
from backendexp.porting.slots import Slot


@dataclass(frozen=True)
class Plan:
    """How the model is built in Keras 3.

    model: see above. arrays: the weights by their keys.
    shown: the names of the layers in the order of the old model, and of the layer of the new model that has
        the same output.
    notes: what the user should know: (name of the layer, sentence).
    reasons: why a layer may differ, by its name.
    custom: the names of the user's classes and functions that the new model needs.
    trained: for each weight that the old optimizer changed, in its order: the key of the new weight, and how
        its state is changed likewise; a key of None means that its state cannot be carried over.
    """

    model: dict[str, Any]
    arrays: dict[str, Any]
    shown: dict[str, str]
    notes: list[tuple[str, str]]
    reasons: dict[str, str]
    trained: list[tuple[str | None, Likewise | None]]
    custom: frozenset[str] = frozenset()


def make(archive: Archive, model: Model, custom: frozenset[str]) -> Plan:
    """Plan how an old model becomes one of Keras 3.

    custom: the names that the user's file defines.
    Raises UserError: a layer is unknown, or the weights do not belong to the architecture.
    """
    faults = [fault for layer in architecture.all_layers(model) for fault in _faults(layer, custom)]
    if faults:
        raise UserError("\n".join(dict.fromkeys(faults)))
    context = Context(
        archive.backend, archive.generation, custom, archive.of_tf_keras, archive.of_tensorflow_2
    )
    for layer in architecture.all_layers(model):
        policy = layer.config.get("dtype")
        if isinstance(policy, dict) and "mixed" in str(policy.get("config")):
            context.note(layer.name, "it was trained in mixed precision. It computes in float32 now")
    arrays, trained = slots.by_leaf(model, archive.weights, slots.Rules(archive.generation, custom))
    builder = _Builder(context, arrays)
    planned = builder.model(model, ())
    return Plan(
        planned,
        builder.keyed,
        {layer["name"]: layer["pieces"][-1]["name"] for layer in planned["layers"] if layer["pieces"]},
        context.notes,
        context.reasons,
        [builder.key_of(slot) for slot in trained],
        frozenset(_custom_names(planned, custom)),
    )


def _custom_names(value: Any, custom: frozenset[str]) -> Iterator[str]:
    """The user's names that occur in a plan: as classes, functions and activations."""
    if isinstance(value, str) and value in custom:
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            if key != "name":
                yield from _custom_names(one, custom)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _custom_names(one, custom)


_CONTAINERS = ("TimeDistributed", "Bidirectional", "RNN", "StackedRNNCells", "InputLayer")


def _faults(layer: Layer, custom: frozenset[str]) -> Iterator[str]:
    """What the user has to mend before a layer can be ported, a sentence for each."""
    kind = layer.kind
    if layer.model is not None or kind in _CONTAINERS or kind in custom:
        return
    if kind == "Lambda" and layers.function_of(layer) not in custom:
        yield layers.missing_function(layer)
    if kind == "BatchNormalization" and layer.config.get("renorm"):
        yield f"layer {layer.name!r} has renorm=True, which the BatchNormalization of Keras 3 does not have"
    if not layers.is_known(kind):
        yield layers.unknown(kind, layer.name)
        return
    for key in ("activation", "recurrent_activation"):
        value = layer.config.get(key)
        if value is not None and not (isinstance(value, str) and (value in _ACTIVATIONS or value in custom)):
            yield (
                f"layer {layer.name!r} has {key}={value!r}, which is not an activation of Keras 2.3.1. If it "
                "is your "
                "own, give the file that defines it: --custom my_layers.py, with a function of that name"
            )


_ACTIVATIONS = (
    *("softmax", "elu", "selu", "softplus", "softsign", "relu", "tanh", "sigmoid", "hard_sigmoid"),
    *("exponential", "linear", "swish", "gelu"),
)


class _Builder:
    """Builds the plan, and collects the weights.

    keyed: the weights of the new model by their keys.
    """

    def __init__(self, context: Context, arrays: dict[tuple[str, ...], list[Any]]) -> None:
        self._context = context
        self._arrays = arrays
        self.keyed: dict[str, Any] = {}
        self._key_of_array: dict[int, str] = {}

    def key_of(self, slot: Slot) -> tuple[str | None, Likewise | None]:
        """The key of the new weight that continues an old one, and how its state is changed likewise."""
        return self._followed(self._old[slot.leaf][slot.number])

    def _followed(self, old: Any) -> tuple[str | None, Likewise | None]:
        if id(old) in self._key_of_array:
            return self._key_of_array[id(old)], None
        for new, source, likewise in self._context.made.values():
            if source is old and likewise is not None:
                key, further = self._followed(new)
                if key is not None:
                    return key, _one_after_the_other(likewise, further)
        return None, None

    def model(self, model: Model, place: tuple[str, ...]) -> dict[str, Any]:
        planned = []
        for layer in model.layers:
            chain = self.chain(layer, place, layer.name)
            planned.append(
                {
                    "name": layer.name,
                    "pieces": [self.json(piece) for piece in chain],
                    "calls": [_call(call) for call in layer.calls],
                    "input": _input(layer) if layer.kind == "InputLayer" else None,
                    "recurrent": layer.kind in _TAKE_STATES,
                    "constants": int(layer.config.get("num_constants") or 0),
                }
            )
        _name_apart(planned)
        return {
            "name": _legal(model.name),
            "sequential": model.sequential,
            "shape": None if model.input_shape is None else list(model.input_shape),
            "dtype": _dtype(model.layers[0]) if model.layers else "float32",
            "layers": planned,
            "inputs": [_source(source) for source in model.inputs],
            "outputs": [_source(source) for source in model.outputs],
        }

    def chain(self, layer: Layer, place: tuple[str, ...], shown: str) -> list[Piece]:
        """The pieces of a layer, also of a wrapper or a model.

        place: the names of the layers around it. shown: the name of the layer that the user knows.
        """
        here = (*place, layer.name)
        if layer.kind == "InputLayer":
            return []
        if layer.model is not None:
            inside = self.model(layer.model, here)
            return [Piece("model", layer.name, model=inside, trainable=layer.trainable)]
        if layer.kind == "TimeDistributed":
            chain = self.chain(layer.inner[0], (*here, "0"), shown)
            return [
                Piece(
                    "TimeDistributed",
                    layer.name if piece is chain[-1] else f"{layer.name}_{number}",
                    {},
                    inner={"layer": piece},
                    trainable=layer.trainable,
                )
                for number, piece in enumerate(chain)
            ]
        if layer.kind == "Bidirectional":
            both = [self._one(layer.inner[0], (*here, way), shown) for way in ("forward", "backward")]
            return [
                Piece(
                    "Bidirectional",
                    layer.name,
                    {"merge_mode": layer.config.get("merge_mode", "concat")},
                    (*(both[0].arrays or ()), *(both[1].arrays or ())) or None,
                    inner={"layer": replace(both[0], arrays=None)},
                    trainable=layer.trainable,
                )
            ]
        if layer.kind == "RNN":
            cell = self._cell(layer.inner[0], (*here, "0"), shown)
            keys = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll")
            config = {key: layer.config[key] for key in keys if key in layer.config}
            held = tuple(_held(cell)) or None
            bare = _bare(cell)
            return [Piece("RNN", layer.name, config, held, inner={"cell": bare}, trainable=layer.trainable)]
        arrays = self._held(layer, here)
        return layers.chain_of(layer, arrays, self._context, shown)

    def _held(self, layer: Layer, here: tuple[str, ...]) -> list[Any]:
        arrays = self._old.get(here, [])
        _check_sizes(layer, arrays)
        if self._context.generation == 1 and arrays:
            arrays = keras1.weights_of_keras_2(layer.kind, layer.config, arrays)
        return list(arrays)

    @property
    def _old(self) -> dict[tuple[str, ...], list[Any]]:
        return self._arrays

    def _one(self, layer: Layer, place: tuple[str, ...], shown: str) -> Piece:
        chain = self.chain(layer, place, shown)
        if len(chain) > 1:
            raise UserError(f"layer {shown!r} wraps {layer.kind}, which becomes several layers in Keras 3")
        return chain[0]

    def _cell(self, layer: Layer, place: tuple[str, ...], shown: str) -> Piece:
        if layer.kind != "StackedRNNCells":
            return self._one(layer, place, shown)
        cells = tuple(
            self._cell(cell, (*place, layer.name, str(number)), shown)
            for number, cell in enumerate(layer.inner)
        )
        return Piece("StackedRNNCells", layer.name, {}, inner={"cells": cells})

    def json(self, piece: Piece) -> dict[str, Any]:
        inner: dict[str, Any] = {}
        for argument, inside in piece.inner.items():
            if isinstance(inside, tuple):
                inner[argument] = [self.json(one) for one in inside]
            else:
                inner[argument] = self.json(inside)
        return {
            "kind": piece.kind,
            "name": _legal(piece.name),
            "config": piece.config,
            "arrays": None if piece.arrays is None else [self._key(array) for array in piece.arrays],
            "inner": inner,
            "custom": piece.custom,
            "trainable": piece.trainable,
            "model": piece.model,
        }

    def _key(self, array: Any) -> str:
        key = f"w{len(self.keyed)}"
        self.keyed[key] = array
        self._key_of_array[id(array)] = key
        return key


def _name_apart(planned: list[dict[str, Any]]) -> None:
    """Give the layers of a planned model different names. Those with the name of an old layer keep it."""
    taken = {layer["input"]["name"] for layer in planned if layer["input"] is not None}
    pieces = [(piece, layer["name"]) for layer in planned for piece in layer["pieces"]]
    for piece, _ in sorted(pieces, key=lambda pair: pair[0]["name"] != pair[1]):
        while piece["name"] in taken:
            piece["name"] += "_"
        taken.add(piece["name"])


def _check_sizes(layer: Layer, arrays: Sequence[Any]) -> None:
    """Refuse a layer that claims to be greater than its weights, before a worker fills the memory with it.

    Raises UserError: the architecture and the weights do not belong together.
    """
    greatest = max((size for array in arrays for size in array.shape), default=None)
    for key in ("units", "filters", "input_dim", "output_dim"):
        size = layer.config.get(key)
        if greatest is not None and isinstance(size, int) and size > greatest and layers.is_known(layer.kind):
            raise UserError(
                "the file is damaged, or its architecture and its weights do not belong together: "
                f"layer {layer.name!r} has {key}={size}, and its weights the shapes "
                f"{', '.join(str(array.shape) for array in arrays)}"
            )


def _one_after_the_other(first: Likewise, then: Likewise | None) -> Likewise:
    if then is None:
        return first
    return lambda state, power: then(first(state, power), power)


# The layers that take the start of their states, and constants, as further inputs.
_TAKE_STATES = ("LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM2D", "CuDNNLSTM", "CuDNNGRU", "Bidirectional")


def _held(piece: Piece) -> list[Any]:
    cells = piece.inner.get("cells", ())
    inside = cells if isinstance(cells, tuple) else (cells,)
    return [*(piece.arrays or ()), *(array for cell in inside for array in _held(cell))]


def _bare(piece: Piece) -> Piece:
    """The piece without its weights, which the layer around it gets."""
    cells = piece.inner.get("cells")
    if isinstance(cells, tuple):
        return replace(piece, arrays=None, inner={"cells": tuple(_bare(cell) for cell in cells)})
    return replace(piece, arrays=None)


def _legal(name: str) -> str:
    """The name of a layer as Keras 3 and TensorFlow accept it: without a slash, a space or the like."""
    return re.sub(r"[^A-Za-z0-9_.>-]", "_", name)


def _dtype(layer: Layer) -> str:
    if layer.model is not None and layer.model.layers:
        return _dtype(layer.model.layers[0])
    found = layer.config.get("dtype") or layer.config.get("input_dtype") or "float32"
    return found if isinstance(found, str) else "float32"


def _input(layer: Layer) -> dict[str, Any]:
    shape: Sequence[Any] | None = architecture.shape_of_input(layer)
    if shape is None:
        raise UserError(f"the input {layer.name!r} has no shape in the file")
    return {"shape": list(shape), "dtype": _dtype(layer), "name": _legal(layer.name)}


def _call(call: architecture.Call) -> dict[str, Any]:
    return {"sources": [_source(source) for source in call.sources], "arguments": call.arguments}


def _source(source: Source) -> list[Any]:
    return [source.layer, source.call, source.tensor]
