"""Each traced function of math agrees with its eager twin, and its gradient with central differences."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import scipy.special
from pytensor.compile.mode import Mode

import keras_theano.symbolic.math as under_test
from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.ops import math
from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor
from oracles.cases import agrees, gradients, in_64_bits, ops_of
from oracles.tracing import gradient_of, traced

eager = numpy_ops("math")

RNG = np.random.default_rng(0)


def floats(*shape, low=-2.0, high=2.0):
    return RNG.uniform(low, high, shape).astype("float32")


X = floats(3, 4)
POSITIVE = floats(3, 4, low=0.1)
WHOLE = np.array([[4, 1, 9], [1, 16, 2]], "int32")
IDS = np.array([0, 2, 0, -1, 2])
FULL = np.array([0, 2, 1, -1, 2])
SEGMENTS = [
    ((floats(5, 2), FULL), {"num_segments": 3}),
    ((floats(5, 2), IDS), {"num_segments": 4}),
    ((floats(5), IDS, 3), {}),
    ((floats(5, 2, 3), np.array([0, 0, 1, 1, 2]), 3), {"sorted": True}),
    ((np.array([1, -2, 3, 4, 5]), IDS, 4), {}),
]
LARGE = np.array([[1000.0, 1000.0, -1000.0], [-np.inf, 0.0, 1.0], [np.inf, 0.0, 1.0]], "float32")
SQUARES = floats(3, 4, 4)

CASES = {
    **{f"segment_{kind}": SEGMENTS for kind in ("sum", "max", "min", "prod")},
    "top_k": [((X, 2), {}), ((floats(2, 3, 5), 5), {}), ((np.array([3, 1, 2]), 2), {})],
    "in_top_k": [((np.array([0, 3, 1]), X, k), {}) for k in (1, 2, 4)],
    "logsumexp": [
        ((X,), {}),
        ((X,), {"axis": 1}),
        ((floats(2, 3, 4),), {"axis": (0, -1), "keepdims": True}),
        ((LARGE,), {"axis": 1}),
        ((WHOLE,), {"axis": 0}),
    ],
    "cdist": [((X, floats(5, 4)), {}), ((floats(2, 3, 4), floats(2, 5, 4)), {}), ((WHOLE, WHOLE), {})],
    "extract_sequences": [
        ((floats(3, 10), 4, 2), {}),
        ((floats(2, 3, 7), 3, 3), {}),
        ((floats(10), 4, 1), {}),
    ],
    "rsqrt": [((POSITIVE,), {})],
    "erf": [((X,), {}), ((3 * X,), {})],
    "erfc": [((X,), {}), ((WHOLE,), {})],
    "erfinv": [((X / 2.1,), {})],
    "logdet": [((SQUARES,), {}), ((SQUARES[0],), {}), ((np.eye(3, dtype="float32") * -2,), {})],
}


# These are in Keras since 3.16. Their cases are compared with SciPy below, also under 3.15.
NEW_IN_KERAS_3_16 = {
    "lgamma": [((POSITIVE,), {}), ((X,), {}), ((WHOLE,), {})],
    "gammainc": [((POSITIVE, 2 * POSITIVE[::-1]), {}), ((WHOLE, 2.5), {}), ((POSITIVE, POSITIVE[:1]), {})],
}
CASES |= {name: cases for name, cases in NEW_IN_KERAS_3_16.items() if hasattr(eager, name)}


@pytest.mark.parametrize("name", NEW_IN_KERAS_3_16)
def test_op_of_keras_3_16_equals_that_of_scipy(name):
    op, twin = getattr(under_test, name), getattr(scipy.special, {"lgamma": "gammaln"}.get(name, name))
    for args, _ in NEW_IN_KERAS_3_16[name]:
        found = traced(op, *args, unknown_batch=False)
        assert found.dtype == "float32"
        np.testing.assert_allclose(found, twin(*args), rtol=1e-5, atol=1e-6)
        if args[0].dtype.kind == "f":
            gradient_of(op, *args, unknown_batch=False)


@pytest.mark.parametrize("name", ops_of(under_test, eager))
def test_traced_function_equals_eager_function(name):
    for args, named in CASES[name]:
        agrees(getattr(math, name), args, named, tolerance=5e-6)
    agrees(
        getattr(math, name), in_64_bits(CASES[name][0][0]), CASES[name][0][1], tolerance=5e-6, batches=(True,)
    )


@pytest.mark.parametrize("name", [name for name in CASES if name != "in_top_k"])
def test_gradient_equals_central_differences(name):
    for args, named in CASES[name]:
        # Empty segments give infinite numbers, whose differences are meaningless.
        infinite = args[0] is LARGE or (name in ("segment_max", "segment_min") and args[1] is IDS)
        if args[0].dtype.kind == "f" and not infinite:
            gradient_of(lambda *xs, n=named: getattr(math, name)(*xs, **n), *args)


@pytest.mark.parametrize("name", ["segment_sum", "segment_max", "segment_min", "segment_prod"])
def test_number_of_segments_is_counted_if_it_is_not_given(name):
    function, (data, ids) = getattr(math, name), (floats(5, 2), np.array([0, 1, 1, 0, 1]))
    np.testing.assert_allclose(traced(lambda x: function(x, ids), data), function(data, ids), rtol=1e-6)
    agrees(function, (data, ids), {})
    gradient_of(function, data, ids)


def test_top_k_unsorted_has_the_same_values():
    values, places = traced(lambda x: math.top_k(x, 2, sorted=False), X)
    np.testing.assert_array_equal(np.sort(values), np.sort(math.top_k(X, 2, sorted=False)[0]))
    np.testing.assert_array_equal(np.take_along_axis(X, places, -1), values)


def test_stable_top_k_takes_the_first_of_equals_first():
    x = np.array([[1, 3, 3, 2, 3], [0, 0, 0, 0, 0]], "float32")
    values, places = traced(lambda x: under_test.top_k(x, 4, is_stable=True), x)
    np.testing.assert_array_equal(places, [[1, 2, 4, 3], [0, 1, 2, 3]])
    np.testing.assert_array_equal(values, np.take_along_axis(x, places, -1))


def test_top_1_survives_the_rewrites_of_pytensor():
    x = pt.matrix(dtype="float32")
    with trace.opened(trace.Trace()):
        values, _ = math.top_k(Tensor(x), 1)
        hits = math.in_top_k(np.array([0, 3, 1]), Tensor(x), 1)
    run = pytensor.function(
        [x], [values.node[:, 0], pt.squeeze(values.node, 1), hits.node], mode=Mode("py", "fast_run")
    )
    greatest = X.max(-1)
    for found in run(X)[:2]:
        np.testing.assert_array_equal(found, greatest)
    np.testing.assert_array_equal(run(X)[2], X[[0, 1, 2], [0, 3, 1]] == greatest)


def test_logsumexp_of_large_numbers_has_a_finite_gradient():
    (found,) = gradients(lambda x: math.logsumexp(x), np.array([1000.0, 0.0, -1000.0, 1000.0]))
    np.testing.assert_allclose(found, [0.5, 0.0, 0.0, 0.5])


def test_distance_to_itself_has_no_nan_gradient():
    (found,) = gradients(lambda x: math.cdist(x, x), X.astype("float64"))
    assert np.isfinite(found).all()


def test_logdet_of_a_large_determinant():
    matrix = np.eye(200) * 1e3
    np.testing.assert_allclose(traced(math.logdet, matrix), 200 * np.log(1e3))


def test_special_functions_have_their_derivatives_at_the_edges():
    x = np.array([-30.0, -5.0, 0.0, 5.0, 30.0])
    (found,) = gradients(math.erf, x)
    np.testing.assert_allclose(found, 2 / np.sqrt(np.pi) * np.exp(-(x**2)) * np.cos(np.arange(5)))
    y = np.array([-0.999, 0.0, 0.999])
    slope = np.sqrt(np.pi) / 2 * np.exp(scipy.special.erfinv(y) ** 2)
    np.testing.assert_allclose(gradients(math.erfinv, y)[0], slope * np.cos(np.arange(3)))


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="rank >= 2"):
        traced(math.cdist, X[0], X)
    with pytest.raises(ValueError, match="Last dimension"):
        traced(math.cdist, X, X[:, :3])


@pytest.mark.parametrize("name", ["fft", "fft2"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_eager_fourier_transforms_are_those_of_jax_and_keep_the_dtype(name, dtype):
    parts = RNG.normal(size=(2, 3, 4, 5)).astype(dtype)
    found = getattr(math, name)(tuple(parts))
    for ours, theirs in zip(found, getattr(eager, name)(tuple(parts)), strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="tuple of two tensors"):
        getattr(math, name)(parts[0])
