"""Python's garbage collector does not run while a step is recorded, and runs again afterwards."""

import gc
from collections.abc import Iterator

import keras
import numpy as np
import pytest
from keras import layers

from keras_theano.execution import collector


@pytest.fixture(autouse=True)
def collector_stays_on() -> Iterator[None]:
    yield
    gc.enable()


def test_collector_is_paused_while_a_step_is_recorded() -> None:
    seen = []

    class Asking(layers.Layer):
        def call(self, x: object) -> object:
            seen.append(gc.isenabled())
            return x

    model = keras.Sequential([keras.Input((2,)), Asking()])
    assert seen.pop()  # Keras itself has called the layer
    model.predict(np.ones((3, 2)), verbose=0)
    assert seen == [False]
    assert gc.isenabled()


def test_collector_runs_again_after_an_error() -> None:
    def fail() -> None:
        with collector.paused():
            assert not gc.isenabled()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert gc.isenabled()


def test_collector_that_is_off_stays_off() -> None:
    gc.disable()
    with collector.paused(), collector.paused():
        pass
    assert not gc.isenabled()
