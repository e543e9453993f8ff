"""What labels and a loss ask for, where the worker decides it."""

from typing import Any

import numpy as np
import pytest

from backendexp.worker import tasks


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32", "float64"])
@pytest.mark.parametrize(
    ("labels", "task"),
    [
        ([0, 1, 1, 0], tasks.binary()),
        ([1, 1, 1, 1], tasks.binary()),
        ([[0], [1], [2], [0], [1], [2]], tasks.multiclass(3)),
        ([2, 1, 0, 0, 1, 2, 2, 2], tasks.multiclass(3)),
        ([[0, 1], [1, 0]], tasks.multiclass(2, one_hot=True)),
        ([[0, 1, 0], [0, 0, 1]], tasks.multiclass(3, one_hot=True)),
        ([[0, 1, 1], [0, 0, 0]], tasks.binary(3)),
        ([[7, 1, 1], [0, 0, 0]], tasks.regression(3)),
    ],
)
def test_whole_labels_ask_for_the_same_whatever_they_are_stored_as(
    labels: Any, task: tasks.Task, dtype: str
) -> None:
    assert tasks.of_labels(np.array(labels, dtype)) == task


@pytest.mark.parametrize("labels", [[0.5, 1, 2], [[0.5], [1], [2]], [-0.1, 0.1, 0.0]])
def test_numbers_with_fractions_are_amounts(labels: Any) -> None:
    assert tasks.of_labels(np.array(labels)) == tasks.regression()


@pytest.mark.parametrize("dtype", ["int64", "float32"])
@pytest.mark.parametrize(
    "labels",
    [
        [1, 2, 3, 1, 2, 3],  # counted from 1
        [0, 1, 5, 0, 1, 5],  # with a gap
        [-1, 1, 1, -1],
        [0, 1, 2, 3, 4],  # each once: a rank, or a row number
        [3, 3, 3],
        [120_000, 95_000, 230_000],
    ],
)
def test_other_whole_numbers_need_a_loss_to_tell_what_they_are(labels: list[int], dtype: str) -> None:
    y = np.array(labels, dtype)
    with pytest.raises(tasks.Unclear, match="For classes, number them like that, or use "):
        tasks.of_labels(y)
    assert tasks.of_labels(y, loss="mean_squared_error") == tasks.regression()
    if y.min() >= 0:
        assert tasks.of_labels(y, loss="sparse_categorical_crossentropy").classes == max(labels) + 1
    assert tasks.of_labels(y, loss="hinge") == tasks.binary()


def test_class_that_only_the_test_data_have_is_counted() -> None:
    train, test = np.array([0, 1, 2, 0, 1, 2]), np.array([3, 3])
    assert tasks.of_labels(train, test) == tasks.multiclass(4)


@pytest.mark.parametrize(
    ("task", "loss", "metrics", "units", "activation"),
    [
        (tasks.binary(), "binary_crossentropy", ["accuracy"], 1, "sigmoid"),
        (tasks.binary(3), "binary_crossentropy", ["binary_accuracy"], 3, "sigmoid"),
        (tasks.multiclass(5), "sparse_categorical_crossentropy", ["accuracy"], 5, "softmax"),
        (tasks.multiclass(5, one_hot=True), "categorical_crossentropy", ["accuracy"], 5, "softmax"),
        (tasks.regression(), "mean_squared_error", ["mean_absolute_error"], 1, "linear"),
        (tasks.regression(2), "mean_squared_error", ["mean_absolute_error"], 2, "linear"),
    ],
)
def test_loss_metrics_and_last_layer_follow_from_the_task(
    task: tasks.Task, loss: str, metrics: list[str], units: int, activation: str
) -> None:
    assert tasks.loss_of(task) == loss
    assert tasks.metrics_of(task) == metrics
    assert tasks.units_of(task, loss) == units
    assert tasks.activation_of(task, loss) == activation


def test_two_classes_may_have_two_outputs() -> None:
    loss = "sparse_categorical_crossentropy"
    task = tasks.of_labels(np.array([0, 1, 1]), loss=loss)
    assert (task, tasks.units_of(task, loss)) == (tasks.multiclass(2), 2)
