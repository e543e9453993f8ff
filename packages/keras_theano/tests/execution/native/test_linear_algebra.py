"""Decompositions and solvers give what the interpreter gives: numbers, NaN or errors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.tensor.basic import alloc_diag

from keras_theano.execution.graph import Graph
from keras_theano.execution.native.step import NativeStep
from keras_theano.symbolic import linalg
from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor, as_node
from oracles.native import interpreted, native, native_step

SIZES = (1, 5, 40)
# SciPy computes these in the interpreter, with the functions that this tier calls too.
SAME_TO_THE_LAST_BIT = {
    "cholesky",
    "upper cholesky",
    "qr",
    "eigh",
    "triangular",
    "transposed triangular",
    "lu",
}


def op(function: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Return a function of PyTensor variables for one of keras.ops."""

    def of_nodes(*variables: Any) -> list[Any]:
        with trace.opened(trace.Trace()):
            found = function(*[Tensor(variable) for variable in variables])
            return [as_node(part) for part in (found if isinstance(found, (tuple, list)) else [found])]

    return of_nodes


def turned(x: Any) -> Any:
    return Tensor(pt.swapaxes(as_node(x), -1, -2))


OPS: dict[str, Callable[..., Any]] = {
    "cholesky": linalg.cholesky,
    "upper cholesky": lambda x: linalg.cholesky(x, upper=True),
    "det": linalg.det,
    "inv": linalg.inv,
    "eigh": linalg.eigh,
    "solve": linalg.solve,
    "triangular": linalg.solve_triangular,
    "transposed triangular": lambda a, b: linalg.solve_triangular(turned(a), b, lower=True),
    "qr": linalg.qr,
    "full qr": lambda x: linalg.qr(x, "complete"),
    "svd": lambda x: linalg.svd(x, full_matrices=False),
    "singular values": lambda x: linalg.svd(x, compute_uv=False),
}
OF_TWO = ("solve", "triangular", "transposed triangular")
OF_ANY_SHAPE = ("qr", "full qr", "svd", "singular values")


def matrices(name: str, size: int, batch: tuple[int, ...], dtype: str) -> list[Any]:
    rng = np.random.default_rng(size)
    x = rng.normal(size=(*batch, size, size))
    # Its condition is good, so that rounding makes no great differences.
    good = x @ np.swapaxes(x, -1, -2) / size + np.eye(size)
    given = [good, rng.normal(size=(*batch, size, 3))] if name in OF_TWO else [good]
    return [each.astype(dtype) for each in given]


def assert_close(ours: list[Any], theirs: list[Any], name: str) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if name in SAME_TO_THE_LAST_BIT:
            np.testing.assert_array_equal(one, other)
        else:
            precision = np.finfo(one.dtype).eps * 100
            np.testing.assert_allclose(one, other, rtol=precision, atol=precision * np.abs(other).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [(), (1, 2)])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", OPS)
def test_results_are_those_of_the_interpreter(
    name: str, size: int, batch: tuple[int, ...], dtype: str
) -> None:
    given = matrices(name, size, batch, dtype)
    step = native_step(op(OPS[name]), *given)
    step(*[each * np.nan if name in ("det", "qr") else each * 2 for each in given])
    assert_close(step(*given), interpreted(op(OPS[name]), *given), name)
    assert step.outside() == {}


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (1, 4), (4, 1), (50, 45), (2, 5, 3)])
@pytest.mark.parametrize("name", OF_ANY_SHAPE)
def test_matrices_of_any_shape_and_layout(name: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=(*shape, 2))
    for layout in (lambda x: x[..., 0], lambda x: turned(x[..., ::-1, 1])):
        function = op(lambda x, layout=layout: OPS[name](layout(x)))
        assert_close(native(function, x), interpreted(function, x), name)


@pytest.mark.parametrize("name", OF_TWO)
def test_vectors_and_batches_that_broadcast(name: str) -> None:
    (a, b), vector = matrices(name, 4, (2,), "float64"), np.arange(4.0)
    for left, right in ((a[0], vector), (a[:1], b), (a, b[:1])):
        found = native(op(OPS[name]), left, right)
        expected = interpreted(op(OPS[name]), left, right)
        assert_close(found, expected, name)


def test_lu_and_its_pivots() -> None:
    x = np.random.default_rng(0).normal(size=(6, 6)).astype("float32")
    found, expected = native(op(linalg.lu_factor), x), interpreted(op(linalg.lu_factor), x)
    assert_close(found, expected, "lu")
    assert found[1].dtype == "int32"


@pytest.mark.parametrize("name", ["cholesky", "det", "inv", "eigh", "solve", "triangular"])
def test_gradients(name: str) -> None:
    given = matrices(name, 4, (3,), "float64")

    def function(*variables: Any) -> list[Any]:
        loss = sum(pt.sum(part**2) for part in op(OPS[name])(*variables))
        return list(pytensor.grad(loss, list(variables)))

    for one, other in zip(native(function, *given), interpreted(function, *given), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def outcome(run: Callable[..., Any], given: list[Any]) -> tuple[Any, Any]:
    try:
        return run(*given), None
    except (np.linalg.LinAlgError, ValueError) as failure:
        return None, (type(failure), str(failure).split("\n", 1)[0])


BAD = {
    "cholesky": -np.eye(3),
    "upper cholesky": -np.eye(3),
    "solve": np.zeros((3, 3)),
    "triangular": np.diag([1.0, 0.0, 1.0]),
    "transposed triangular": np.diag([1.0, 0.0, 1.0]),
    "inv": np.ones((3, 3)),
    "det": np.ones((3, 3)),
    "eigh": np.full((3, 3), np.inf),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", ["special", "nan", "inf"])
@pytest.mark.parametrize("name", [name for name in OPS if name not in ("qr", "full qr")])
def test_matrix_without_a_result_gives_nan_or_an_error_as_in_the_interpreter(
    name: str, bad: str, dtype: str
) -> None:
    given = matrices(name, 3, (3,), dtype)
    step, before = native_step(op(OPS[name]), *given), [each.copy() for each in given]
    right = step(*given)
    given[0][1] = BAD.get(name, np.nan) if bad == "special" else float(bad)
    found, failure = outcome(step, given)
    expected, their_failure = outcome(lambda *arrays: interpreted(op(OPS[name]), *arrays), given)
    assert failure == their_failure
    if expected is not None:
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    # The next call is as if nothing had happened.
    for one, other in zip(step(*before), right, strict=True):
        np.testing.assert_array_equal(one, other)


def test_failed_routine_changes_no_shared_variable() -> None:
    x = pt.dmatrix()
    shared = pytensor.shared(np.eye(2))
    (inverse,) = op(linalg.inv)(x)
    step = NativeStep(Graph([x], [], [(shared, shared + inverse)]))
    with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
        step(np.zeros((2, 2)))
    np.testing.assert_array_equal(shared.get_value(), np.eye(2))
    step(np.eye(2))
    np.testing.assert_array_equal(shared.get_value(), 2 * np.eye(2))


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 3, 3)])
@pytest.mark.parametrize("name", ["det", "inv"])
def test_empty_matrices_are_left_to_the_interpreter(name: str, shape: tuple[int, ...]) -> None:
    x = np.zeros(shape)
    step = native_step(op(OPS[name]), x)
    np.testing.assert_array_equal(step(x)[0], interpreted(op(OPS[name]), x)[0])
    assert len(step.outside()) == 1


@pytest.mark.parametrize("offset", [-4, -3, -1, 0, 2, 3, 4])
def test_diagonals(offset: int) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)

    def function(x: Any) -> list[Any]:
        return [
            pt.diagonal(x, offset=offset, axis1=1, axis2=2) * 2,
            pt.diagonal(x, offset=offset, axis1=2, axis2=0) * 2,
            alloc_diag(x, offset=offset, axis1=1, axis2=2),
            alloc_diag(x[0], offset=offset, axis1=0, axis2=2),
            pt.diag(x[0, 0], k=offset),
        ]

    for one, other in zip(native(function, x), interpreted(function, x), strict=True):
        np.testing.assert_array_equal(one, other)
