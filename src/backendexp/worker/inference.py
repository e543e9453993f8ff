"""Measures how fast a trained model predicts: many samples at once, and one at a time."""

import time

from . import arrays

# The samples of many batches are predicted again and again for so long, and then single samples.
_SECONDS = 0.2
_MOST_CALLS, _FEWEST_CALLS, _WARM_UP_CALLS = 200, 5, 3
_MOST_REPEATS = 20


def measure(model, x, batch_size):
    """Return the fields of the event `predicted`, after half a second or so.

    x: the test data. Only so many whole batches of it are used as can be predicted in that time.

    Each call returns NumPy arrays, so no work of the device is pending when a clock stops. The first call
    with each shape compiles, so it is not timed.
    """
    import numpy

    samples, one = arrays.rows(x), _first(x, 1)
    batch = min(batch_size, samples)
    few = _first(x, batch)
    _predict(model, few, batch_size)
    took = _seconds(lambda: _predict(model, few, batch_size))
    many = batch * max(1, min(samples // batch, int(_SECONDS / took)))
    whole = _first(x, many)
    repeats = [took] if many == batch else []
    ends = time.perf_counter() + _SECONDS
    while not repeats or (len(repeats) < _MOST_REPEATS and time.perf_counter() < ends):
        repeats.append(_seconds(lambda: _predict(model, whole, batch_size)))

    for _ in range(_WARM_UP_CALLS):
        model.predict_on_batch(one)
    calls = []
    ends = time.perf_counter() + _SECONDS
    while len(calls) < _FEWEST_CALLS or (len(calls) < _MOST_CALLS and time.perf_counter() < ends):
        calls.append(_seconds(lambda: model.predict_on_batch(one)))
    return {
        "samples": many,
        "samples_per_s": many / float(numpy.median(repeats)),
        "calls": len(calls),
        "latency_s": float(numpy.median(calls)),
        "latency_p95_s": float(numpy.percentile(calls, 95)),
    }


def _predict(model, x, batch_size):
    return model.predict(x, batch_size=batch_size, verbose=0)


def _first(x, count):
    return arrays.mapped(lambda array: array[:count], x)


def _seconds(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
