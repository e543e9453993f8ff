"""The changes to PyTensor's Numba mode do not change any result."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from keras_theano.execution.numba_mode import COMPILED, Transposition

pytestmark = pytest.mark.slow  # Numba takes some seconds to compile each function

RNG = np.random.default_rng(0)


def transpositions(function: pytensor.compile.executor.Function) -> int:
    return sum(isinstance(node.op, Transposition) for node in function.maker.fgraph.toposort())


def test_product_with_a_transposed_matrix_is_the_same() -> None:
    x, w = pt.matrix("x", dtype="float32", shape=(None, 4)), pt.matrix("w", dtype="float32", shape=(3, 4))
    product = pytensor.function([x, w], [x @ w.T, x.T @ (x @ w.T)], mode=COMPILED)
    assert transpositions(product) == 2
    weights = RNG.random((3, 4), dtype="float32")
    for rows in (5, 1, 0):
        batch = RNG.random((rows, 4), dtype="float32")
        for layout in (batch, np.asfortranarray(batch)):
            first, second = product(layout, weights)
            np.testing.assert_allclose(first, batch @ weights.T, rtol=1e-6)
            np.testing.assert_allclose(second, batch.T @ (batch @ weights.T), rtol=1e-6)


def test_other_uses_of_the_transpose_get_the_same_values() -> None:
    x = pt.matrix("x", dtype="float32", shape=(4, 4))
    both = pytensor.function([x], [x @ x.T, x.T + 1], mode=COMPILED)
    assert transpositions(both) == 1
    value = RNG.random((4, 4), dtype="float32")
    first, second = both(value)
    np.testing.assert_allclose(first, value @ value.T, rtol=1e-6)
    np.testing.assert_array_equal(second, value.T + 1)
    first[:] = 0  # the results belong to the caller
    second[:] = 0
    np.testing.assert_array_equal(both(value)[1], value.T + 1)
