"""What each output learns, and which outputs do not suit the labels."""

from typing import Any

import numpy as np
import pytest

from backendexp.worker import objectives, tasks
from backendexp.worker.arrays import Dataset

SPARSE, SQUARED, BINARY = "sparse_categorical_crossentropy", "mean_squared_error", "binary_crossentropy"
AMOUNTS, CLASSES = np.zeros((4, 1), "float32"), np.array([[0], [1], [2], [1]], "int32")


def data(y: Any, y_test: Any = None) -> Dataset:
    return Dataset(None, y, None, y if y_test is None else y_test)


def test_each_output_gets_the_objective_of_its_labels() -> None:
    task = {"price": tasks.regression(), "sort": tasks.multiclass(3)}
    decided = objectives.decide(task, "auto", None, "auto")
    assert decided.loss == {"price": SQUARED, "sort": SPARSE}
    assert decided.metrics == {"price": ["mean_absolute_error"], "sort": ["accuracy"]}
    assert decided.units == {"price": 1, "sort": 3}
    assert decided.activation == {"price": "linear", "sort": "softmax"}


def test_what_the_user_has_set_is_for_every_output() -> None:
    decided = objectives.decide([tasks.regression(), tasks.binary()], "huber", ["accuracy"], "relu")
    assert decided == (["huber"] * 2, [["accuracy"]] * 2, [1, 1], ["relu"] * 2)


def test_single_output_has_no_structure() -> None:
    assert objectives.decide(tasks.binary(), "auto", None, "auto") == (BINARY, ["accuracy"], 1, "sigmoid")


@pytest.mark.parametrize(
    ("outputs", "by_name", "dataset", "losses"),
    [
        ({"a": (3,)}, False, data(CLASSES), SPARSE),
        ({"a": (3,)}, False, data(CLASSES[:, 0]), SPARSE),
        ({"a": (1,)}, False, data(AMOUNTS), SQUARED),
        ({"a": (None, 5)}, False, data(np.zeros((4, 7, 5))), SQUARED),
        ({"a": (7, 5)}, False, data(np.zeros((4, 7), "int32")), SPARSE),
        ({"a": (1,), "b": (3,)}, True, data({"b": CLASSES, "a": AMOUNTS}), {"b": SPARSE, "a": SQUARED}),
        ({"a": (1,), "b": (3,)}, False, data([AMOUNTS, CLASSES]), [SQUARED, SPARSE]),
        ({"a": (1,)}, False, data(CLASSES), None),
    ],
)
def test_outputs_that_suit_the_labels_are_accepted(
    outputs: Any, by_name: bool, dataset: Dataset, losses: Any
) -> None:
    objectives.check(outputs, by_name, dataset, losses)


@pytest.mark.parametrize(
    ("outputs", "by_name", "dataset", "losses", "message"),
    [
        (
            {"a": (3,)},
            False,
            data(AMOUNTS),
            SQUARED,
            r"the output has the shape \(samples, 3\), and y_train has \(samples, 1\): "
            "training.loss=mean_squared_error expects the same shape",
        ),
        ({"a": (5, 3)}, False, data(CLASSES), SPARSE, r"has \(samples, 1\): expected \(samples, classes\)"),
        (
            {"a": (2,)},
            False,
            data(CLASSES),
            SPARSE,
            "labels from 0 to 2, but the output has 2 classes: expected whole numbers from 0 to 1",
        ),
        ({"a": (3,)}, False, data(CLASSES, CLASSES + 2), SPARSE, "y_test holds labels from 2 to 4"),
        (
            {"a": (1,)},
            False,
            data(AMOUNTS + 2),
            BINARY,
            "labels from 2 to 2, but .* accepts labels from 0 to 1",
        ),
        (
            {"a": (1,), "b": (3,)},
            False,
            data(AMOUNTS),
            SQUARED,
            r"2 outputs \(a, b\), but the labels are 1 array",
        ),
        ({"a": (1,), "b": (3,)}, True, data([AMOUNTS, CLASSES]), [SQUARED, SPARSE], "with the keys a, b"),
        (
            {"a": (1,), "b": (3,)},
            False,
            data({"a": AMOUNTS, "c": CLASSES}),
            {},
            "the model has the outputs a, b, but the labels are for a, c",
        ),
        (
            {"a": (1,), "b": (2,)},
            False,
            data([AMOUNTS, CLASSES]),
            [SQUARED, SPARSE],
            r"y_train\[1\] holds labels from 0 to 2, but the output 1 has 2 classes",
        ),
    ],
)
def test_mismatch_says_both_shapes_or_the_labels(
    outputs: Any, by_name: bool, dataset: Dataset, losses: Any, message: str
) -> None:
    with pytest.raises(objectives.Mismatch, match=message):
        objectives.check(outputs, by_name, dataset, losses)
