"""Traced Fourier transforms agree with eager ones and with JAX, and so do their gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytensor.tensor as pt
import pytest
from keras import ops

from keras_theano.src.ops import math
from keras_theano.tracing.tensor import Tensor
from oracles.cases import agrees, gradients, in_64_bits
from oracles.tracing import gradient_of, traced

RNG = np.random.default_rng(0)


def floats(*shape: int) -> Any:
    return RNG.normal(size=shape).astype("float32")


def pair(*shape: int) -> Any:
    return floats(*shape), floats(*shape)


CASES: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    **{name: [((pair(2, 4, 5),), {}), ((pair(3, 6),), {})] for name in ("fft", "fft2", "ifft2")},
    "rfft": [((floats(2, 3, n),), {"fft_length": length}) for n in (5, 6) for length in (None, 4, 5, 8)],
    "irfft": [((pair(2, n),), {"fft_length": length}) for n in (4, 5) for length in (None, 5, 6, 9, 12)],
    "stft": [
        ((floats(2, 20), 6, 3, 8), {}),
        ((floats(2, 3, 21), 5, 2, 5), {"window": "hamming", "center": False}),
        ((floats(20), 4, 4, 9), {"window": None}),
        ((floats(2, 20), 4, 1, 4), {"window": np.array([0.5, 1, 1, 0.25])}),
    ],
    "istft": [
        ((pair(2, 6, 5), 6, 3, 8), {}),
        ((pair(2, 3, 7, 4), 5, 2, 6), {"center": False, "window": "hamming"}),
        ((pair(2, 6, 5), 8, 4, 8), {"length": 17}),
        ((pair(2, 6, 5), 8, 8, 8), {"window": None, "center": False}),
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_transform_equals_eager_transform(name: str) -> None:
    for args, named in CASES[name]:
        agrees(getattr(math, name), args, named, tolerance=1e-5)
    args, named = CASES[name][0]
    agrees(getattr(math, name), in_64_bits(args), named, batches=(True,))


@pytest.mark.parametrize("name", CASES)
def test_gradient_equals_central_differences(name: str) -> None:
    for args, named in CASES[name]:
        gradient_of(lambda *xs, n=named: getattr(math, name)(*xs, **n), *args)


def test_gradient_of_a_spectrum_equals_that_of_jax() -> None:
    def power(x: Any) -> Any:
        real, imaginary = ops.stft(x, 8, 4, 8, center=False)
        return ops.log(real**2 + imaginary**2 + 0.1)

    def of_jax(x: Any) -> Any:
        frames = jnp.stack([x[:, n : n + 8] for n in range(0, 17, 4)], 1)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(8) / 8)
        spectrum = jnp.log(jnp.abs(jnp.fft.rfft(frames * window)) ** 2 + 0.1).ravel()
        return jnp.sum(spectrum * np.cos(np.arange(spectrum.size)))

    x = floats(2, 24)
    (found,) = gradients(power, x)
    np.testing.assert_allclose(found, jax.grad(of_jax)(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["fft", "rfft", "irfft", "stft", "istft"])
def test_gradient_of_a_gradient(name: str) -> None:
    args, named = CASES[name][0]

    def slope(x: Any) -> Any:
        found = getattr(math, name)(x, *args[1:], **named)
        total = sum(pt.sum(part.node**3) for part in (found if isinstance(found, tuple) else [found]))
        return Tensor(pt.grad(total, (x[0] if isinstance(x, tuple) else x).node))

    gradient_of(slope, args[0], unknown_batch=False)


def test_signal_survives_its_transform_and_back() -> None:
    x = floats(2, 40)
    found = traced(lambda x: math.istft(math.stft(x, 8, 2, 8), 8, 2, 8), x)
    # Fewer frames overlap at the ends.
    np.testing.assert_allclose(found[:, 2:-2], x[:, 2:-2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("fft", (floats(2, 3),), "a tuple of two tensors"),
        ("fft", ((floats(2, 3), floats(2, 4)),), "should have the same shape"),
        ("fft", ((floats(2, 3), np.ones((2, 3), "int32")),), "not of type float"),
        ("stft", (floats(9), 6, 3, 4), "`fft_length` must equal or larger"),
        ("stft", (floats(9), 4, 3, 4, "blackman"), "it must be one of"),
        ("stft", (floats(9), 4, 3, 4, np.ones(3)), "must be equal to \\[sequence_length\\]"),
        ("istft", (pair(3, 3), 4, 2, 4, None, np.ones(3)), "must be equal to \\[sequence_length\\]"),
    ],
)
def test_wrong_arguments_are_refused_as_in_eager_code(name: str, args: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(math, name)(*args)
    with pytest.raises(ValueError, match=message):
        traced(lambda x: getattr(math, name)(x, *args[1:]), args[0])


def complexes(x: Any, y: Any) -> Any:
    z = ops.view_as_complex(x) * ops.view_as_complex(y)
    return ops.view_as_real(z / (1 + ops.conj(z))), ops.absolute(z), ops.angle(z), ops.exp(z)


def test_complex_numbers_have_the_values_of_eager_code() -> None:
    args = floats(3, 4, 2), floats(3, 4, 2)
    agrees(complexes, args, {}, tolerance=1e-5)
    agrees(lambda x: ops.polar(ops.absolute(x), x), args[:1], {})
