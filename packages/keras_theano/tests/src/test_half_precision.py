"""Weights of half precision are stored in it and computed with in float32."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import ml_dtypes
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from keras import layers, ops

from keras_theano.execution.programs import Program
from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor
from oracles.backends import trained
from oracles.tracing import traced

DTYPES = {"float16": np.dtype("float16"), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
TIERS = ["interpreter", "native"]


def numbers(dtype: str) -> Any:
    """Return all kinds of float32 numbers: also those that the dtype has, their neighbours, and the middles
    between them.
    """
    every = np.arange(2**16, dtype="uint16").view(DTYPES[dtype]).astype("float32")
    finite = np.sort(every[np.isfinite(every)])
    middles = (finite[1:].astype("float64") + finite[:-1]) / 2
    with np.errstate(over="ignore"):
        beyond = np.array(
            [np.inf, -np.inf, np.nan, 65519.9, 65520, 65536, 3.39e38, 3.4e38, -3.4e38], "float32"
        )
    exact = np.concatenate([finite, middles.astype("float32"), beyond])
    return np.concatenate([exact, np.nextafter(exact, np.float32(0)), np.nextafter(exact, np.float32(9e9))])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", TIERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_assigned_values_are_rounded_as_by_numpy(
    dtype: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_THEANO_MODE", mode)
    x = numbers(dtype)
    variable = keras.Variable(np.zeros(x.shape), dtype=dtype)
    symbol = pt.tensor(dtype="float32", shape=x.shape)
    recorded = trace.Trace()
    with trace.opened(recorded):
        variable.assign(Tensor(symbol))
        (update,) = [(v.shared, value.node) for v, value in recorded.updates]
    Program("round", [symbol], [], [update])([x])
    assert variable.numpy().dtype == DTYPES[dtype]
    with np.errstate(over="ignore"):
        expected = x.astype(DTYPES[dtype]).astype("float32")
    found = variable.numpy().astype("float32")
    if mode != "interpreter":  # compilers may take numbers too small for normal float32 as 0
        normal = np.abs(x) >= np.finfo("float32").tiny
        found, expected = found[normal | np.isnan(x)], expected[normal | np.isnan(x)]
    np.testing.assert_array_equal(found, expected)


SCRIPT = """
import sys
import keras, numpy as np
from keras import layers, ops

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 6)).astype("float32")
y = x[:, :2] * 0.5 + 0.1
found = {}
for optimizer in ("SGD", "Adam"):
    model = keras.Sequential([
        keras.Input((6,)), layers.Dense(8, "tanh", dtype=sys.argv[2]), layers.Dense(2, dtype=sys.argv[2]),
    ])
    start = np.random.default_rng(1)
    model.set_weights([start.uniform(-0.5, 0.5, w.shape) for w in model.get_weights()])
    model.compile(getattr(keras.optimizers, optimizer)(0.05, epsilon=1e-3) if optimizer == "Adam"
        else keras.optimizers.SGD(0.1, momentum=0.5), "mse")
    history = model.fit(x, y, epochs=4, batch_size=16, shuffle=False, verbose=0)
    found[f"{optimizer}/loss"] = np.array(history.history["loss"], "float32")
    for n, w in enumerate(model.weights):
        assert w.dtype == sys.argv[2], w.dtype
        found[f"{optimizer}/{n}"] = np.array(w).astype("float32")
np.savez(sys.argv[1], **found)
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", pytest.param("bfloat16", marks=pytest.mark.extended)])
def test_training_ends_where_jax_ends(dtype: str, tmp_path: Path) -> None:
    ours, theirs = [trained(backend, tmp_path, SCRIPT, dtype) for backend in ("theano", "jax")]
    assert ours.keys() == theirs.keys()
    # JAX also rounds each result on the way, so the weights differ by some of the dtype's own steps.
    step = float(ml_dtypes.finfo(DTYPES[dtype]).eps)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=8 * step, atol=8 * step, err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_model_in_half_precision_trains_saves_and_loads(dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 5)).astype("float32")
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((5,)), layers.Dense(8, "relu", dtype=dtype), layers.Dense(1, dtype=dtype)]
    )
    model.compile(keras.optimizers.SGD(0.05, momentum=0.5), "mse")
    losses = model.fit(x, x[:, :1], epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert all(weight.dtype == dtype for weight in model.weights)
    assert all(weight.numpy().dtype == DTYPES[dtype] for weight in model.weights)
    eager = np.asarray(model(x)).astype("float32")
    np.testing.assert_allclose(model.predict(x, verbose=0), eager, atol=0.02, rtol=0.02)
    model.save(tmp_path / "half.keras")
    loaded = keras.saving.load_model(tmp_path / "half.keras")
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours.astype("float32"), theirs.astype("float32"))
    model.fit(x, x[:, :1], verbose=0)
    loaded.fit(x, x[:, :1], verbose=0)


NARROW = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float8_e4m3fn": 2.0**-3, "float8_e5m2": 2.0**-2}


@pytest.mark.parametrize("dtype", NARROW)
def test_cast_in_a_step_rounds_values_and_gradients_as_jax(dtype: str) -> None:
    random = np.random.default_rng(0)
    x = random.normal(0, 3, (4, 50)).astype("float32")
    upstream = random.normal(0, 3, (4, 50)).astype("float32")

    def of_jax(x: Any) -> Any:
        return jnp.sum(x.astype(dtype).astype("float32") * upstream)

    def ours(x: Any) -> Any:
        return ops.sum(ops.multiply(ops.cast(ops.cast(x, dtype), "float32"), upstream))

    symbol = pt.matrix("x", dtype="float32")
    with trace.opened(trace.Trace()):
        rounded = ops.cast(ops.cast(Tensor(symbol), dtype), "float32")
        slope = pytensor.grad(ours(Tensor(symbol)).node, symbol)
    values, slopes = Program("cast", [symbol], [rounded.node, slope], [])([x])
    np.testing.assert_array_equal(values, ops.cast(ops.cast(x, dtype), "float32"))
    np.testing.assert_array_equal(slopes, jax.grad(of_jax)(x))
    assert np.abs(slopes / upstream - 1).max() > NARROW[dtype] / 4  # the gradient was rounded


def test_casts_are_not_rounded_where_mixed_precision_computes_in_the_dtype() -> None:
    x = np.array([1.001], "float32")

    class Casts(layers.Layer):
        def call(self, x: Any) -> Any:
            return ops.cast(x, "bfloat16")

    def found(policy: str) -> Any:
        with trace.opened(trace.Trace()):
            symbol = pt.vector("x", dtype="float32")
            y = Casts(dtype=policy, autocast=False)(Tensor(symbol))
        return Program("cast", [symbol], [y.node], [])([x])[0]

    assert found("mixed_bfloat16") == x
    assert found("float32") == 1.0


def test_cast_in_vectorized_map_rounds() -> None:
    x = np.array([[1.001, 3.01], [-2.005, 0.1]], "float32")
    found = traced(lambda x: ops.vectorized_map(lambda row: ops.cast(row, "bfloat16"), x), x)
    np.testing.assert_array_equal(found, x.astype("bfloat16").astype("float32"))
