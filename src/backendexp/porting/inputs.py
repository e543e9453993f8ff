"""The inputs of both models: the user's, or drawn so that masks, indices and signs all occur."""

import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from backendexp.errors import UserError
from backendexp.porting import architecture
from backendexp.porting.architecture import Layer, Model

_SAMPLES = 4
# What an axis of any size is taken to have, by the number of axes of the input: steps, or pixels.
_STEPS, _PIXELS = 10, 32
# Inputs of more numbers than this would fill the memory: a gigabyte in each of several processes.
_MOST_NUMBERS = 250_000_000


@dataclass(frozen=True)
class Input:
    """An input of the model.

    shape: with the axis of samples. None stands for any size.
    words: if its numbers are indices, how many there are, else None.
    masked: the value that masks a step, or None.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    words: int | None = None
    masked: float | None = None


def of(model: Model) -> list[Input]:
    """The inputs of a model, in its order.

    Raises UserError: the file does not say which shape an input has.
    """
    if model.sequential:
        first = next((layer for layer in model.layers if layer.kind != "InputLayer"), None)
        if model.input_shape is None or first is None:
            raise UserError(
                "the file does not say which shape the input of the model has. Expected batch_input_shape in "
                "its "
                "first layer"
            )
        words, masked = _read_by(first, 0)
        return [Input("input", _checked("input", model.input_shape), _dtype(first), words, masked)]
    found = []
    for source in model.inputs:
        layer = model.layer(source.layer)
        shape = architecture.shape_of_input(layer)
        if shape is None:
            raise UserError(f"the input {layer.name!r} of the model has no shape in the file")
        words, masked = _readers(model, source.layer)
        found.append(Input(layer.name, _checked(layer.name, shape), _dtype(layer), words, masked))
    return found


def _checked(name: str, shape: Any) -> tuple[int | None, ...]:
    """The shape of an input.

    Raises UserError: no array has such a shape.
    """
    sizes = list(shape) if isinstance(shape, list | tuple) else None
    if sizes is None or any(not (size is None or (type(size) is int and size > 0)) for size in sizes):
        raise UserError(
            f"the input {name!r} of the model has the shape {shape} in the file, which no input can have. "
            "Expected numbers above 0, or null for any"
        )
    return tuple(sizes)


def _dtype(layer: Layer) -> str:
    if layer.model is not None:
        return _dtype(layer.model.layers[0])
    found = layer.config.get("dtype") or layer.config.get("input_dtype") or "float32"
    return found if isinstance(found, str) else "float32"


def _readers(model: Model, name: str) -> tuple[int | None, float | None]:
    """The words and the masking value of an input, after the layers that read it."""
    words: int | None = None
    masked: float | None = None
    for layer in model.layers:
        for call in layer.calls:
            for number, source in enumerate(call.sources):
                if source.layer == name:
                    read, mask = _read_by(layer, number)
                    words = read if words is None else min(words, read or words)
                    masked = mask if masked is None else masked
    return words, masked


def _read_by(layer: Layer, number: int) -> tuple[int | None, float | None]:
    """The words and the masking value of the input of this number of a layer."""
    if layer.kind == "Embedding":
        return int(layer.config["input_dim"]), None
    if layer.kind == "Masking":
        return None, float(layer.config.get("mask_value", 0.0))
    if layer.kind == "TimeDistributed" and layer.inner:
        return _read_by(layer.inner[0], number)
    if layer.model is not None:
        if layer.model.sequential:
            first = next((one for one in layer.model.layers if one.kind != "InputLayer"), None)
            return _read_by(first, number) if first is not None else (None, None)
        return _readers(layer.model, layer.model.inputs[number].layer)
    return None, None


def draw(inputs: list[Input], seed: int) -> list[Any]:
    """Draw the inputs: of every kind of number that the layers treat differently, some."""
    stream = numpy.random.RandomState(seed)
    samples = next((one.shape[0] for one in inputs if one.shape[0]), None) or _SAMPLES
    return [_drawn(one, samples, stream) for one in inputs]


def _drawn(one: Input, samples: int, stream: Any) -> Any:
    free = _PIXELS if len(one.shape) > 3 else _STEPS
    shape = (samples, *(free if size is None else size for size in one.shape[1:]))
    if math.prod(shape) > _MOST_NUMBERS:
        raise UserError(
            f"an input for {one.name!r} of the shape {shape} would have {math.prod(shape):.1e} numbers, "
            "which is too much to draw. If the file is right about this, give a batch with --inputs"
        )
    if one.words is not None:
        drawn = stream.randint(0, one.words, size=shape).astype("float32")
    else:
        drawn = stream.normal(size=shape)
    if len(shape) > 1 and (one.masked is not None or one.words is not None):
        # The last steps of every second sample are masked, and the first step of the third.
        value = 0.0 if one.masked is None else one.masked
        drawn[1::2, -max(1, shape[1] // 3) :] = value
        drawn[2:3, :1] = value
    return drawn.astype(one.dtype if one.dtype in ("float16", "float64", "int32", "int64") else "float32")


def read(path: Path, inputs: list[Input]) -> list[Any]:
    """Read the inputs from an .npz file, which has an array for each, by name or in order.

    Raises UserError: the file is no .npz, or its arrays do not suit the model.
    """
    if not path.exists():
        raise UserError(f"--inputs {path} does not exist. Expected an .npz file, such as sample.npz")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise UserError(f"--inputs {path} is no .npz file. Write one with numpy.savez")
    try:
        with numpy.load(path, allow_pickle=False) as stored:
            held = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        why = "it holds objects of Python" if "allow_pickle" in str(error) else str(error)
        raise UserError(
            f"--inputs {path} is no .npz file of numbers: {why}. Write one with numpy.savez"
        ) from error
    if any(not isinstance(array, numpy.ndarray) for array in held.values()):
        raise UserError(f"--inputs {path} holds files that are no arrays. Write one with numpy.savez")
    if all(one.name in held for one in inputs):
        arrays = [held[one.name] for one in inputs]
    elif len(held) == len(inputs):
        arrays = list(held.values())
    else:
        raise UserError(
            f"--inputs {path} has {_counted(held)}. Expected {len(inputs)}: "
            f"{', '.join(one.name for one in inputs)}"
        )
    return [_suited(path, one, array) for one, array in zip(inputs, arrays, strict=True)]


def _counted(held: dict[str, Any]) -> str:
    return f"the arrays {', '.join(held)}" if held else "no arrays"


def _suited(path: Path, one: Input, array: Any) -> Any:
    fits = array.ndim == len(one.shape) and all(
        wanted in (None, size) for wanted, size in zip(one.shape[1:], array.shape[1:], strict=True)
    )
    if not fits or not len(array):
        wanted = ", ".join("any" if size is None else str(size) for size in one.shape)
        raise UserError(
            f"--inputs {path}: the array for {one.name!r} has the shape {array.shape}, and the model expects "
            f"({wanted})"
        )
    if array.dtype.kind not in "fiub":
        raise UserError(f"--inputs {path}: the array for {one.name!r} holds {array.dtype}. Expected numbers")
    return array.astype(one.dtype if one.dtype in ("float16", "float64") else "float32")
