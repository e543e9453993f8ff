"""The loss and the decoders of CTC agree with eager code, with JAX and with a sum over all alignments."""

import itertools
from importlib import import_module
from typing import Any

import jax
import keras
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import scipy.special
from keras import layers

from keras_theano.execution.programs import Program
from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.src.ops import nn
from keras_theano.tracing import trace
from keras_theano.tracing.tensor import Tensor, as_node
from oracles.cases import agrees, gradients
from oracles.tracing import gradient_of, traced, wide

RNG = np.random.default_rng(0)
BATCH, TIME, CLASSES, LABELS = 4, 9, 5, 4
LOGITS = RNG.normal(0, 2, (BATCH, TIME, CLASSES)).astype("float32")
TARGET = np.array([[1, 2, 3, 4], [2, 2, 3, 3], [4, 0, 0, 0], [1, 1, -1, -1]], "int32")
TARGET_LENGTHS, LENGTHS = np.array([4, 4, 1, 0], "int32"), np.array([9, 7, 5, 3], "int32")
ARGS = TARGET, LOGITS, TARGET_LENGTHS, LENGTHS


def test_loss_equals_eager_loss() -> None:
    agrees(nn.ctc_loss, ARGS, {})
    agrees(nn.ctc_loss, (np.abs(TARGET) - 1, *ARGS[1:]), {"mask_index": CLASSES - 1})
    agrees(nn.ctc_loss, (TARGET, LOGITS.astype("float64"), *ARGS[2:]), {}, batches=(True,))
    too_long = np.array([99, 99, 99, 99], "int32")
    agrees(nn.ctc_loss, (np.maximum(TARGET, 1), LOGITS, too_long, too_long), {})


def test_loss_is_the_sum_over_all_alignments() -> None:
    time, labels = 5, [2, 2]
    log_probabilities = scipy.special.log_softmax(LOGITS[:1, :time], -1)[0]
    total = 0.0
    for path in itertools.product(range(CLASSES), repeat=time):
        if [key for key, _ in itertools.groupby(path) if key] == labels:
            total += np.exp(log_probabilities[range(time), path].sum())
    found = traced(nn.ctc_loss, np.array([labels]), LOGITS[:1, :time], np.array([2]), np.array([time]))
    np.testing.assert_allclose(found, [-np.log(total)], rtol=1e-5)


def test_gradient_equals_central_differences() -> None:
    gradient_of(nn.ctc_loss, *ARGS)
    gradient_of(lambda x: nn.ctc_loss(TARGET[:, :2], x, TARGET_LENGTHS, LENGTHS, 3), LOGITS)


@pytest.mark.parametrize("scale", [1, 30])
@pytest.mark.parametrize("impossible", [False, True])
def test_gradient_equals_that_of_jax(scale: float, impossible: bool) -> None:
    ctc_loss = import_module(numpy_ops("nn").__name__.replace("numpy", "jax")).ctc_loss
    lengths = np.array([4, 4, 1, 2]) if impossible else LENGTHS
    target_lengths = np.array([4, 4, 2, 2]) if impossible else TARGET_LENGTHS
    target = np.maximum(TARGET, 1)
    weights = np.cos(np.arange(BATCH))
    with jax.enable_x64(True), wide():
        logits = scale * LOGITS.astype("float64")
        expected = jax.grad(lambda x: (ctc_loss(target, x, target_lengths, lengths) * weights).sum())(logits)
        (found,) = gradients(lambda x: nn.ctc_loss(target, x, target_lengths, lengths), logits)
    # JAX's own sums contain terms of 1e5, so they end 11 digits after the point.
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_loss_of_a_class_with_probability_0_is_large_and_its_gradient_is_not_nan() -> None:
    logits = LOGITS.copy()
    logits[:, :, 4] = -np.inf
    loss = traced(nn.ctc_loss, TARGET, logits, *ARGS[2:])
    assert (loss > 1e4).tolist() == [True, False, True, False]
    (slopes,) = gradients(lambda x: nn.ctc_loss(TARGET, x, *ARGS[2:]), logits)
    assert np.isfinite(slopes).all()


def test_label_outside_of_the_classes_is_refused() -> None:
    with pytest.raises(IndexError, match="a label of ctc_loss lies outside"):
        traced(nn.ctc_loss, TARGET + 1, *ARGS[1:])
    with pytest.raises(ValueError, match="mask_index must be one of the 5 classes"):
        traced(lambda x: nn.ctc_loss(TARGET, x, *ARGS[2:], mask_index=5), LOGITS)
    with pytest.raises(ValueError, match=r"needs a target of shape \(batch, labels\)"):
        traced(lambda x: nn.ctc_loss(TARGET[0], x, *ARGS[2:]), LOGITS)


@pytest.mark.parametrize("tier", ["interpreter", "native"])
def test_long_sequences_of_labels_have_finite_losses_in_every_tier(
    tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_THEANO_MODE", tier)
    time, labels = 700, 300
    logits = RNG.normal(0, 5, (2, time, 30)).astype("float32")
    target = RNG.integers(1, 30, (2, labels)).astype("int32")
    lengths = np.full(2, labels, "int32"), np.full(2, time, "int32")
    x = pt.tensor(dtype="float32", shape=(None, None, 30))
    with trace.opened(trace.Trace()):
        loss = as_node(nn.ctc_loss(target, Tensor(x), *lengths))
    program = Program("ctc", [x], [loss, pytensor.grad(loss.sum(), x)], [])
    losses, slopes = program([logits])
    np.testing.assert_allclose(losses, numpy_ops("nn").ctc_loss(target, logits, *lengths), rtol=1e-5)
    # A step has probabilities of 1 altogether, with the softmax and with the alignments.
    np.testing.assert_allclose(slopes.sum(-1), 0, atol=1e-5)
    assert np.abs(slopes).max() > 0.1


def test_model_learns_to_spell() -> None:
    keras.utils.set_random_seed(0)
    target = RNG.integers(1, 4, (16, 3)).astype("int32")
    inputs = np.repeat(np.eye(4, dtype="float32")[target], 4, axis=1)
    model = keras.Sequential([keras.Input((12, 4)), layers.Dense(8, "relu"), layers.Dense(4)])
    model.compile(keras.optimizers.Adam(0.05), keras.losses.CTC())
    losses = model.fit(inputs, target, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 4


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"merge_repeated": False},
        {"mask_index": None},
        {"mask_index": 2},
        {"strategy": "beam_search", "beam_width": 6, "top_paths": 3},
        {"strategy": "beam_search", "beam_width": 2, "mask_index": None},
    ],
)
def test_decoded_labels_equal_eager_ones(named: dict[str, Any]) -> None:
    agrees(nn.ctc_decode, (LOGITS, LENGTHS), named)


def test_score_of_the_greedy_decoder_has_a_gradient() -> None:
    (found,) = gradient_of(lambda x: nn.ctc_decode(x, LENGTHS)[1], LOGITS)
    assert np.count_nonzero(found) == LENGTHS.sum()


def test_unknown_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid strategy best"):
        traced(lambda x: nn.ctc_decode(x, LENGTHS, strategy="best"), LOGITS)
