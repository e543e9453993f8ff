"""Real numbers that are computed from complex ones."""

from typing import Any

from keras_theano.tracing.computed import computed


def of_complex(node: Any) -> Any:
    """Return real numbers that were computed from complex ones. PyTensor has no gradients of complex numbers,
    and would say so in a message about whole numbers.
    """
    return computed(_same, [node], [(node.type.dtype, node.type.shape)], gradient=_refused)[0]


def _same(x: Any) -> Any:
    return x.copy()


def _refused(*_: Any) -> Any:
    raise NotImplementedError(
        "the Theano backend has no gradients of complex numbers. Compute with their real and imaginary "
        "parts, as keras.ops.fft and the other Fourier transforms do"
    )
