"""Tells what the native tier has made of a model's steps."""

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
    kinds = _kinds(model)
    if not kinds:
        raise ValueError(
            f"The native tier has run no step of {model.name!r}. Train it or predict with it first, with "
            "KERAS_THEANO_MODE unset or set to native."
        )
    for name, step, kind in kinds:
        print("\n".join(_lines(name, kind[: step.inputs], step.segments(kind), step.outside(kind))))


@dataclass(frozen=True)
class Cost:
    """What a step has to do for one batch.

    products: the sizes of its matrix products: how many, and the numbers of rows, of the axis that is summed
        over, and of columns. A product that is computed several times is there as often.
    bytes: how many its other work reads and writes.
    """

    products: list[tuple[int, int, int, int]]
    bytes: int


def cost(model: Any, name: str) -> Cost:
    """Return the cost of a step in the native tier, for the first kind of batch that it has met.

    model: a Keras model.
    name: train, test or predict.
    """
    step, kind = next((step, kind) for own, step, kind in _kinds(model) if own.split(" ", 1)[0] == name)
    products: list[tuple[int, int, int, int]] = []
    moved = 0
    for segment in step.segments(kind):
        for call in _calls(segment):
            products += call.products
            moved += 0 if call.products else call.bytes
    return Cost(products, moved)


def _kinds(model: Any) -> list[tuple[str, Any, Any]]:
    """Return the steps of a model, each with its name and each kind of batch that it has compiled."""
    own = [(name, step) for name, step in native_steps() if name.split(" ", 1)[-1] == model.name]
    return [(name, step, kind) for name, step in own for kind in step.kinds()]


def _lines(name: str, kind: Any, segments: list[Segment], outside: dict[str, int]) -> Iterator[str]:
    shapes = ", ".join(_sizes(shape) for shape in kind)
    calls = [call for segment in segments for call in _calls(segment)]
    yield f"{name}, inputs of {shapes}: {len(segments)} segments, {sum(call.times for call in calls)} calls"
    for function, what in dict.fromkeys((call.function, call.what) for call in calls):
        own = [call for call in calls if (call.function, call.what) == (function, what)]
        times, moved = (
            sum(numbers) for numbers in zip(*[(call.times, call.bytes) for call in own], strict=True)
        )
        yield f"  {times:4} x {function:14} {_bytes(moved):>9}  {what}"
    products = [call for call in calls if call.products]
    moved, by_products = (sum(call.bytes for call in some) for some in (calls, products))
    multiplications = sum(prod(sizes) for call in products for sizes in call.products)
    yield (
        f"  BLAS: {sum(call.times for call in products)} calls, {multiplications:,} multiplications, "
        f"{by_products / max(moved, 1):.0%} of {_bytes(moved)} moved"
    )
    yield f"  memory: {_bytes(sum(segment.places.size for segment in segments))}"
    for reason, count in outside.items():
        yield f"  {count:4} x computed by NumPy: {reason}"


@dataclass(frozen=True)
class _Call:
    """One call of a function.

    what: what it does, in words.
    times: how often a step does it.
    bytes: how many it reads and writes, all times together.
    products: the sizes of its matrix products, as in Cost.
    """

    function: str
    what: str
    times: int
    bytes: int
    products: list[tuple[int, int, int, int]]


def _calls(segment: Segment) -> Iterator[_Call]:
    stored = segment.plan.stored()
    times = segment.repeats
    for function, group in segment.module.calls:
        products = [
            (prod(value.shape[:-2]), value.shape[-2], value.parts[0].shape[-1], value.shape[-1])
            for value in group.values
            if isinstance(value.work, Product)
        ]
        yield _Call(function, _words(group), times, times * _moved(group, stored), times * products)


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
