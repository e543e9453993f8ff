"""Keras code in a PyTensor or PyMC graph."""

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
    """The PyTensor variables that `function`, a layer, a model or any function of Keras tensors, computes.

    inputs: PyTensor variables, or nests of them. options: passed on as they are, such as training=False.
    values: PyTensor variables in place of Keras variables, such as random variables for a layer's kernel.
        Other Keras variables are shared variables in the graph: it sees what is assigned to them later.
    Raises ValueError: `function` assigns to variables, which a graph without updates would lose; dropout
        and batch normalization do so when they train.
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
