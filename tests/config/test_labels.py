"""Each loss accepts only certain labels, because with other labels its numbers only look like a result."""

import re

import pytest

from backendexp.config import labels
from backendexp.config.labels import Labels
from backendexp.errors import ConfigError
from backendexp.runtimes import catalogue


def of(*values: float) -> Labels:
    distinct = tuple(sorted(set(values)))
    return Labels(distinct[0], distinct[-1], distinct if len(distinct) <= labels.MANY else None)


DIGITS, SIGNS, FROM_ONE, COINS = of(*range(10)), of(-1, 1), of(1, 2), of(0, 1)
PROBABILITIES, AMOUNTS = of(*(n / 100 for n in range(101))), of(*(n / 7 for n in range(-50, 500)))
# For each loss, the labels above that it accepts.
TAKEN = {
    "binary_crossentropy": [COINS, PROBABILITIES],
    "binary_focal_crossentropy": [COINS, PROBABILITIES],
    "hinge": [COINS, SIGNS],
    "squared_hinge": [COINS, SIGNS],
    "poisson": [COINS, PROBABILITIES, DIGITS, FROM_ONE],
    "mean_squared_logarithmic_error": [COINS, PROBABILITIES, DIGITS, FROM_ONE],
    **{
        loss: [COINS, PROBABILITIES, DIGITS, FROM_ONE, SIGNS, AMOUNTS]
        for loss in ("mean_squared_error", "mean_absolute_error", "log_cosh", "huber")
    },
}
ALL = [DIGITS, SIGNS, FROM_ONE, COINS, PROBABILITIES, AMOUNTS]
LOSSES = sorted(catalogue.KERAS3.losses | catalogue.KERAS2.losses)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_accepts_its_labels_and_no_others(loss: str) -> None:
    for found in ALL:
        if found in TAKEN[loss]:
            labels.check("y_train", found, loss, "linear")
        else:
            with pytest.raises(ConfigError, match=f"^y_train holds .*, but training.loss={loss} accepts "):
                labels.check("y_train", found, loss, "linear")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", sorted(catalogue.KERAS3.activations))
def test_labels_of_the_data_that_is_drawn_suit_every_loss_and_output(loss: str, activation: str) -> None:
    for found in (COINS, of(0), of(1)):
        labels.check("y_train", found, loss, activation)


@pytest.mark.parametrize(
    ("found", "loss", "said"),
    [
        (
            DIGITS,
            "binary_crossentropy",
            "y_train holds the labels 0, 1, 2, 3, 4, 5, 6, 7, 8 and 9, but training.loss=binary_crossentropy "
            "accepts labels from 0 to 1. The model has one output: for classes, make two of them, 0 and 1; "
            "for amounts, use training.loss=mean_squared_error model.output_activation=linear",
        ),
        (
            SIGNS,
            "binary_crossentropy",
            "y_train holds the labels -1 and 1, but training.loss=binary_crossentropy accepts labels from 0 "
            "to 1. Replace -1 by 0, or use training.loss=hinge model.output_activation=tanh",
        ),
        (
            FROM_ONE,
            "binary_focal_crossentropy",
            "y_train holds the labels 1 and 2, but training.loss=binary_focal_crossentropy accepts labels "
            "from 0 to 1. Replace them by 0 and 1, or use training.loss=mean_squared_error "
            "model.output_activation=linear",
        ),
        (
            of(-1, 0, 1),
            "squared_hinge",
            "y_train holds the labels -1, 0 and 1, but training.loss=squared_hinge accepts -1 and 1, or 0 "
            "and 1. The model has one output",
        ),
        (
            PROBABILITIES,
            "hinge",
            "y_train holds labels from 0 to 1, but training.loss=hinge accepts -1 and 1, or 0 and 1. Use "
            "training.loss=binary_crossentropy",
        ),
        (
            AMOUNTS,
            "poisson",
            "y_train holds labels from -7.1428571 to 71.285714, but training.loss=poisson accepts labels "
            "from 0 up. ",
        ),
        (of(2), "binary_crossentropy", "y_train holds the label 2 alone, but "),
        (of(0.1, 1.0000001), "binary_crossentropy", "y_train holds the labels 0.1 and 1.0000001, but "),
    ],
)
def test_refusal_names_the_labels_and_the_loss_that_takes_them(found: Labels, loss: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        labels.check("y_train", found, loss, "sigmoid")


@pytest.mark.parametrize("found", ALL)
@pytest.mark.parametrize("loss", LOSSES)
def test_advice_in_a_refusal_is_accepted(found: Labels, loss: str) -> None:
    """Follow the advice until nothing is refused, which is the case after at most two refusals."""
    chosen = {"training.loss": loss, "model.output_activation": "sigmoid"}
    for _ in range(3):
        try:
            labels.check("y_train", found, chosen["training.loss"], chosen["model.output_activation"])
        except ConfigError as error:
            (way_out,) = re.findall(r"[Uu]se (.*)$", str(error))
            chosen.update(setting.split("=") for setting in way_out.split())
        else:
            return
    raise AssertionError(chosen)


def test_output_that_cannot_come_near_to_the_labels_is_refused() -> None:
    said = (
        "y_test holds the labels 1 and 2, but model.output_activation=sigmoid gives only numbers from 0 "
        "to 1. Use model.output_activation=linear"
    )
    with pytest.raises(ConfigError, match=re.escape(said)):
        labels.check("y_test", FROM_ONE, "huber", "sigmoid")
    with pytest.raises(ConfigError, match=r"Use model\.output_activation=exponential"):
        labels.check("y_test", FROM_ONE, "poisson", "tanh")


def test_hinge_needs_only_the_order_of_the_outputs() -> None:
    labels.check("y_train", SIGNS, "hinge", "sigmoid")


@pytest.mark.slow
def test_outputs_have_exactly_the_documented_range() -> None:
    import keras
    import numpy as np

    x = np.concatenate([np.linspace(-10, 10, 200_001), [-1000.0, 1000.0]]).astype(np.float32)
    for name in catalogue.KERAS3.activations:
        y = keras.ops.convert_to_numpy(keras.activations.get(name)(x))
        low, high = labels._GIVEN.get(name, (-np.inf, np.inf))
        assert low - 2e-4 < y.min() if np.isfinite(low) else y.min() <= -10, name
        assert y.max() < high + 1e-6 if np.isfinite(high) else y.max() >= 10, name
        assert not np.isfinite(low) or abs(y.min() - low) < 2e-3, name
        assert not np.isfinite(high) or abs(y.max() - high) < 2e-3, name
