"""The reported losses of single outputs: means over samples, also where the batches have different sizes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keras.src import tree

from keras_theano.src.ops import core
from keras_theano.tracing import trace


@contextmanager
def weighted_by_samples(compiled_loss: Any, y_pred: Any) -> Iterator[None]:
    """In this context, `compiled_loss` weights the loss of each output by the number of samples.

    Keras takes this number from `y_pred.shape[0]`. That is None in a recorded step, and then each batch would
    count the same, whatever its size.

    compiled_loss: Keras's `CompileLoss`, or None if the model was compiled without a loss.
    y_pred: what the model predicted, nested. All outputs have the same number of samples.
    """
    metrics = [] if compiled_loss is None or trace.current() is None else compiled_loss.metrics
    if not metrics:
        yield
        return
    samples = core.shape(tree.flatten(y_pred)[0])[0]
    before = list(metrics)
    metrics[:] = [_Weighted(metric, samples) for metric in before]
    try:
        yield
    finally:
        metrics[:] = before


class _Weighted:
    """Updates a metric with a weight of its own."""

    def __init__(self, metric: Any, weight: Any) -> None:
        self._metric = metric
        self._weight = weight

    def update_state(self, value: Any, sample_weight: Any = None) -> None:
        self._metric.update_state(value, sample_weight=self._weight)
