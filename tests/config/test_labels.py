"""Each loss accepts only certain labels, because with other labels its numbers only look like a result."""

import re

import pytest

from backendexp.config import labels
from backendexp.config.labels import Labels
from backendexp.errors import ConfigError
from backendexp.runtimes import catalogue
from backendexp.worker import tasks
from backendexp.worker.data import addition, digits, signal


def of(*values: float) -> Labels:
    distinct = tuple(sorted(set(values)))
    return Labels(distinct[0], distinct[-1], distinct if len(distinct) <= labels.MANY else None)


ROWS = Labels(0, 1, (0, 1), columns=3, rows="one-hot")
SHARES = Labels(0, 0.75, None, columns=3, rows="shares")
ANSWERS = Labels(0, 1, (0, 1), columns=3)
TARGETS = Labels(-2.5, 40, None, columns=2)
DIGITS, SIGNS, FROM_ONE, COINS = of(*range(10)), of(-1, 1), of(1, 2), of(0, 1)
PROBABILITIES, AMOUNTS = of(*(n / 100 for n in range(101))), of(*(n / 7 for n in range(-50, 500)))
# For each loss, the labels above that it accepts.
TAKEN = {
    "sparse_categorical_crossentropy": [COINS, DIGITS, FROM_ONE],
    "categorical_crossentropy": [ROWS, SHARES],
    "binary_crossentropy": [COINS, PROBABILITIES, ROWS, SHARES, ANSWERS],
    "binary_focal_crossentropy": [COINS, PROBABILITIES, ROWS, SHARES, ANSWERS],
    "hinge": [COINS, SIGNS, ROWS, ANSWERS],
    "squared_hinge": [COINS, SIGNS, ROWS, ANSWERS],
    "poisson": [COINS, PROBABILITIES, DIGITS, FROM_ONE, ROWS, SHARES, ANSWERS],
    "mean_squared_logarithmic_error": [COINS, PROBABILITIES, DIGITS, FROM_ONE, ROWS, SHARES, ANSWERS],
    **{
        loss: [COINS, PROBABILITIES, DIGITS, FROM_ONE, SIGNS, AMOUNTS, ROWS, SHARES, ANSWERS, TARGETS]
        for loss in ("mean_squared_error", "mean_absolute_error", "log_cosh", "huber")
    },
}
ALL = [DIGITS, SIGNS, FROM_ONE, COINS, PROBABILITIES, AMOUNTS, ROWS, SHARES, ANSWERS, TARGETS]
# These losses compare shares that sum to 1.
OF_CLASSES = ("sparse_categorical_crossentropy", "categorical_crossentropy")
LOSSES = sorted(catalogue.KERAS3.losses | catalogue.KERAS2.losses)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_accepts_its_labels_and_no_others(loss: str) -> None:
    for found in ALL:
        if found in TAKEN[loss]:
            labels.check("y_train", found, loss, "softmax" if loss in OF_CLASSES else "linear")
        else:
            with pytest.raises(ConfigError, match=f"^y_train holds .*, but training.loss={loss} accepts "):
                labels.check("y_train", found, loss, "linear")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", sorted(catalogue.KERAS3.activations))
def test_labels_of_the_data_that_is_drawn_suit_every_loss_and_output(loss: str, activation: str) -> None:
    """A loss of classes takes them with softmax, and only if it takes one column at all."""
    for found in (COINS, of(0), of(1)):
        if loss == "categorical_crossentropy" or (loss in OF_CLASSES and activation != "softmax"):
            with pytest.raises(ConfigError):
                labels.check("y_train", found, loss, activation)
        else:
            labels.check("y_train", found, loss, activation)


@pytest.mark.parametrize(
    ("found", "loss", "said"),
    [
        (
            DIGITS,
            "binary_crossentropy",
            "y_train holds the labels 0, 1, 2, 3, 4, 5, 6, 7, 8 and 9, but training.loss=binary_crossentropy "
            "accepts labels from 0 to 1. For classes, there is training.loss=sparse_categorical_crossentropy "
            "model.output_activation=softmax; for amounts, use training.loss=mean_squared_error "
            "model.output_activation=linear",
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
            "and 1. For classes, number them 0, 1, 2 and so on; for amounts, use ",
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
        (
            ROWS,
            "sparse_categorical_crossentropy",
            "y_train holds 3 columns of labels from 0 to 1, but "
            "training.loss=sparse_categorical_crossentropy accepts one column of whole numbers from 0 to "
            "999,999, which are classes. Use "
            "training.loss=categorical_crossentropy model.output_activation=softmax",
        ),
        (
            COINS,
            "categorical_crossentropy",
            "y_train holds the labels 0 and 1, but training.loss=categorical_crossentropy accepts rows with "
            "one column for each class, of shares that sum to 1, such as a single 1 and zeros. Use "
            "training.loss=binary_crossentropy model.output_activation=sigmoid",
        ),
        (
            ANSWERS,
            "categorical_crossentropy",
            "y_train holds 3 columns of labels from 0 to 1, but training.loss=categorical_crossentropy ",
        ),
        (
            TARGETS,
            "binary_crossentropy",
            "y_train holds 2 columns of labels from -2.5 to 40, but training.loss=binary_crossentropy "
            "accepts labels from 0 to 1. Use training.loss=mean_squared_error model.output_activation=linear",
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


@pytest.mark.parametrize(
    ("found", "loss"), [(DIGITS, "sparse_categorical_crossentropy"), (ROWS, "categorical_crossentropy")]
)
@pytest.mark.parametrize("activation", ["sigmoid", "linear", "relu"])
def test_output_that_gives_no_shares_is_refused_for_a_loss_of_classes(
    found: Labels, loss: str, activation: str
) -> None:
    said = (
        f"model.output_activation is {activation}, but training.loss={loss} compares shares that sum to 1. "
        "Use model.output_activation=softmax"
    )
    with pytest.raises(ConfigError, match=re.escape(said)):
        labels.check("y_train", found, loss, activation)
    labels.check("y_train", found, loss, None)  # a model of the user's has no such setting


BINARY, DIGIT_TASK = tasks.binary(), tasks.multiclass(10)


@pytest.mark.parametrize(
    ("found", "loss", "task"),
    [
        (COINS, "auto", BINARY),
        (of(1), "auto", BINARY),
        (DIGITS, "auto", DIGIT_TASK),
        (DIGITS, "sparse_categorical_crossentropy", DIGIT_TASK),
        (DIGITS, "mean_squared_error", tasks.regression()),
        (FROM_ONE, "sparse_categorical_crossentropy", tasks.multiclass(3)),
        (COINS, "sparse_categorical_crossentropy", tasks.multiclass(2)),
        (COINS, "mean_squared_error", BINARY),
        (SIGNS, "hinge", BINARY),
        (PROBABILITIES, "auto", tasks.regression()),
        (PROBABILITIES, "binary_crossentropy", BINARY),
        (AMOUNTS, "auto", tasks.regression()),
        (ROWS, "auto", tasks.multiclass(3, one_hot=True)),
        (SHARES, "auto", tasks.regression(3)),
        (SHARES, "categorical_crossentropy", tasks.multiclass(3, one_hot=True)),
        (ANSWERS, "auto", tasks.binary(3)),
        (TARGETS, "auto", tasks.regression(2)),
    ],
)
def test_labels_and_loss_decide_what_is_learned(found: Labels, loss: str, task: tasks.Task) -> None:
    assert labels.task_of("", {"y_train": found, "y_test": found}, loss) == task


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        (
            FROM_ONE,
            FROM_ONE,
            "mine.npz: y_train holds the labels 1 and 2, but training.loss=auto takes whole",
        ),
        (
            COINS,
            of(0, 5, 9),
            "mine.npz: y_test holds the labels 0, 5 and 9, but training.loss=auto takes who",
        ),
        (
            COINS,
            SIGNS,
            "mine.npz: y_test holds the labels -1 and 1, but training.loss=auto takes 0 and 1 for ",
        ),
        (
            SIGNS,
            SIGNS,
            "two classes. Replace -1 by 0, or use training.loss=hinge model.output_activation=tan",
        ),
        (of(3), of(3), "y_train holds the label 3 alone, but "),
        (
            Labels(0, 999, None, count=1000, more_values=tuple(range(1000)), all_whole=True),
            Labels(0, 999, None, count=900, more_values=tuple(range(1000)), all_whole=True),
            "y_train holds labels from 0 to 999, but training.loss=auto takes whole numbers for classes only "
            "if they are 0, 1, 2 and so on without a gap and occur twice or more on average. For classes, "
            "number them like that, or use training.loss=sparse_categorical_crossentropy; for amounts, use "
            "training.loss=mean_squared_error",
        ),
    ],
)
def test_whole_numbers_that_may_be_classes_or_amounts_are_asked_about(
    train: Labels, test: Labels, said: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        labels.task_of("mine.npz: ", {"y_train": train, "y_test": test}, "auto")


def test_class_that_only_the_test_data_have_is_one_of_the_classes() -> None:
    found = {"y_train": of(0, 1, 2), "y_test": of(0, 1, 2, 3)}
    assert labels.task_of("", found, "auto") == tasks.multiclass(4)


def test_labels_of_a_kind_have_the_range_that_it_tells() -> None:
    assert labels.of_kind(addition, addition.task({})) == Labels(0, 2, None)
    assert labels.of_kind(digits, digits.task({})) == DIGITS
    assert labels.of_kind(signal, signal.task({})) == COINS


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
