"""Inference is measured on any model that has Keras's two ways to predict."""

import time
from typing import Any

import numpy as np
import pytest

from backendexp.worker import inference


class Model:
    """Predicts zeros, each call after a while, and remembers how many samples it was given."""

    def __init__(self, call_s: float) -> None:
        self.call_s = call_s
        self.predicted: list[int] = []
        self.single = 0

    def predict(self, x: Any, batch_size: int, verbose: int) -> Any:
        first = x["left"] if isinstance(x, dict) else x
        self.predicted.append(len(first))
        time.sleep(self.call_s * -(-len(first) // batch_size))
        return np.zeros(len(first))

    def predict_on_batch(self, x: Any) -> Any:
        self.single += 1
        time.sleep(self.call_s)
        return np.zeros(1)


def test_rate_and_latency_are_those_of_the_model() -> None:
    model = Model(0.002)
    found = inference.measure(model, np.zeros((100, 3)), 10)
    assert found["samples"] == 100
    assert 1000 < found["samples_per_s"] < 5000
    assert 0.002 <= found["latency_s"] <= found["latency_p95_s"] < 0.2
    assert found["calls"] + 3 == model.single <= 203


def test_slow_model_predicts_only_as_much_as_fits_into_the_time() -> None:
    model = Model(0.05)
    began = time.perf_counter()
    found = inference.measure(model, np.zeros((10_000, 3)), 10)
    assert found["samples"] in (10, 20, 30, 40)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("samples", [1, 7])
def test_fewer_samples_than_a_batch_and_several_inputs(samples: int) -> None:
    x = {"left": np.zeros((samples, 3)), "right": np.zeros((samples, 2))}
    assert inference.measure(Model(0.0001), x, 128)["samples"] == samples
