"""Conversions between dtypes give the same values in eager code, in variables and in recorded steps."""

from typing import Any

import jax.numpy as jnp
import keras
import ml_dtypes
import numpy as np
import pytest
from keras import ops

from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor
from oracles.tracing import traced

FLOATS = {name: np.dtype(name) for name in ("float16", "float32", "float64")}
FLOATS["bfloat16"] = np.dtype(ml_dtypes.bfloat16)
WHOLE = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


def numbers(dtype: str) -> Any:
    """Return numbers within and beyond all integer dtypes, their limits and what lies beside these."""
    limits = [float(limit) for name in WHOLE for limit in (np.iinfo(name).min, np.iinfo(name).max)]
    several = [0.0, -0.0, 0.9, -0.9, 2.5, 254.9, 255.5, 300, -300, 3e9, -3e9, 1e25, np.inf, -np.inf, np.nan]
    with np.errstate(over="ignore"):
        x = np.array(several + limits, "float64").astype(FLOATS[dtype])
        return np.concatenate([x, np.nextafter(x, x.dtype.type(0)), np.nextafter(x, x.dtype.type(np.inf))])


def nearest(x: Any, dtype: str) -> list[int]:
    """Compute with Python's numbers, which have no limits."""
    limits = np.iinfo(dtype)
    least, greatest = int(limits.min), int(limits.max)
    found = []
    for number in x.astype("float64").tolist():
        if np.isfinite(number):
            found.append(min(max(int(number), least), greatest))
        else:
            found.append(0 if np.isnan(number) else greatest if number > 0 else least)
    return found


@pytest.mark.parametrize("dtype", WHOLE)
@pytest.mark.parametrize("kind", FLOATS)
def test_floats_become_the_nearest_integers_that_the_dtype_has(kind: str, dtype: str) -> None:
    x = numbers(kind)
    found = np.asarray(ops.cast(ops.convert_to_tensor(x, kind), dtype))
    assert found.dtype == dtype
    assert found.tolist() == nearest(x, dtype)
    variable = keras.Variable(np.zeros(x.shape), dtype=dtype)
    variable.assign(x)
    assert variable.numpy().tolist() == nearest(x, dtype)
    if kind in ("float32", "float64"):  # recorded steps have no others
        np.testing.assert_array_equal(traced(lambda x: ops.cast(x, dtype), x), found)


@pytest.mark.parametrize("dtype", WHOLE[:6])  # without 64 bits, which JAX usually does not have
def test_floats_become_the_integers_that_they_become_on_jax(dtype: str) -> None:
    x = numbers("float32")
    np.testing.assert_array_equal(ops.cast(ops.convert_to_tensor(x), dtype), jnp.asarray(x).astype(dtype))


@pytest.mark.parametrize("x", [300.0, np.float32(-2), np.zeros((0, 2), "float32")], ids=str)
def test_scalars_and_empty_arrays_become_integers(x: Any) -> None:
    array = np.asarray(x, "float32")
    found = np.asarray(ops.cast(ops.convert_to_tensor(array), "int8"))
    assert found.shape == array.shape
    assert found.ravel().tolist() == nearest(array.ravel(), "int8")


def test_variables_become_the_nearest_integers_in_eager_code_and_in_steps() -> None:
    variable = keras.Variable([-1.0, 300.0])
    assert ops.cast(variable, "uint8").tolist() == [0, 255]
    counts = keras.Variable([0, 0], dtype="uint8")
    recorded = trace.Trace()
    with trace.opened(recorded):
        counts.assign(variable)
        ((_, value),) = recorded.updates
    assert isinstance(value, Tensor)
    assert value.node.eval().tolist() == [0, 255]


def test_array_that_a_step_assigns_is_not_wrapped_around() -> None:
    variable = keras.Variable([0, 0], dtype="uint8")
    recorded = trace.Trace()
    with trace.opened(recorded):
        variable.assign(np.array([-1.0, 300.0], "float32"))
        ((_, value),) = recorded.updates
    assert value.node.eval().tolist() == [0, 255]


COMPLEX = [1.5 + 2j, 2j, -3.0, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
def test_complex_numbers_lose_their_imaginary_parts(dtype: str) -> None:
    real = {"bool": [True, True, True, False], "int32": [1, 0, -3, 0], "uint8": [1, 0, 0, 0]}
    expected = real.get(dtype, [1.5, 0, -3, 0])
    array = np.array(COMPLEX, "complex64")
    found = [
        ops.cast(ops.convert_to_tensor(array), dtype),
        ops.cast(COMPLEX, dtype),
        traced(lambda x: ops.cast(x, dtype), array),
    ]
    for one in found:
        assert one.dtype == dtype
        assert one.tolist() == expected
    assert ops.cast(1.5 + 2j, dtype) == expected[0]
