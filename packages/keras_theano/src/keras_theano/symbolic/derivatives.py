"""The gradient of a function that is called in a trace."""

from collections.abc import Callable, Sequence
from typing import Any

import pytensor
import pytensor.tensor as pt
from keras.src import tree

from keras_theano.tracing.depth import as_deep_as
from keras_theano.tracing.tensor import Tensor, as_node, cast


def gradients_of_sum(function: Callable[[list[Any]], Any], inputs: Sequence[Any]) -> list[Any]:
    """Return the gradients of the sum of `function(inputs)` with respect to the inputs, nested as they are.
    They are 0 for what does not affect the result.

    function: returns a tensor. Its uses of the inputs' tensors in other ways than by its argument do not
        count.
    inputs: nested tensors of floats.
    """
    # The gradient of a copy is that of the argument alone.
    copies = tree.map_structure(lambda x: Tensor(pt.tensor_copy(as_node(x))), list(inputs))
    nodes = [copy.node for copy in tree.flatten(copies)]
    total = pt.sum(as_node(function(copies)))
    if not total.type.dtype.startswith("float"):
        raise TypeError(
            f"keras.ops.grad needs a function that returns floats, and it returns {total.type.dtype}"
        )
    with as_deep_as([total]):
        found = pytensor.grad(total, nodes, disconnected_inputs="ignore", return_disconnected="none")
    gradients = [
        Tensor(pt.zeros_like(node) if slope is None else cast(slope, node.type.dtype))
        for node, slope in zip(nodes, found, strict=True)
    ]
    return list(tree.pack_sequence_as(copies, gradients))
