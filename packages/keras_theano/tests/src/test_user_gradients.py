"""custom_gradient, stop_gradient, remat and vectorized_map in eager and in recorded code."""

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import layers, ops, tree

from keras_theano.src.ops import core
from oracles.cases import agrees, gradients
from oracles.tracing import traced

X = np.array([[0.5, -1.0, 2.0], [1.5, 3.0, -0.5]], "float32")
# The weights of the entries in the sum whose gradient the oracle takes.
WEIGHTS = np.cos(np.arange(6)).reshape(2, 3)


@ops.custom_gradient
def log1pexp(x: Any) -> Any:
    """Has the derivative of log(1 + exp(x)), computed from an intermediate value."""
    e = ops.exp(x)

    def grad(*args: Any, upstream: Any = None) -> Any:
        (upstream,) = args if upstream is None else (upstream,)
        return ops.multiply(upstream, 1.0 - 1.0 / ops.add(1, e))

    return ops.log(1 + e), grad


@ops.custom_gradient
def ninefold(x: Any, other: Any, scale: float = 2.0) -> Any:
    """Has a gradient of 9, and none with respect to `other`."""

    def grad(*args: Any, upstream: Any = None) -> Any:
        (upstream,) = args if upstream is None else (upstream,)
        return upstream * 9.0, None

    return x * scale, grad


@ops.custom_gradient
def of_pair(pair: Any) -> Any:
    """Takes a dict and returns two results."""

    def grad(first: Any, second: Any) -> Any:
        return [{"a": first * 3.0 + second * 5.0, "b": second * 7.0}]

    return (pair["a"] * 1, pair["b"] * 1), grad


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def test_argument_without_gradient_may_depend_on_a_variable_that_has_one() -> None:
    (found,) = gradients(lambda x: ninefold(x, x * 2.0), X)
    np.testing.assert_allclose(found, 9 * WEIGHTS, rtol=1e-6)


PLACES = {
    "alone": log1pexp,
    "in map": lambda x: ops.map(log1pexp, x),
    "in vectorized_map": lambda x: ops.vectorized_map(log1pexp, x),
    "in a nested vectorized_map": lambda x: ops.vectorized_map(lambda r: ops.vectorized_map(log1pexp, r), x),
    "in scan": lambda x: ops.scan(lambda c, row: (c, log1pexp(row)), ops.zeros(()), x)[1],
    "in cond": lambda x: ops.cond(ops.sum(x) > 0, lambda: log1pexp(x), lambda: x),
    "in fori_loop": lambda x: ops.fori_loop(0, 1, lambda n, c: log1pexp(c), x),
    "in while_loop": lambda x: ops.while_loop(
        lambda n, c: n < 1, lambda n, c: (n + 1, log1pexp(c)), (0, x), maximum_iterations=3
    )[1],
}


@pytest.mark.parametrize("place", PLACES)
def test_custom_gradient_is_used_wherever_it_is(place: str) -> None:
    function = PLACES[place]
    agrees(function, (X,), {})
    np.testing.assert_allclose(function(X), np.log1p(np.exp(X)), rtol=1e-6)
    np.testing.assert_allclose(gradients(function, X)[0], sigmoid(X) * WEIGHTS, rtol=1e-5)


def test_custom_gradients_may_be_composed() -> None:
    (found,) = gradients(lambda x: log1pexp(log1pexp(x) * 2), X)
    inner = np.log1p(np.exp(X))
    np.testing.assert_allclose(found, sigmoid(2 * inner) * 2 * sigmoid(X) * WEIGHTS, rtol=1e-5)


@pytest.mark.parametrize("other", [None, 3, "name", np.ones(2)])
def test_arguments_without_a_gradient_may_be_anything(other: Any) -> None:
    agrees(lambda x: ninefold(x, other, scale=3.0), (X,), {})
    np.testing.assert_allclose(gradients(lambda x: ninefold(x, other), X)[0], 9 * WEIGHTS, rtol=1e-6)


def test_arguments_and_results_may_be_nested() -> None:
    def function(a: Any, b: Any) -> Any:
        return ops.stack(of_pair({"a": a, "b": b}))

    weights = np.cos(np.arange(12)).reshape(2, 2, 3)
    agrees(function, (X, X + 1), {})
    first, second = gradients(function, X, X + 1)
    np.testing.assert_allclose(first, 3 * weights[0] + 5 * weights[1], rtol=1e-5)
    np.testing.assert_allclose(second, 7 * weights[1], rtol=1e-5)


def test_variables_get_custom_gradients_in_training() -> None:
    @ops.custom_gradient
    def scaled(x: Any, scale: Any) -> Any:
        def grad(*args: Any, upstream: Any = None) -> Any:
            (upstream,) = args if upstream is None else (upstream,)
            return upstream * 10.0, ops.sum(upstream) * 100.0

        return x * scale, grad

    class Scaling(layers.Layer):
        def build(self, shape: Any) -> None:
            self.w = self.add_weight(shape=shape[-1:], initializer="ones")
            self.scale = self.add_weight(shape=(), initializer="ones")

        def call(self, x: Any) -> Any:
            return scaled(x * self.w, self.scale)

    model = keras.Sequential([keras.Input((3,)), Scaling()])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda _, predicted: ops.sum(predicted))
    model.fit(X[:1], X[:1], verbose=0)
    w, scale = model.get_weights()
    np.testing.assert_allclose(w, 1 - 10 * X[0])
    assert scale == 1 - 300


def test_stop_gradient_stops_it_in_recorded_code_and_changes_no_value() -> None:
    np.testing.assert_array_equal(ops.stop_gradient(X), X)
    agrees(lambda x: ops.stop_gradient(x) * x, (X,), {})
    np.testing.assert_allclose(gradients(lambda x: ops.stop_gradient(x) * x, X)[0], X * WEIGHTS, rtol=1e-6)
    found = gradients(lambda x: ops.map(lambda row: row * ops.stop_gradient(ops.exp(row)), x), X)[0]
    np.testing.assert_allclose(found, np.exp(X) * WEIGHTS, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:the Theano backend keeps all activations")
def test_remat_changes_neither_values_nor_gradients() -> None:
    function = keras.remat(lambda x: ops.sin(x) * x)
    np.testing.assert_allclose(function(X), np.sin(X) * X, rtol=1e-6)
    agrees(function, (X,), {})
    expected = (np.sin(X) + X * np.cos(X)) * WEIGHTS
    np.testing.assert_allclose(gradients(function, X)[0], expected, rtol=1e-5)


NESTED = {
    "tuple of results": (lambda row: (row, ops.sum(row)), X),
    "dict": (lambda row: {"a": row["a"] * 2, "b": ops.sum(row["b"])}, {"a": X, "b": X + 1}),
    "list": (lambda rows: rows[0] + rows[1], [X, X + 1]),
    "list, and a tuple of results": (lambda rows: (rows[0], rows[1] * 2), [X, X + 1]),
}


@pytest.mark.parametrize("name", NESTED)
def test_vectorized_map_takes_and_returns_nested_arrays(name: str) -> None:
    function, elements = NESTED[name]
    eager = ops.vectorized_map(function, elements)
    rows = [function(tree.map_structure(lambda part, n=n: part[n], elements)) for n in range(2)]
    expected = tree.map_structure(lambda *parts: np.stack(parts), *rows)
    recorded = traced(
        lambda *flat: tree.flatten(ops.vectorized_map(function, tree.pack_sequence_as(elements, list(flat)))),
        *tree.flatten(elements),
    )
    tree.assert_same_structure(eager, expected)
    for found in (eager, recorded):
        for ours, theirs in zip(tree.flatten(found), tree.flatten(expected), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)


# keras.ops.grad exists since Keras 3.16.


def of_nest(parts: Any, y: Any) -> Any:
    return ops.sum(ops.tanh(parts["a"]) * y, axis=0) + parts["b"] ** 2


@pytest.mark.parametrize("argnums", [0, 1, -1, (0, 1), (1, 0)], ids=str)
def test_grad_agrees_with_jax(argnums: Any) -> None:
    parts, y = {"a": X, "b": X[0] * 0.5}, X * 2.0

    def of_jax(parts: Any, y: Any) -> Any:
        return jnp.sum(jnp.sum(jnp.tanh(parts["a"]) * y, axis=0) + parts["b"] ** 2)

    positions = argnums if isinstance(argnums, int) else tuple(argnums)
    expected = jax.grad(of_jax, positions)(parts, y)
    eager = core.grad(of_nest, argnums)(parts, y)
    in_step = traced(
        lambda a, b, y: [*tree.flatten(core.grad(of_nest, argnums)({"a": a, "b": b}, y))], X, parts["b"], y
    )
    assert tree.map_structure(lambda _: 0, eager) == tree.map_structure(lambda _: 0, expected)
    for found in (tree.flatten(eager), in_step):
        for ours, theirs in zip(found, tree.flatten(expected), strict=True):
            assert ours.dtype == "float32"
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_grad_of_grad_and_of_what_has_no_effect() -> None:
    np.testing.assert_allclose(core.grad(core.grad(lambda x: x**3))(X), 6 * X, rtol=1e-6)
    np.testing.assert_array_equal(core.grad(lambda x, y: y * 1.0)(X, X), np.zeros_like(X))
    np.testing.assert_array_equal(core.grad(lambda x: ops.full((2,), 1.0))(X), np.zeros_like(X))


def test_grad_in_a_step_counts_only_the_argument_and_can_be_differentiated() -> None:
    (found,) = gradients(lambda x: core.grad(lambda y: y * y * x)(x), X)
    np.testing.assert_allclose(found, 4 * X * WEIGHTS, rtol=1e-6)  # of 2 x * x


def test_grad_of_a_layer_takes_its_variables_and_updates_its_seed() -> None:
    layer, dropout = layers.Dense(2), layers.Dropout(0.5, seed=0)
    layer.build(X.shape)
    kernel = np.asarray(layer.kernel)
    found = core.grad(lambda x: layer(x))(X)
    np.testing.assert_allclose(found, np.broadcast_to(kernel.sum(axis=1), X.shape), rtol=1e-6)
    np.testing.assert_allclose(core.grad(lambda k: ops.sum(k**2))(layer.kernel), 2 * kernel, rtol=1e-6)
    before = np.asarray(dropout.seed_generator.state).tolist()
    assert set(np.unique(core.grad(lambda x: dropout(x, training=True))(np.ones((50,), "float32")))) == {0, 2}
    assert np.asarray(dropout.seed_generator.state).tolist() != before


@pytest.mark.parametrize(
    ("argnums", "x", "error", "text"),
    [
        ("a", X, TypeError, "must be an int or a tuple of ints"),
        (1, X, ValueError, "was called with 1 positional"),
        ((0, -1), X, ValueError, "must not name an argument twice"),
        (0, X.astype("int32"), TypeError, "with respect to floats"),
    ],
)
def test_grad_refuses_what_has_no_gradient(argnums: Any, x: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        core.grad(lambda x: x, argnums)(x)
    with pytest.raises(TypeError, match="needs a function that returns floats"):
        core.grad(lambda x: ops.argmax(x))(X)
