"""Functions of arrays are parts of graphs in every tier, with gradients of their own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import keras_theano
from keras_theano.execution.programs import Program
from keras_theano.tracing.computed import computed

X = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")


def split(x: Any, count: Any, *, at: int) -> Any:
    return x[:, :at].T, np.float64(x.sum()) * count


def slope_of_split(inputs: Any, outputs: Any, upstream: Sequence[Any], at: int) -> list[Any]:
    x, count = inputs
    columns = pt.concatenate([upstream[0].T, pt.zeros_like(x[:, at:])], axis=1)
    return [columns + (upstream[1] * count).astype("float32"), None]


def parts(x: Any, count: Any) -> list[Any]:
    return computed(split, [x, count], [("float32", (1, None)), ("float32", ())], slope_of_split, at=1)


@pytest.mark.parametrize("tier", ["interpreter", "native"])
def test_every_tier_computes_values_of_the_declared_dtypes_and_their_gradient(
    tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_THEANO_MODE", tier)
    x, count = pt.matrix(dtype="float32"), pt.scalar(dtype="int32")
    first, second = parts(x, count)
    gradient = pytensor.grad((first**2).sum() + second, x)
    found = Program("test", [x, count], [first, second, gradient], [])([X, np.array(3, "int32")])
    assert [part.dtype for part in found] == ["float32"] * 3
    np.testing.assert_array_equal(found[0], [[1, 3]])
    assert found[1] == 30
    np.testing.assert_array_equal(found[2], [[5, 3], [9, 3]])


def test_report_says_that_numpy_computes_it() -> None:
    x = pt.matrix(dtype="float32")
    program = Program("outside", [x], parts(x, pt.constant(2)), [])
    for _ in range(3):
        program([X])
    ran = keras_theano.report()[-1]
    assert (ran.name, ran.calls, ran.outside) == ("outside", {"native": 3}, {"Computed{split}": 1})


def test_equal_calls_are_computed_once() -> None:
    x = pt.matrix(dtype="float32")
    calls = []

    def counted(array: Any) -> Any:
        calls.append(array)
        return array + 1

    first, second = (computed(counted, [x], [("float32", (None, None))])[0] for _ in range(2))
    Program("merged", [x], [first, second], [])([X])
    assert len(calls) == 1


def test_gradient_is_zero_without_a_gradient_function() -> None:
    x = pt.matrix(dtype="float32")
    (rounded,) = computed(np.rint, [x], [("float32", (None, None))])
    gradient = pytensor.grad((rounded * x).sum(), x)
    np.testing.assert_array_equal(Program("rounded", [x], [gradient], [])([X + 0.25])[0], X)
