"""Use Keras code in a PyTensor or PyMC graph."""

from collections.abc import Callable, Mapping
from typing import Any

from keras.src import tree
from pytensor.graph.basic import Variable as Node

from keras_theano.tracing.tensor import Tensor, as_node
from keras_theano.tracing.trace import Trace, opened
from keras_theano.tracing.variable import Variable


def to_pytensor(
    function: Callable[..., Any], *inputs: Any, values: Mapping[Variable, Any] | None = None, **options: Any
) -> Any:
    """Return the PyTensor variables that `function` computes.

    function: a layer, a model, or any function of Keras tensors.
    inputs: PyTensor variables, or nested structures of them.
    values: maps Keras variables to the PyTensor variables that replace them, such as random variables in
        place of a layer's kernel. All other Keras variables become shared variables of the graph, so the
        graph sees later assignments to them.
    options: passed to `function` unchanged, for example training=False.
    Raises ValueError if `function` assigns to variables, because a graph has no updates and would lose them.
    Dropout and batch normalization assign to variables when they train.
    """
    given = {id(variable) for variable in values or {}}
    recorded = Trace()
    for variable, value in (values or {}).items():
        recorded.write(variable, Tensor(as_node(Tensor(value), variable.dtype)))
    before = {id(variable): tensor for variable, tensor in recorded.updates}
    with opened(recorded):
        outputs = function(*tree.map_structure(_entering, list(inputs)), **options)
        nodes = tree.map_structure(as_node, outputs)
    changed = [
        variable.path
        for variable, tensor in recorded.updates
        if id(variable) not in given or tensor is not before[id(variable)]
    ]
    if changed:
        raise ValueError(f"the function assigns to {', '.join(changed)}. Try training=False.")
    return nodes


def _entering(leaf: Any) -> Any:
    return Tensor(leaf) if isinstance(leaf, Node) else leaf
