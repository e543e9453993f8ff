"""A convolution outside of training is the one of Keras's NumPy backend, which needs JAX."""

from itertools import product

import numpy as np
import pytest

from keras_theano.src.ops import nn

random = np.random.default_rng(0)


@pytest.mark.parametrize(("axes", "groups"), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)])
def test_convolution_is_that_of_keras(axes: int, groups: int) -> None:
    pytest.importorskip("jax")
    kernel = random.normal(size=(*(3, 2, 3)[:axes], 4 // groups, 6)).astype("float32")
    last = random.normal(size=(2, *(7, 8, 9)[:axes], 4)).astype("float32")
    for padding, (strides, dilation), layout in product(
        ("valid", "same"), ((1, 1), (2, 1), (1, 2)), ("channels_last", "channels_first")
    ):
        x = last if layout == "channels_last" else np.moveaxis(last, -1, 1)
        arguments = (x, kernel, strides, padding, layout, dilation)
        expected = np.asarray(nn.eager.conv(*arguments))
        found = nn.conv(*arguments)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_inputs_that_do_not_suit_the_kernel_are_refused() -> None:
    with pytest.raises(ValueError, match="a multiple of the kernel's"):
        nn.conv(np.zeros((1, 5, 3), "float32"), np.zeros((2, 2, 4), "float32"))
    with pytest.raises(ValueError, match="smaller than the window"):
        nn.conv(np.zeros((1, 2, 1), "float32"), np.zeros((3, 1, 4), "float32"))
