"""Each traced function of linalg agrees with its eager twin, and its gradient with central differences."""

import numpy as np
import pytest

import keras_theano.symbolic.linalg as under_test
from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.ops import linalg
from oracles.cases import agrees, gradients, in_64_bits, ops_of, refuses
from oracles.tracing import gradient_of, traced

eager = numpy_ops("linalg")

RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.uniform(-1.0, 1.0, shape).astype("float32")


SQUARES = floats(2, 3, 3) + 2 * np.eye(3, dtype="float32")
SYMMETRIC = SQUARES + SQUARES.transpose(0, 2, 1) + np.diag([0, 1, 4]).astype("float32")
LOWER, UPPER = np.tril(SQUARES), np.triu(SQUARES)
TALL = floats(2, 4, 3)
VECTORS = [((floats(3, 4),), {"axis": 1, "ord": ord}) for ord in (None, 2, 1, 0, 3, -1, 2.5, np.inf, -np.inf)]
MATRICES = [((floats(4, 3),), {"ord": ord}) for ord in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)]

CASES = {
    "cholesky": [((SYMMETRIC,), {}), ((SYMMETRIC[0],), {}), ((SYMMETRIC,), {"upper": True})],
    "cholesky_inverse": [((LOWER[0],), {}), ((UPPER[0],), {"upper": True})],
    "det": [((SQUARES,), {}), ((SQUARES[0],), {})],
    "eigh": [((SYMMETRIC,), {})],
    "inv": [((SQUARES,), {}), ((SQUARES[0],), {})],
    "lu_factor": [((SQUARES[0],), {}), ((floats(4, 4),), {})],
    "norm": [
        *VECTORS,
        *MATRICES,
        ((floats(2, 3, 4),), {}),
        ((floats(2, 3, 4),), {"axis": (0, 2), "ord": "nuc", "keepdims": True}),
        ((floats(2, 3, 4),), {"axis": (-1, 0), "ord": 1}),
        ((floats(2, 3, 4),), {"axis": (2, 1), "ord": -np.inf, "keepdims": True}),
        ((floats(5),), {"keepdims": True}),
        ((np.array([[3, 4], [6, 8]]),), {"axis": -1}),
    ],
    "qr": [((TALL,), {}), ((TALL.transpose(0, 2, 1),), {}), ((SQUARES,), {"mode": "complete"})],
    "solve": [
        ((SQUARES, floats(2, 3, 2)), {}),
        ((SQUARES[0], floats(3)), {}),
        ((SQUARES[0], floats(3, 2)), {}),
    ],
    "solve_triangular": [
        ((UPPER, floats(2, 3, 2)), {}),
        ((LOWER, floats(2, 3)), {"lower": True}),
        ((LOWER[0], floats(3)), {"lower": True}),
        ((UPPER[0], floats(3, 2)), {}),
    ],
    "svd": [
        ((TALL,), {"full_matrices": False}),
        ((TALL,), {"compute_uv": False}),
        ((SQUARES[0],), {"full_matrices": False}),
    ],
    "lstsq": [((TALL[0], floats(4)), {}), ((TALL[0], floats(4, 2)), {}), ((TALL[0].T, floats(3)), {})],
    "pinv": [((TALL,), {}), ((SQUARES[0],), {})],
    "matrix_rank": [((SQUARES,), {}), ((np.ones((4, 3), "float32"),), {}), ((SQUARES,), {"tol": 2.5})],
}

# The signs of eigenvectors and singular vectors are arbitrary, but both sides use the same routines of
# LAPACK.
COARSE = 2e-5
WITHOUT_GRADIENT = {"matrix_rank"}


@pytest.mark.parametrize("name", ops_of(under_test, eager))
def test_traced_function_equals_eager_function(name):
    for args, named in CASES[name]:
        agrees(getattr(linalg, name), args, named, tolerance=COARSE)
    agrees(
        getattr(linalg, name),
        in_64_bits(CASES[name][0][0]),
        CASES[name][0][1],
        tolerance=COARSE,
        batches=(True,),
    )


@pytest.mark.parametrize("name", [name for name in CASES if name not in WITHOUT_GRADIENT])
def test_gradient_equals_central_differences(name):
    for args, named in CASES[name]:
        if args[0].dtype.kind == "f" and named.get("ord") != 0:
            gradient_of(lambda *xs, n=named: getattr(linalg, name)(*xs, **n), *args, tolerance=1e-4)


def test_full_svd_agrees():
    agrees(linalg.svd, (TALL,), {}, tolerance=COARSE)


def test_norm_of_zeros_has_a_gradient_of_zero():
    for ord in (None, 2, 1):
        (found,) = gradients(lambda x, o=ord: linalg.norm(x, ord=o), np.zeros(3))
        np.testing.assert_array_equal(found, np.zeros(3))


def test_cholesky_of_an_indefinite_matrix_is_nan():
    assert np.isnan(traced(linalg.cholesky, -np.eye(2))).any()


@pytest.mark.parametrize(
    ("function", "named", "message"),
    [
        (linalg.norm, {"ord": "fro", "axis": 0}, "Invalid norm order 'fro' for vectors"),
        (linalg.norm, {"ord": "max"}, "Invalid norm order 'max' for matrices"),
        (linalg.norm, {"ord": 3}, "Invalid norm order 3 for matrices"),
        (linalg.qr, {"mode": "raw"}, "Received: mode=raw"),
    ],
)
def test_wrong_arguments_are_refused_as_in_eager_code(function, named, message):
    with pytest.raises(ValueError):  # noqa: PT011
        function(TALL[0], **named)
    with pytest.raises(ValueError, match=message):
        traced(lambda x: function(x, **named), TALL[0])


def test_wrong_ranks_are_refused():
    with pytest.raises(ValueError, match="for vectors and matrices only"):
        traced(lambda x: linalg.norm(x, ord=1), TALL)
    with pytest.raises(ValueError, match="rank >= 2"):
        traced(linalg.matrix_rank, TALL[0, 0])


def test_a_cutoff_is_refused():
    with pytest.raises(NotImplementedError, match="pinv with the default rcond"):
        traced(lambda x: linalg.pinv(x, rcond=0.1), TALL)


def test_function_that_cannot_be_traced_is_named():
    refuses(linalg.eig, "eig", SQUARES)
