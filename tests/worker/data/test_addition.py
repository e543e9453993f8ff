"""The adding problem."""

import numpy as np
import pytest

from backendexp.worker import arrays, tasks
from backendexp.worker.data import addition

DATA = {"kind": "addition", "samples": 300, "test_samples": 100, "steps": 25}


def test_shapes_and_dtypes_are_as_told() -> None:
    made = addition.make(DATA, 0)
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.named(made)} == {
        "x_train": ((300, 25, 2), "float32"),
        "y_train": ((300, 1), "float32"),
        "x_test": ((100, 25, 2), "float32"),
        "y_test": ((100, 1), "float32"),
    }
    assert tasks.of_labels(made.y_train, made.y_test) == addition.task({})
    settings = addition.Settings(samples=300, test_samples=100, steps=25)
    assert settings.sample_shape() == made.x_train.shape[1:]
    assert settings.size_bytes() == sum(array.nbytes for array in made)


@pytest.mark.parametrize("steps", [2, 3, 25])
def test_label_is_the_sum_of_the_two_marked_numbers(steps: int) -> None:
    made = addition.make({**DATA, "steps": steps}, 0)
    numbers, marks = made.x_train[..., 0], made.x_train[..., 1]
    assert (marks.sum(axis=1) == 2).all()
    assert (marks[:, : steps // 2].sum(axis=1) == 1).all()
    np.testing.assert_allclose((numbers * marks).sum(axis=1), made.y_train[:, 0], rtol=1e-6)
    low, high = addition.LABEL_RANGE
    assert low <= made.y_train.min()
    assert made.y_train.max() < high


def test_answering_one_has_the_error_that_is_told() -> None:
    y = addition.make({**DATA, "samples": 20_000}, 0).y_train
    assert ((y - 1) ** 2).mean() == pytest.approx(1 / 6, rel=0.05)


def test_digest_does_not_change_between_releases() -> None:
    assert (
        arrays.digest(addition.make(DATA, 0))
        == "d6219a9313699e290f2ff9c349f4d4dd181f306995c7088d1d91ac93b7652bb2"
    )


def test_seed_decides_the_sequences() -> None:
    assert arrays.digest(addition.make(DATA, 1)) == arrays.digest(addition.make(DATA, 1))
    assert arrays.digest(addition.make(DATA, 1)) != arrays.digest(addition.make(DATA, 2))
