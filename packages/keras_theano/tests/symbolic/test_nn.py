"""Each traced function of nn agrees with its eager twin, and its gradient with central differences."""

import jax
import numpy as np
import pytest
from keras import losses

import keras_theano.symbolic.nn as under_test
from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.ops import nn
from oracles.cases import agrees, gradients, in_64_bits, ops_of
from oracles.tracing import gradient_of, traced

eager = numpy_ops("nn")

RNG = np.random.default_rng(0)


def floats(*shape, low=-3.0, high=3.0):
    return RNG.uniform(low, high, shape).astype("float32")


def classes(*shape, n=4):
    return RNG.integers(0, n, shape).astype("int32")


def distribution(*shape):
    x = floats(*shape, low=0.1)
    return x / x.sum(-1, keepdims=True)


X = floats(3, 4)
EDGES = np.array([[-100.0, -7.0, -1.0, -0.5], [0.0, 0.5, 1.0, 7.0], [100.0, 6.0, -3.0, 3.0]], "float32")
WHOLE = np.array([[-3, -1, 0], [1, 2, 8]], "int32")
COUNTS = np.array([[[0, 1, 2], [3, 3, 1]], [[2, 1, 0], [1, 0, 3]]], "int32")
IMAGES = floats(2, 4, 6, 8)
STATISTICS = (floats(4), floats(4, low=0.5), -1, floats(4), floats(4))
ATTENTION = (floats(2, 5, 3, 4), floats(2, 6, 3, 4), floats(2, 6, 3, 4))

# fmt: off
POINTWISE = [
    "relu", "relu6", "sigmoid", "sparse_sigmoid", "tanh", "tanh_shrink", "softplus", "softsign",
    "soft_shrink", "sparse_plus", "silu", "squareplus", "log_sigmoid", "leaky_relu", "hard_sigmoid",
    "hard_silu", "elu", "selu", "gelu", "celu", "hard_tanh", "hard_shrink",
]
# fmt: on

# Calls of each function, as the positional arguments and the named ones.
CASES = {name: [((X,), {}), ((EDGES,), {})] for name in POINTWISE}
for name, named in {
    "soft_shrink": {"threshold": 1.5},
    "hard_shrink": {"threshold": 1.5},
    "squareplus": {"b": 1.7},
    "leaky_relu": {"negative_slope": 0.3},
    "elu": {"alpha": 0.7},
    "celu": {"alpha": 0.7},
    "gelu": {"approximate": False},
}.items():
    CASES[name] += [((X,), named)]
for name in POINTWISE:
    if name not in (
        "gelu",
        "leaky_relu",
        "hard_sigmoid",
        "hard_silu",
        "celu",
        "selu",
    ):  # NumPy rounds their numbers
        CASES[name] += [((WHOLE,), {})]
CASES |= {
    "glu": [((X,), {}), ((floats(4, 3, 2),), {"axis": 0})],
    "threshold": [((X, 0.5, -1.5), {}), ((X,), {"threshold": -0.1, "default_value": 0.1})],
    "softmax": [
        ((X,), {}),
        ((EDGES,), {}),
        ((floats(2, 3, 4),), {"axis": 1}),
        ((X,), {"axis": None}),
        ((floats(2, 3, 4),), {"axis": (0, -1)}),
    ],
    "log_softmax": [
        ((X,), {}),
        ((EDGES,), {}),
        ((floats(2, 3, 4),), {"axis": 1}),
        ((X,), {"axis": None}),
        ((floats(2, 3, 4),), {"axis": (0, -1)}),
    ],
    "sparsemax": [((X,), {}), ((X,), {"axis": 0}), ((floats(3, 4, 2),), {"axis": 1}), ((0.1 * X,), {})],
    "one_hot": [
        ((COUNTS, 4), {}),
        ((np.array([-1, 2, 0]), 3), {"axis": 0}),
        ((np.array(2), 3), {}),
        ((COUNTS, 5), {"axis": 1, "dtype": "int32"}),
        ((COUNTS, 4), {"dtype": "bool"}),
    ],
    "multi_hot": [
        ((COUNTS, 4), {}),
        ((COUNTS[0, 0], 4), {}),
        ((COUNTS[0], 4), {"dtype": "int32"}),
        ((floats(2, 3, low=0), 4), {}),
    ],
    "categorical_crossentropy": [
        ((distribution(3, 4), distribution(3, 4)), {}),
        ((distribution(3, 4), floats(3, 4)), {"from_logits": True}),
        ((distribution(3, 4), 30 * X), {"from_logits": True}),
        ((np.eye(4, dtype="float32")[:3], np.eye(4, dtype="float32")[1:]), {}),
        ((distribution(2, 3, 4), distribution(2, 3, 4)), {"axis": 1}),
        ((np.eye(4, dtype="int32")[:3], distribution(3, 4)), {}),
    ],
    "sparse_categorical_crossentropy": [
        ((classes(3), distribution(3, 4)), {}),
        ((classes(3, 1), distribution(3, 4)), {}),
        ((classes(3), X), {"from_logits": True}),
        ((classes(2, 3), 30 * floats(2, 3, 4)), {"from_logits": True}),
        ((classes(3).astype("float32"), np.eye(4, dtype="float32")[1:]), {}),
        ((np.array([-1, 3, 0]), X), {"from_logits": True}),
    ],
    "binary_crossentropy": [
        ((distribution(3, 4), distribution(3, 4)), {}),
        ((distribution(3, 4), X), {"from_logits": True}),
        ((np.array([0.0, 1.0, 1.0, 0.0], "float32"), np.array([1.0, 0.0, 1.0, 0.0], "float32")), {}),
        ((np.array([0, 1, 1, 0]), np.array([0.9, 0.2, 0.5, 0.1], "float32")), {}),
    ],
    "moments": [
        ((X, [0]), {}),
        ((floats(2, 3, 4), (0, 1)), {"keepdims": True}),
        ((X, -1), {}),
        ((WHOLE, 0), {}),
    ],
    "batch_normalization": [
        ((floats(3, 5, 4), *STATISTICS), {}),
        ((X, *STATISTICS[:3]), {"epsilon": 0.01}),
        ((floats(3, 4, 5), *STATISTICS[:2], 1), {"scale": STATISTICS[4]}),
    ],
    "psnr": [((X, EDGES, 3.0), {}), ((X[0], X[1], 255), {})],
    "dot_product_attention": [
        (ATTENTION, {}),
        (ATTENTION, {"is_causal": True, "scale": 0.3}),
        ((*ATTENTION, floats(2, 3, 5, 6)), {}),
        ((*ATTENTION, None, RNG.random((2, 1, 5, 6)) < 0.6), {"is_causal": True}),
    ],
    "depth_to_space": [((IMAGES, 2), {}), ((floats(2, 8, 3, 4), 2, "channels_first"), {})],
    "space_to_depth": [((IMAGES, 2), {}), ((floats(2, 3, 4, 6), 2, "channels_first"), {})],
}


@pytest.mark.parametrize("name", ops_of(under_test, eager))
def test_traced_function_equals_eager_function(name):
    for args, named in CASES[name]:
        agrees(getattr(nn, name), args, named)
    agrees(getattr(nn, name), in_64_bits(CASES[name][0][0]), CASES[name][0][1], batches=(True,))


# These have no gradient, or one that is too coarse to compare with differences, because attention always
# computes its softmax in float32.
WITHOUT = {"one_hot", "multi_hot", "dot_product_attention"}


@pytest.mark.parametrize("name", [name for name in CASES if name not in WITHOUT])
def test_gradient_equals_central_differences(name):
    for args, named in CASES[name]:
        if args[0] is not EDGES and args[0] is not WHOLE and not any(_saturated(x) for x in args):
            function = getattr(nn, name)
            gradient_of(lambda *xs, f=function, n=named: f(*xs, **n), *args)


def _saturated(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f" and set(np.unique(x)) <= {0, 1}


def test_attention_has_the_gradient_of_plain_attention():
    query, key, value = ATTENTION

    def plain(q, k, v):
        scores = jax.numpy.einsum("btnh,bsnh->bnts", q, k) / 2
        scores = jax.numpy.where(np.tril(np.ones((5, 6), bool)), scores, -1e30)
        out = jax.numpy.einsum("bnts,bsnh->btnh", jax.nn.softmax(scores), v)
        return (out * jax.numpy.cos(jax.numpy.arange(out.size).reshape(out.shape))).sum()

    expected = jax.grad(plain, (0, 1, 2))(query, key, value)
    found = gradients(lambda *x: nn.dot_product_attention(*x, is_causal=True), *ATTENTION)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["relu", "relu6", "sigmoid", "softplus", "silu", "log_sigmoid", "elu", "gelu", "hard_tanh"]
)
def test_gradient_at_the_edges_equals_that_of_jax(name):
    weights = np.cos(np.arange(EDGES.size, dtype="float64")).reshape(EDGES.shape)
    twin = getattr(jax.nn, name)
    expected = jax.grad(lambda x: (twin(x) * weights).sum())(EDGES)
    (found,) = gradients(getattr(nn, name), EDGES)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [*POINTWISE, "softmax", "log_softmax"])
def test_gradient_is_finite_where_exponentials_overflow(name):
    (found,) = gradients(getattr(nn, name), np.array([[-1e4, -800.0, 0.0, 800.0, 1e4]]))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", [*POINTWISE, "softmax", "log_softmax"])
def test_nan_stays_nan(name):
    x = np.array([[1.0, np.nan]], "float32")
    with np.errstate(all="ignore"):
        expected = getattr(nn, name)(x)
    assert np.array_equal(np.isnan(traced(getattr(nn, name), x)), np.isnan(expected))


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_binary_crossentropy_from_logits_is_exact_and_never_flat(target):
    logits, targets = np.array([-40.0, -20.0, 20.0, 40.0]), np.full(4, target)

    def loss(output):
        return nn.binary_crossentropy(targets, output, from_logits=True)

    exact = np.logaddexp(0, logits) if target == 0 else np.logaddexp(0, -logits)
    np.testing.assert_allclose(traced(loss, logits), exact, rtol=1e-12)
    (found,) = gradients(loss, logits)
    probability = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(found, (probability - target) * np.cos(np.arange(4)), rtol=1e-6, atol=1e-17)


def test_crossentropy_of_an_impossible_class_has_a_finite_gradient():
    logits = np.array([[0.0, 1.0, -np.inf]])
    found = traced(lambda x: nn.sparse_categorical_crossentropy(np.array([1]), x, from_logits=True), logits)
    np.testing.assert_allclose(found, np.log(1 + np.exp(-1.0)))


@pytest.mark.parametrize(
    "loss",
    [losses.CategoricalCrossentropy(), losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1)],
)
def test_traced_losses_of_keras_equal_eager_losses(loss):
    agrees(loss, (distribution(5, 4), distribution(5, 4)), {})


def test_unknown_number_of_classes_is_refused():
    with pytest.raises(ValueError, match="needs num_classes"):
        traced(lambda x: nn.one_hot(x, None), COUNTS)
    with pytest.raises(ValueError, match="number of classes must be known"):
        traced(lambda t, x: nn.sparse_categorical_crossentropy(t, x, axis=0), classes(3), X)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("categorical_crossentropy", (X, X[:, :3])),
        ("categorical_crossentropy", (X[0, 0], X[0, 0])),
        ("binary_crossentropy", (X, X[0])),
        ("sparse_categorical_crossentropy", (classes(3, 4), X)),
        ("sparse_categorical_crossentropy", (X[0, 0], X[0, 0])),
        ("glu", (X[:, :3],)),
        ("psnr", (X, X[0], 1.0)),
        ("dot_product_attention", (X, X, X)),
    ],
)
def test_wrong_shapes_are_refused_as_in_eager_code(name, args):
    with pytest.raises((ValueError, IndexError)):
        getattr(nn, name)(*[np.asarray(arg) for arg in args])
    with pytest.raises(ValueError, match=r"shape|rank|divisible|match|4D"):
        traced(getattr(nn, name), *[np.asarray(arg) for arg in args], unknown_batch=False)
