"""Each traced function of linalg agrees with its eager twin, and its gradient with central differences."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import ops

import keras_theano.symbolic.linalg as under_test
from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.ops import linalg
from oracles.cases import agrees, gradients, in_64_bits, ops_of
from oracles.tracing import gradient_of, traced

eager = numpy_ops("linalg")

RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.uniform(-1.0, 1.0, shape).astype("float32")


SQUARES = floats(2, 3, 3) + 2 * np.eye(3, dtype="float32")
SYMMETRIC = SQUARES + SQUARES.transpose(0, 2, 1) + np.diag([0, 1, 4]).astype("float32")
LOWER, UPPER = np.tril(SQUARES), np.triu(SQUARES)
TALL = floats(2, 4, 3)
X = floats(3, 4)
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
    "lstsq": [
        ((TALL[0], floats(4)), {}),
        ((TALL[0], floats(4, 2)), {}),
        ((TALL[0].T, floats(3)), {}),
        ((TALL[0], floats(4)), {"rcond": 0.5}),
    ],
    "pinv": [((TALL,), {}), ((SQUARES[0],), {}), ((SQUARES,), {"rcond": 0.5})],
    "matrix_rank": [((SQUARES,), {}), ((np.ones((4, 3), "float32"),), {}), ((SQUARES,), {"tol": 2.5})],
}

# The signs of eigenvectors and singular vectors are arbitrary, but both sides use the same routines of
# LAPACK.
COARSE = 2e-5
WITHOUT_GRADIENT = {"matrix_rank"}


# These are tested below.
OTHERWISE = {"eig", "jvp", "matrix_power"}


@pytest.mark.parametrize("name", [name for name in ops_of(under_test, eager) if name not in OTHERWISE])
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


def test_factors_of_matrices_that_are_not_square_agree():
    for x in (TALL, TALL[0], TALL[0].T.copy()):
        agrees(linalg.lu_factor, (x,), {}, tolerance=COARSE)


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


def test_eigenvalues_are_always_complex_and_those_of_numpy():
    rotated = np.array([[0, -2.0, 0], [1, 0, 0], [0, 0, 3]], "float32")
    for x in (SQUARES, rotated, SYMMETRIC[0].astype("float64")):
        values, vectors = traced(linalg.eig, x)
        expected = np.linalg.eig(x)
        assert values.dtype == vectors.dtype == ("complex128" if x.dtype == "float64" else "complex64")
        np.testing.assert_allclose(values, expected[0], rtol=COARSE)
        np.testing.assert_allclose(vectors, expected[1], rtol=COARSE, atol=COARSE)


@pytest.mark.parametrize("n", [-3, -1, 0, 1, 2, 5])
def test_power_of_a_matrix_equals_that_of_numpy(n):
    for x in (SQUARES, SQUARES[0]):
        expected = np.linalg.matrix_power(x, n)
        np.testing.assert_allclose(
            traced(lambda x: under_test.matrix_power(x, n), x), expected, rtol=1e-4, atol=1e-5
        )
        gradient_of(lambda x: under_test.matrix_power(x, n), x)
    whole = np.array([[1, 2], [3, 4]], "int32")
    if n >= 0:
        found = traced(lambda x: under_test.matrix_power(x, n), whole, unknown_batch=False)
        assert found.dtype == "int32"
        np.testing.assert_array_equal(found, np.linalg.matrix_power(whole, n))


def of_two(x, y):
    hidden = ops.tanh(ops.matmul(x["a"], y))
    return {"sum": ops.sum(hidden * x["b"]), "hidden": hidden, "constant": ops.ones((2,))}


def test_directional_derivative_equals_that_of_jax():
    primals, tangents = [({"a": floats(3, 4), "b": floats(3, 2)}, floats(4, 2)) for _ in range(2)]

    def of_jax(x, y):
        hidden = jnp.tanh(x["a"] @ y)
        return {"sum": jnp.sum(hidden * x["b"]), "hidden": hidden, "constant": jnp.ones((2,))}

    expected = keras.tree.flatten(jax.jvp(of_jax, primals, tangents))
    in_trace = traced(
        lambda *xs: keras.tree.flatten(
            linalg.jvp(of_two, *keras.tree.pack_sequence_as([primals, tangents], xs))
        ),
        *keras.tree.flatten([primals, tangents]),
    )
    for found in (in_trace, keras.tree.flatten(ops.jvp(of_two, primals, tangents))):
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_directional_derivative_returns_what_comes_with_the_result():
    values, tangents, aux = ops.jvp(lambda x: (x**2, {"name": "square", "x": x}), (X,), (X,), has_aux=True)
    np.testing.assert_allclose(values, X**2)
    np.testing.assert_allclose(tangents, 2 * X**2)
    assert aux["name"] == "square"
    np.testing.assert_array_equal(aux["x"], X)
    with pytest.raises(ValueError, match="primals and tangents of the same structure"):
        ops.jvp(lambda x: x, (X,), (X[0],))


def test_directional_derivative_of_a_loop_and_of_a_transform():
    def function(x):
        carry, rows = ops.scan(lambda c, row: (ops.tanh(c + row), c * row), x[0], x)
        return carry, rows, ops.rfft(x)[1]

    _, found = ops.jvp(function, (X,), (X[::-1].copy(),))
    step = 1e-2
    ends = [function(X + signed * X[::-1]) for signed in (step, -step)]
    for ours, after, before in zip(*map(keras.tree.flatten, (found, *ends)), strict=True):
        np.testing.assert_allclose(ours, (after - before) / (2 * step), rtol=2e-2, atol=2e-3)
