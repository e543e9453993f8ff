"""Tensors of a given shape have the values and the static shape of PyTensor's alloc."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor.graph.traversal import ancestors

from keras_theano.symbolic.filling import filled

X = pt.matrix("x", dtype="float32", shape=(None, 3))
Y = pt.tensor("y", dtype="float32", shape=(1, 3))
VALUE = pt.constant(np.float32(2.5))


@pytest.mark.parametrize(
    ("value", "dims"),
    [
        (VALUE, [X.shape[0]]),
        (VALUE, [4, 2]),
        (VALUE, [X.shape[0], 2, X.shape[1]]),
        (VALUE, [pt.constant(2) * pt.constant(3, dtype="int32"), X.shape[0]]),
        (VALUE, [pt.stack([X.shape[0], pt.constant(7)])[1], X.shape[0]]),
        (VALUE, [pt.cast(X.shape[0], "int32") - 1]),
        (X, [2, X.shape[0], 3]),
        (X[:, :1], [X.shape[0], 5]),
        (Y, [X.shape[0], 3]),
        (Y, [X.shape[0], pt.scalar("n", dtype="int64")]),
    ],
)
def test_values_and_static_shape_are_those_of_alloc(value: Any, dims: list[Any]) -> None:
    mine, theirs = filled(value, dims), pt.alloc(value, *dims)
    assert mine.type == theirs.type
    given = {X: np.arange(12, dtype="float32").reshape(4, 3), Y: np.float32([[1, 2, 3]])}
    inputs = {node: given.get(node, np.int64(3)) for node in ancestors([mine]) if node.owner is None}
    named = {node: array for node, array in inputs.items() if not hasattr(node, "data")}
    one, other = (node.eval(named, mode="FAST_COMPILE") for node in (mine, theirs))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dims", [[X.shape[0], 4], [X.shape[0], 2, 1], [X.shape[0]], [2]])
def test_shape_that_the_value_cannot_have_is_refused(dims: list[Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        filled(X, dims)


def test_sizes_of_a_deep_model_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTensor's own search takes longer than the rest of the recording."""

    def search(shape: Any) -> Any:
        raise AssertionError("the graph of a size was searched")

    deep = X
    for _ in range(30):
        deep = pt.dot(deep, pt.tensor(dtype="float32", shape=(3, 3)))
    monkeypatch.setattr("pytensor.tensor.basic.infer_static_shape", search)
    assert filled(VALUE, [deep.shape[0], 2]).type.shape == (None, 2)
    with pytest.raises(AssertionError, match="was searched"):
        pt.alloc(VALUE, deep.shape[0], 2)
