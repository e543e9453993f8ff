"""Functions of elements that are called for whole arrays."""

import math
import re
from collections.abc import Callable, Collection
from typing import Any

import pytensor.tensor as pt
from keras.src import tree

from keras_theano.symbolic.core import map as each
from keras_theano.symbolic.filling import filled
from keras_theano.symbolic.sizes import sizes_of
from keras_theano.tracing.tensor import Tensor, as_node


def vectorized(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    excluded: Collection[Any],
    signature: str | None,
) -> Any:
    """Return what `function` computes for each element of its arguments, which broadcast.

    args, kwargs: the arguments. Those whose positions or names are in `excluded` are passed as they are.
    signature: the axes that an element has, such as "(n,m),(m)->(n)". None means that elements are scalars.
    """
    places: list[Any] = [*[n for n in range(len(args)) if n not in excluded]]
    places += [name for name in kwargs if name not in excluded]
    nodes = [as_node(args[place] if isinstance(place, int) else kwargs[place]) for place in places]
    own = _own_axes(signature, len(nodes))
    batch, flat = _with_one_axis_of_elements(nodes, own)

    def of_element(parts: list[Any]) -> Any:
        given = dict(zip(places, parts, strict=True))
        return function(
            *[given.get(n, value) for n, value in enumerate(args)],
            **{name: given.get(name, value) for name, value in kwargs.items()},
        )

    found = each(of_element, flat)

    def with_batch(result: Tensor) -> Tensor:
        dims = [*batch, *sizes_of(result.node)[1:]]
        return Tensor(pt.reshape(result.node, dims, ndim=len(dims)))

    return tree.map_structure(with_batch, found)


def _own_axes(signature: str | None, arguments: int) -> list[int]:
    """Return the numbers of axes that the elements of the arguments have."""
    if signature is None:
        return [0] * arguments
    groups = re.findall(r"\(([^)]*)\)", signature.split("->")[0])
    if len(groups) != arguments:
        raise ValueError(f"the signature {signature!r} has {len(groups)} arguments. Received: {arguments}")
    return [len([name for name in group.split(",") if name.strip()]) for group in groups]


def _with_one_axis_of_elements(nodes: list[Any], own: list[int]) -> tuple[list[Any], list[Tensor]]:
    """Return the sizes of the axes along which the elements lie, and the arguments with one axis instead."""
    ndims = [node.type.ndim - axes for node, axes in zip(nodes, own, strict=True)]
    most = max(ndims)
    templates = [
        filled(as_node(0, "int8"), [1] * (most - ndim) + sizes_of(node)[:ndim])
        for node, ndim in zip(nodes, ndims, strict=True)
    ]
    together = templates[0]
    for other in templates[1:]:
        together = together + other
    batch = sizes_of(together)
    count = math.prod(batch) if all(isinstance(size, int) for size in batch) else pt.prod(together.shape)
    flat = []
    for node, axes, ndim in zip(nodes, own, ndims, strict=True):
        inner = sizes_of(node)[ndim:]
        whole = filled(node, [*batch, *inner])
        flat.append(Tensor(pt.reshape(whole, [count, *inner], ndim=1 + axes)))
    return batch, flat
