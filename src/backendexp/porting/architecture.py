"""The layers of an old model as a tree, in the words of Keras 2, whichever generation wrote the file."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from backendexp.errors import UserError
from backendexp.porting import keras1

# What the classes of models are called: in Keras 1 and 2, and in tf.keras.
FUNCTIONAL = ("Model", "Functional", "Container", "Network")
MODELS = (*FUNCTIONAL, "Sequential")
# What classes of layers were called in some versions of tf.keras.
OF_TF_KERAS = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "UnifiedLSTM": "LSTM",
    "UnifiedGRU": "GRU",
    "LSTMV1": "LSTM",
    "LSTMV2": "LSTM",
    "GRUV1": "GRU",
    "GRUV2": "GRU",
}
# Deeper models do not occur; a crafted file could otherwise exhaust the stack.
_DEEPEST = 40


@dataclass(frozen=True)
class Source:
    """Where an input of a layer comes from.

    call: the number of the call of the layer, from 0. tensor: the number of its output, from 0.
    """

    layer: str
    call: int
    tensor: int


@dataclass(frozen=True)
class Call:
    """One call of a layer. arguments: the keyword arguments that the file has kept."""

    sources: tuple[Source, ...]
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """A layer in the words of Keras 2.

    inner: what a wrapper wraps, or the cells of a recurrent layer.
    model: the model, if the layer is a model itself.
    calls: in a functional model, each call of the layer.
    """

    kind: str
    name: str
    config: dict[str, Any]
    inner: tuple["Layer", ...] = ()
    model: "Model | None" = None
    calls: tuple[Call, ...] = ()

    @property
    def trainable(self) -> bool:
        return bool(self.config.get("trainable", True))


@dataclass(frozen=True)
class Model:
    """A model. inputs, outputs: of a functional model."""

    name: str
    sequential: bool
    layers: tuple[Layer, ...]
    inputs: tuple[Source, ...] = ()
    outputs: tuple[Source, ...] = ()
    input_shape: tuple[int | None, ...] | None = None

    def layer(self, name: str) -> Layer:
        return next(layer for layer in self.layers if layer.name == name)


def model_of(config: dict[str, Any], generation: int) -> Model:
    """Read an architecture.

    config: {"class_name": ..., "config": ...}.
    Raises UserError: it is no model, or it is damaged.
    """
    config = copy.deepcopy(config)
    if generation == 1:
        config = keras1.in_words_of_keras_2(config)
    try:
        return _model(config, 0)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise UserError(
            f"the architecture is damaged: {type(error).__name__} {error}. Expected that of a Sequential or "
            "functional model of Keras 1 or 2"
        ) from error


def _model(config: dict[str, Any], depth: int) -> Model:
    kind, inside = config["class_name"], config["config"]
    if depth > _DEEPEST:
        raise UserError(f"the architecture is damaged: its models are nested more than {_DEEPEST} deep")
    if kind == "Sequential":
        # Until 2.2.2, the configuration of a Sequential model was the list of its layers.
        plain = isinstance(inside, list)
        listed = inside if plain else inside["layers"]
        layers = tuple(_layer(one, depth) for one in listed)
        _check_names(layers)
        name = "sequential" if plain else inside.get("name") or "sequential"
        shape = None if plain else inside.get("build_input_shape")
        return Model(name, True, layers, input_shape=_shape(shape or _first_shape(layers)))
    if kind not in FUNCTIONAL:
        raise UserError(
            f"the architecture is of the class {kind!r}. Expected Sequential or Model: a subclass of Model "
            "keeps "
            "its layers in Python code, which no file has"
        )
    layers = tuple(_layer(one, depth) for one in inside["layers"])
    _check_names(layers)
    counts = {layer.name: max(1, len(layer.calls)) for layer in layers}
    ends = [listed_ends(inside[end]) for end in ("input_layers", "output_layers")]
    # Keras 2 counts the calls of a model from 1, because the model itself is its call 0. Some versions of
    # tf.keras count from 0. The first call is always the source of something.
    read = [one for layer in layers for call in layer.calls for one in call.arguments["sources"]]
    first: dict[str, int] = {}
    for name, node, *_ in [*read, *ends[0], *ends[1]]:
        first[name] = min(int(node), first.get(name, int(node)))
    is_model = {layer.name for layer in layers if layer.model is not None}

    def source(listed: Any) -> Source:
        name, node, tensor = listed[0], int(listed[1]), int(listed[2])
        if name not in counts:
            raise KeyError(name)
        if name in is_model:
            node -= first[name]
        return Source(name, min(node, counts[name] - 1), tensor)

    placed = tuple(
        Layer(
            layer.kind,
            layer.name,
            layer.config,
            layer.inner,
            layer.model,
            tuple(
                Call(tuple(map(source, call.arguments["sources"])), call.arguments["keywords"])
                for call in layer.calls
            ),
        )
        for layer in layers
    )
    return Model(
        inside.get("name") or "model",
        False,
        placed,
        tuple(map(source, ends[0])),
        tuple(map(source, ends[1])),
    )


def _check_names(layers: tuple[Layer, ...]) -> None:
    names = [layer.name for layer in layers]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"the architecture is damaged: two of its layers are called {twice!r}")


def listed_ends(ends: Any) -> list[Any]:
    """The ends of a model. tf.keras writes a single one without a list around it."""
    if ends and isinstance(ends[0], str):
        return [ends]
    return list(ends.values()) if isinstance(ends, dict) else list(ends)


def _layer(listed: dict[str, Any], depth: int) -> Layer:
    kind, config = listed["class_name"], listed["config"]
    kind = class_name(str(kind))
    calls = tuple(Call((), _call(node)) for node in listed.get("inbound_nodes") or ())
    if kind in MODELS:
        model = _model(listed, depth + 1)
        name = listed.get("name") or model.name
        kept = config if isinstance(config, dict) else {}
        return Layer(kind, name, {"trainable": kept.get("trainable", True)}, (), model, calls)
    name = listed.get("name") or config.get("name") or kind.lower()
    inner = [config[key] for key in ("layer", "cell") if isinstance(config.get(key), dict)]
    inner += config.get("cells") or []
    return Layer(kind, name, dict(config), tuple(_layer(one, depth + 1) for one in inner), None, calls)


def class_name(written: str) -> str:
    """The name of a class in Keras 2. tf.keras writes the package of a class first: "package>name"."""
    name = written.rpartition(">")[2]
    return OF_TF_KERAS.get(name, name)


def _call(node: Any) -> dict[str, Any]:
    """The sources of a call, as the file lists them, and its keyword arguments."""
    if node and isinstance(node[0], str):  # tf.keras writes a single source without a list around it
        node = [node]
    keywords: dict[str, Any] = {}
    for source in node:
        if len(source) > 3 and source[3]:
            keywords.update(source[3])
    return {"sources": [list(source[:3]) for source in node], "keywords": keywords}


def _first_shape(layers: tuple[Layer, ...]) -> Any:
    """The shape of the input of a Sequential model, with the axis of samples; None if the file lacks it."""
    if not layers:
        return None
    first = layers[0]
    if first.model is not None:
        if first.model.sequential:
            return first.model.input_shape
        start = first.model.layer(first.model.inputs[0].layer)
        return shape_of_input(start)
    return shape_of_input(first) or (_first_shape(first.inner) if first.kind == "Wrapper" else None)


def shape_of_input(layer: Layer) -> Any:
    """The shape of the input that a layer's configuration fixes, with the axis of samples, or None."""
    return layer.config.get("batch_input_shape") or layer.config.get("batch_shape")


def _shape(sizes: Any) -> tuple[int | None, ...] | None:
    return None if sizes is None else tuple(None if size is None else int(size) for size in sizes)


def all_layers(model: Model) -> Iterator[Layer]:
    """Every layer, also those inside of others."""
    for layer in model.layers:
        yield from _with_inner(layer)


def _with_inner(layer: Layer) -> Iterator[Layer]:
    yield layer
    for one in layer.inner:
        yield from _with_inner(one)
    if layer.model is not None:
        yield from all_layers(layer.model)
