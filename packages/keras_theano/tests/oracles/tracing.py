"""Runs functions as training does: they are traced with symbolic inputs, compiled, and called."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from keras.src.backend.common import dtypes
from pytensor.compile.mode import Mode
from pytensor.graph.rewriting.db import RewriteDatabaseQuery

import keras_theano.execution.interpreter  # noqa: F401  # runs the loops in a graph
from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor

# Runs the graph as it was recorded, because a single call costs less than starting a compiler, and less than
# PyTensor's rewrites. The only rewrite inlines the ops that consist of a graph, which would be compiled
# otherwise.
INTERPRETED = Mode(linker="py", optimizer=RewriteDatabaseQuery(include=["inline_ofg_expansion"]))

Function = Callable[..., Any]


def traced(function: Function, *args: Any, unknown_batch: bool = True) -> Any:
    """Return what `function(*args)` computes when each array in `args`, including those in lists, is
    symbolic. The arrays in the result are nested as the function nests its Tensors. Other values are returned
    unchanged.

    unknown_batch: whether the size of each array's first axis is unknown before the call. A size of 1 is
        always known, because PyTensor must know which axes broadcast.
    Raises AssertionError if a value does not have the dtype and shape that its Tensor declared.
    """
    symbols, arrays = _symbols(args, unknown_batch)
    result = _record(function, symbols)
    tensors = _leaves(result, Tensor)
    run = pytensor.function(
        _leaves(symbols, Tensor, node=True),
        [tensor.node for tensor in tensors],
        mode=INTERPRETED,
        on_unused_input="ignore",
    )
    values = iter(run(*arrays))

    def value(tensor: Tensor) -> Any:
        computed = next(values)
        assert str(computed.dtype) == tensor.dtype, f"{tensor} turned out as {computed.dtype}"
        assert len(computed.shape) == len(tensor.shape), f"{tensor} turned out with shape {computed.shape}"
        for declared, size in zip(tensor.shape, computed.shape, strict=True):
            assert declared in (None, size), f"{tensor} turned out with shape {computed.shape}"
        return computed

    return _map(result, Tensor, value)


def gradient_of(
    function: Function, *args: Any, unknown_batch: bool = True, step: float = 1e-6, tolerance: float = 1e-5
) -> list[Any]:
    """Return PyTensor's gradients of a weighted sum of the results of `function`, one for each array of
    floats in `args`. Before that, compare them with central differences along some directions. Everything is
    float64.

    step: how far the arrays are moved for a difference.
    tolerance: the largest allowed deviation, relative to the largest entry of the gradient.
    """
    args = _map(args, np.ndarray, lambda x: x.astype("float64") if x.dtype.kind == "f" else x)
    with wide():
        symbols, arrays = _symbols(args, unknown_batch)
        result = _record(function, symbols)
    inputs = _leaves(symbols, Tensor, node=True)
    total = sum(_weighted_sum(tensor.node) for tensor in _leaves(result, Tensor) if "float" in tensor.dtype)
    chosen = [n for n, array in enumerate(arrays) if array.dtype.kind == "f"]
    gradients = pytensor.grad(total, [inputs[n] for n in chosen], disconnected_inputs="ignore")
    forward = pytensor.function(inputs, total, mode=INTERPRETED, on_unused_input="ignore")
    backward = pytensor.function(inputs, gradients, mode=INTERPRETED, on_unused_input="ignore")

    found: list[Any] = backward(*arrays)
    random = np.random.default_rng(0)
    for n, gradient in zip(chosen, found, strict=True):
        assert gradient.shape == arrays[n].shape
        for _ in range(3):
            direction = random.uniform(0.5, 1.5, arrays[n].shape) * random.choice([-1, 1], arrays[n].shape)
            ends = [
                forward(*arrays[:n], arrays[n] + signed * direction, *arrays[n + 1 :])
                for signed in (step, -step)
            ]
            slope = (ends[0] - ends[1]) / (2 * step)
            scale = max(1.0, float(np.max(np.abs(gradient), initial=0)) * np.sqrt(gradient.size))
            assert abs(np.sum(gradient * direction) - slope) <= tolerance * scale, (
                f"argument {n}: the gradient {gradient.tolist()} gives a slope of "
                f"{np.sum(gradient * direction)}, where differences give {slope}"
            )
    return found


def _record(function: Function, symbols: Any) -> Any:
    with trace.opened(trace.Trace()):
        return function(*symbols)


def _symbols(args: Any, unknown_batch: bool) -> tuple[Any, list[Any]]:
    def symbol(array: Any) -> Tensor:
        unknown = unknown_batch and array.ndim > 0 and array.shape[0] != 1
        shape = (None, *array.shape[1:]) if unknown else array.shape
        return Tensor(pt.tensor(dtype=str(array.dtype), shape=shape))

    return _map(args, np.ndarray, symbol), _leaves(args, np.ndarray)


def _weighted_sum(node: Any) -> Any:
    """Sum with a different weight for each value, so that values in the wrong place are noticed."""
    flat = node.ravel()
    return pt.sum(flat * pt.cos(pt.arange(flat.shape[0], dtype="float64")))


def _map(nest: Any, kind: type, function: Function) -> Any:
    if isinstance(nest, kind):
        return function(nest)
    if isinstance(nest, (list, tuple)):
        return type(nest)([_map(part, kind, function) for part in nest])
    return nest


def _leaves(nest: Any, kind: type, node: bool = False) -> list[Any]:
    found: list[Any] = []
    _map(nest, kind, lambda leaf: found.append(leaf.node if node else leaf))
    return found


@contextmanager
def wide() -> Iterator[None]:
    """Let Keras return results in 64 bits. It usually narrows them to 32, which hides small differences."""
    narrowed = dict(dtypes.BIT64_TO_BIT32_DTYPE)
    dtypes.BIT64_TO_BIT32_DTYPE.clear()
    try:
        yield
    finally:
        dtypes.BIT64_TO_BIT32_DTYPE.update(narrowed)
