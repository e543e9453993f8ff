"""Tells what the native tier has made of a model's steps."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from keras_theano.execution.native.fusion import Group
from keras_theano.execution.native.segment import Segment
from keras_theano.execution.native.work import Elementwise, Fixed, Product, Reduction, Value, View
from keras_theano.execution.programs import native_steps


def explain(model: Any) -> None:
    """Print what the native tier has made of the steps of a model that have run: the functions of each step,
    how often it calls them, how many bytes they read and write, and the share of the matrix products.

    model: a Keras model that has been trained, evaluated or used.

    Raises ValueError if the native tier has run no step of the model.
    """
    steps = [(name, step) for name, step in native_steps() if name.split(" ", 1)[-1] == model.name]
    kinds = [(name, step, kind) for name, step in steps for kind in step.kinds()]
    if not kinds:
        raise ValueError(
            f"The native tier has run no step of {model.name!r}. Train it or predict with it first, with "
            "KERAS_THEANO_MODE unset or set to native."
        )
    for name, step, kind in kinds:
        print("\n".join(_lines(name, kind[: step.inputs], step.segments(kind), step.outside(kind))))


def _lines(name: str, kind: Any, segments: list[Segment], outside: dict[str, int]) -> Iterator[str]:
    shapes = ", ".join(_sizes(shape) for shape in kind)
    calls = [call for segment in segments for call in _calls(segment)]
    yield f"{name}, inputs of {shapes}: {len(segments)} segments, {len(calls)} calls"
    for (function, what), count in Counter((call.function, call.what) for call in calls).items():
        moved = sum(call.bytes for call in calls if (call.function, call.what) == (function, what))
        yield f"  {count:4} x {function:14} {_bytes(moved):>9}  {what}"
    products = [call for call in calls if call.multiplications]
    moved, by_products = (sum(call.bytes for call in some) for some in (calls, products))
    yield (
        f"  BLAS: {len(products)} calls, {sum(call.multiplications for call in products):,} multiplications, "
        f"{by_products / max(moved, 1):.0%} of {_bytes(moved)} moved"
    )
    yield f"  memory: {_bytes(sum(segment.places.size for segment in segments))}"
    for reason, count in outside.items():
        yield f"  {count:4} x computed by NumPy: {reason}"


@dataclass(frozen=True)
class _Call:
    """One call of a function.

    what: what it does, in words.
    bytes: how many it reads and writes.
    multiplications: of a matrix product, otherwise 0.
    """

    function: str
    what: str
    bytes: int
    multiplications: int


def _calls(segment: Segment) -> Iterator[_Call]:
    stored = segment.plan.stored()
    for function, group in segment.module.calls:
        multiplications = sum(
            prod(value.shape) * value.parts[0].shape[-1]
            for value in group.values
            if isinstance(value.work, Product)
        )
        yield _Call(function, _words(group), _moved(group, stored), multiplications)


def _moved(group: Group, stored: set[Value]) -> int:
    """Return how many bytes a group reads and writes. What it reads twice counts once."""
    own = set(group.values)
    read = {part for value in group.values for part in value.parts if part.value not in own}
    return sum(_bytes_of(part) for part in read) + sum(value.bytes for value in own & stored)


def _bytes_of(part: View) -> int:
    if isinstance(part.value.work, Fixed) and part.value.size == 1:
        return 0  # a number in the code
    different = prod(size for size, stride in zip(part.shape, part.strides, strict=True) if stride)
    return different * np.dtype(part.dtype).itemsize


def _words(group: Group) -> str:
    if group.space is None:
        (value,) = group.values
        shapes = " and ".join(_sizes(part.shape) for part in value.parts[:2])
        return f"{type(value.work).__name__.lower()} of {shapes}"
    names = [
        f"{value.work.name} along {len(value.work.axes)} axes"
        if isinstance(value.work, Reduction)
        else value.work.name
        if isinstance(value.work, Elementwise)
        else "range"
        for value in group.values
    ]
    return f"over {_sizes(group.space)}: {', '.join(names)}"


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _bytes(count: int) -> str:
    return f"{count / 2**20:.1f} MB" if count >= 2**20 else f"{count / 2**10:.1f} kB"
