"""Random numbers that depend only on the seed. They are the same in eager and in compiled code.

The n-th number of a seed is a hash of the two, taken from SplitMix64
(https://doi.org/10.1145/2714064.2660195). So a draw needs no state, and the compiler can fuse it with the
arithmetic around it. The functions below use only what NumPy's arrays and PyTensor's variables have in
common, and quantiles, which NumPy and SciPy compute also in a recorded step.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from keras.src.backend.config import floatx
from keras.src.random.seed_generator import SeedGenerator as SeedGenerator
from keras.src.random.seed_generator import draw_seed as draw_seed
from keras.src.random.seed_generator import make_default_seed as make_default_seed

from keras_theano.tracing import trace
from keras_theano.tracing.array import Array

# The increment of SplitMix64, and the multipliers of its finalizer.
_WORDS = [np.array([word], "uint64") for word in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)]
# PyTensor has no right shifts. Division by these numbers shifts by 30, 27 and 31 bits.
_SHIFTS = [np.array([2**bits], "uint64") for bits in (30, 27, 31)]


def uniform(
    shape: Sequence[Any], minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Draw numbers from [minval, maxval)."""
    draw = _Draw(draw_seed(seed), shape)
    return draw.done(draw.unit() * (maxval - minval) + minval, dtype)


def normal(
    shape: Sequence[Any], mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Draw numbers by Box and Muller's transform of two uniform numbers."""
    draw = _Draw(draw_seed(seed), shape)
    radius = draw.xp.sqrt(-2.0 * draw.xp.log(1.0 - draw.unit()))
    return draw.done(radius * draw.xp.cos(2.0 * math.pi * draw.unit(again=1)) * stddev + mean, dtype)


def truncated_normal(
    shape: Sequence[Any], mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Draw numbers within two standard deviations of the mean, by inverting the distribution function."""
    draw = _Draw(draw_seed(seed), shape)
    within = math.erf(math.sqrt(2.0))
    return draw.done(draw.erfinv((2.0 * draw.unit() - 1.0) * within) * math.sqrt(2.0) * stddev + mean, dtype)


def randint(shape: Sequence[Any], minval: Any, maxval: Any, dtype: Any = "int32", seed: Any = None) -> Any:
    """Draw numbers from [minval, maxval)."""
    draw = _Draw(draw_seed(seed), shape)
    return draw.done(draw.xp.floor(draw.unit() * (maxval - minval)) + minval, dtype)


def categorical(logits: Any, num_samples: int, dtype: Any = "int64", seed: Any = None) -> Any:
    """Draw classes by adding Gumbel noise to the logits and taking the greatest
    (https://arxiv.org/abs/1411.0030).

    logits: shape (batch, classes).
    Returns class numbers of shape (batch, num_samples).
    """
    from keras_theano.src.ops import core

    rows, classes = core.shape(logits)
    draw = _Draw(draw_seed(seed), (rows, num_samples, classes), logits)
    noise = -draw.xp.log(-draw.xp.log(draw.unit(above_zero=True)))
    return draw.done((draw.value(logits)[:, None, :] + noise).argmax(axis=-1), dtype)


def dropout(inputs: Any, rate: float, noise_shape: Sequence[Any] | None = None, seed: Any = None) -> Any:
    """Set the share `rate` of the inputs to 0, and divide the others by 1 - rate."""
    from keras_theano.src.ops import core

    if rate == 0.0:
        return inputs
    sizes = core.shape(inputs)
    if noise_shape is not None:
        sizes = tuple(own if size is None else size for own, size in zip(sizes, noise_shape, strict=True))
    draw = _Draw(draw_seed(seed), sizes, inputs)
    x = draw.value(inputs)
    keep = 1.0 - rate
    if keep == 0.0:
        return draw.done(draw.xp.zeros_like(x), inputs.dtype)
    kept = (draw.unit("float32") < keep).astype(x.dtype)
    # `where` would compile to a branch on random bits, which the processor mispredicts half of the time.
    return draw.done(x * (kept * np.asarray(1.0 / keep, dtype=x.dtype)), inputs.dtype)


def gamma(shape: Sequence[Any], alpha: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Draw numbers from gamma distributions of scale 1. They have a gradient with respect to `alpha`.

    alpha: the shapes of the distributions, greater than 0. They broadcast to `shape`.
    """
    draw = _Draw(draw_seed(seed), shape, [alpha])
    return draw.done(draw.quantile("gamma", alpha), dtype)


def beta(shape: Sequence[Any], alpha: Any, beta: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Draw numbers from beta distributions. They have gradients with respect to `alpha` and `beta`, which are
    greater than 0 and broadcast to `shape`.
    """
    draw = _Draw(draw_seed(seed), shape, [alpha, beta])
    return draw.done(draw.quantile("beta", alpha, beta), dtype)


def binomial(
    shape: Sequence[Any], counts: Any, probabilities: Any, dtype: Any = None, seed: Any = None
) -> Any:
    """Draw how many of `counts` trials succeed. The arguments broadcast to `shape`, and have no gradient."""
    draw = _Draw(draw_seed(seed), shape, [counts, probabilities])
    return draw.done(draw.quantile("binomial", counts, probabilities), dtype)


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Any:
    from keras_theano.src.ops import core, numpy

    draw = _Draw(draw_seed(seed), (core.shape(x)[axis],), x)
    order = draw.done(draw.xp.argsort(draw.unit()), "int64")
    return numpy.take(x, order, axis=axis)  # type: ignore[attr-defined]


class _Draw:
    """Draws numbers of one shape from one seed.

    seed: uint32, shape (2,).
    shape: the shape of the numbers, of ints or symbolic sizes.
    with_: another value, or a list of values, that takes part in the computation. If this, the seed or the
        shape is symbolic, the draw is symbolic.
    xp: the module whose functions are used, numpy or pytensor.tensor.
    """

    def __init__(self, seed: Any, shape: Sequence[Any], with_: Any = None) -> None:
        self.symbolic = False
        if trace.current() is not None:
            from keras_theano.tracing.tensor import is_traced

            self.symbolic = is_traced(seed) or is_traced(list(shape)) or is_traced(with_)
        if self.symbolic:
            import pytensor.tensor as pt

            from keras_theano.tracing.tensor import as_node, sizes

            self.xp: Any = pt
            self.shape: Any = sizes(shape)
            seed = as_node(seed)
            count = pt.prod(pt.stack(self.shape)) if self.shape else 1
        else:
            self.xp = np
            self.shape = tuple(int(size) for size in shape)
            count = math.prod(self.shape)
        self._count = count
        constants: list[Any] = _shared_words() if self.symbolic else _WORDS
        self._golden, self._multipliers = constants[0], constants[1:]
        # The words keep one axis, because NumPy warns when a scalar overflows.
        words = seed.astype("uint64")
        self._key = self._mixed(self._mixed(words[:1] + self._golden) + words[1:] * self._golden)

    def unit(self, dtype: str = "float64", again: int = 0, above_zero: bool = False) -> Any:
        """Return uniform numbers on [0, 1).

        dtype: float32 or float64.
        again: another value of it gives other numbers from the same seed.
        above_zero: whether 0 is excluded.
        """
        counter = self.xp.arange(1, self._count + 1, dtype="uint64") * self._golden
        bits = self._mixed(self._mixed(self._key + np.uint64(again)) + counter)
        digits = 24 if dtype == "float32" else 53
        whole = (bits // np.array([2 ** (64 - digits)], "uint64")).astype(dtype).reshape(self.shape)
        return (whole + np.asarray(0.5 if above_zero else 0, dtype)) * np.asarray(2.0**-digits, dtype)

    def _mixed(self, z: Any) -> Any:
        """Apply the finalizer of SplitMix64, which is a permutation of 64-bit words.

        z: uint64.
        """
        z = (z ^ (z // _SHIFTS[0])) * self._multipliers[0]
        z = (z ^ (z // _SHIFTS[1])) * self._multipliers[1]
        return z ^ (z // _SHIFTS[2])

    def value(self, x: Any) -> Any:
        if not self.symbolic:
            return np.asarray(x)
        from keras_theano.tracing.tensor import as_node

        return as_node(x)

    def erfinv(self, x: Any) -> Any:
        if self.symbolic:
            return self.xp.erfinv(x)
        from scipy.special import erfinv

        return erfinv(x)

    def quantile(self, name: str, *parameters: Any) -> Any:
        """Return numbers from a distribution, of the shape of the draw.

        name: the function in quantiles.
        """
        from keras_theano.symbolic import quantiles

        function = getattr(quantiles, name)
        if not self.symbolic:
            values = [np.broadcast_to(np.asarray(value, "float64"), self.shape) for value in parameters]
            return function(self.unit(), *values)
        from keras_theano.symbolic.filling import filled
        from keras_theano.tracing.computed import computed
        from keras_theano.tracing.tensor import as_node

        shares = self.unit()
        nodes = [filled(as_node(value, "float64"), self.shape) for value in parameters]
        known = [size if isinstance(size, int) else None for size in self.shape]
        gradient = getattr(quantiles, f"slopes_of_{name}", None)
        return computed(function, [shares, *nodes], [("float64", known)], gradient=gradient)[0]

    def done(self, x: Any, dtype: Any) -> Any:
        if not self.symbolic:
            return np.asarray(x).astype(dtype or floatx()).view(Array)
        from keras_theano.tracing.tensor import Tensor, as_node

        return Tensor(as_node(Tensor(x), dtype or floatx()))


@cache
def _shared_words() -> list[Any]:
    """Return the words as shared variables instead of constants. PyTensor 3.0.7 rewrites products with
    constants as if they were floats, and loses the last bits of a word.
    """
    import pytensor

    return [pytensor.shared(word, shape=(1,)) for word in _WORDS]
