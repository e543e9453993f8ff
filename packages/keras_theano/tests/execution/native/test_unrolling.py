"""A short loop is compiled with the rest of its step."""

import numpy as np
import pytest

from keras_theano.execution.interpreter import interpreted
from keras_theano.execution.native.step import NativeStep
from oracles.native import scanned


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_short_loop_and_its_gradient_are_compiled(steps: int, reverse: bool) -> None:
    graph = scanned(steps, reverse)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype("float32") for shape in ((steps, 3), (3, 3))]
    native = NativeStep(graph)
    for ours, theirs in zip(native(*arrays), interpreted(graph)(*arrays), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)
    assert native.outside() == {}


def test_equal_steps_share_their_functions() -> None:
    def kernels(steps: int) -> int:
        native = NativeStep(scanned(steps))
        native(np.ones((steps, 3), "float32"), np.ones((3, 3), "float32"))
        (segment,) = native.segments(native.kinds()[0])
        return len({name for name, _ in segment.module.calls})

    assert kernels(40) <= kernels(10) + 3
