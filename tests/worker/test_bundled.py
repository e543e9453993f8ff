"""The real data of installed packages: what is read, and how it is split."""

import math
from typing import Any

import numpy as np
import pytest

from backendexp.config import bundled as finding
from backendexp.worker import arrays, bundled, data, tasks
from backendexp.worker.arrays import Dataset

KINDS = [name for name in data.kinds() if data.kind(name).Settings.FILE is not None]
# The digests of the data of seed 0, which do not change between releases.
DIGESTS = {
    "breast_cancer": "0d1f8c254237c1d911c0997d8cc0ccbb95f1ff582d7a63d8bbce7f772d7b91fb",
    "digits": "1f57b0a2064e8e95701eabb8a210b14342f8937fcdaa4bb9243add35dc2a50a5",
    "mnist5k": "9d9cf5e1133cbca2764a1e23239a4fcdf2ca75f6eb1ca5d6fd07358799e75472",
}


def made_of(kind: str, seed: int = 0, **sizes: int) -> Dataset:
    settings = data.kind(kind).Settings(**sizes)
    order = {**settings.to_json(), "file": finding.file_of(settings)}
    found: Dataset = data.make_data(order, seed)
    return found


def test_all_kinds_that_are_read_from_a_package_are_known_here() -> None:
    assert set(KINDS) == set(DIGESTS)


@pytest.mark.parametrize("kind", KINDS)
def test_digest_does_not_change_between_releases(kind: str) -> None:
    assert arrays.digest(made_of(kind)) == DIGESTS[kind]


@pytest.mark.parametrize(
    ("kind", "shapes", "labels"),
    [
        ("digits", [(1437, 8, 8, 1), (360, 8, 8, 1)], "int32"),
        ("mnist5k", [(4000, 28, 28, 1), (1000, 28, 28, 1)], "int32"),
        ("breast_cancer", [(455, 30), (114, 30)], "float32"),
    ],
)
def test_shapes_and_dtypes_are_as_told(kind: str, shapes: list[tuple[int, ...]], labels: str) -> None:
    made = made_of(kind)
    assert [made.x_train.shape, made.x_test.shape] == shapes
    assert [made.y_train.shape, made.y_test.shape] == [(shape[0], 1) for shape in shapes]
    assert made.x_train.dtype == made.x_test.dtype == np.dtype("float32")
    assert made.y_train.dtype == made.y_test.dtype == np.dtype(labels)
    settings = data.kind(kind).Settings
    assert shapes[0][0] + shapes[1][0] == settings.ROWS
    assert settings.SHAPE == settings().sample_shape() == shapes[0][1:]
    assert settings().size_bytes() == sum(array.nbytes for array in made)
    assert tasks.of_labels(made.y_train, made.y_test) == data.kind(kind).task({})


@pytest.mark.filterwarnings("ignore")
def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    made = made_of("digits")
    rows = np.random.RandomState(0).permutation(1797)
    assert (np.concatenate([made.x_train, made.x_test]).reshape(-1, 64) * 16 == images[rows]).all()
    assert (np.concatenate([made.y_train, made.y_test])[:, 0] == labels[rows]).all()


@pytest.mark.filterwarnings("ignore")
def test_tumours_are_those_of_scikit_learn_standardised_by_the_training_data() -> None:
    from sklearn.datasets import load_breast_cancer

    measures, labels = load_breast_cancer(return_X_y=True)
    made = made_of("breast_cancer", seed=3)
    rows = np.random.RandomState(3).permutation(569)
    own = measures[rows[:455]]
    expected = (measures[rows] - own.mean(axis=0)) / own.std(axis=0)
    np.testing.assert_allclose(np.concatenate([made.x_train, made.x_test]), expected, rtol=1e-4, atol=1e-6)
    assert (np.concatenate([made.y_train, made.y_test])[:, 0] == labels[rows]).all()


def test_mnist_has_500_digits_of_each_class_between_0_and_1() -> None:
    made = made_of("mnist5k")
    x, y = (np.concatenate([made[part], made[part + 2]]) for part in (0, 1))
    assert np.bincount(y[:, 0]).tolist() == [500] * 10
    assert (x.min(), x.max()) == (0, 1)
    # Each image holds a digit in its middle, which would not be so if rows were cut at a wrong place.
    assert (x[:, 7:21, 7:21].mean(axis=(1, 2, 3)) > x.mean(axis=(1, 2, 3))).mean() > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_seed_draws_the_samples_and_none_is_in_both_parts(kind: str) -> None:
    made, again, other = made_of(kind, 1), made_of(kind, 1), made_of(kind, 2)
    assert arrays.digest(made) == arrays.digest(again)
    assert (made.y_train != other.y_train).any()
    order = np.arange(50)
    split = bundled.split(order, order, {"samples": 30, "test_samples": 20}, 4)
    assert sorted(np.concatenate([split.x_train, split.x_test])) == list(order)


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_samples_are_the_first_of_the_same_order(kind: str) -> None:
    few, all_ = made_of(kind, samples=50, test_samples=20), made_of(kind)
    assert (few.y_train == all_.y_train[:50]).all()
    assert len(few.x_test) == 20


@pytest.mark.parametrize("kind", KINDS)
def test_more_samples_than_there_are_is_a_fault(kind: str) -> None:
    settings: Any = data.kind(kind).Settings
    assert settings().fault() is None
    rows = settings.ROWS
    said = settings(samples=rows - 1, test_samples=2).fault()
    assert said.startswith(f"data.samples is {rows - 1} and data.test_samples is 2, together {rows + 1}, but")


def test_column_without_any_spread_becomes_zero() -> None:
    from backendexp.worker.data import breast_cancer

    means, deviations = breast_cancer._statistics(np.array([[1.0, 2.0], [1.0, 4.0]]))
    assert means.tolist() == [1, 3]
    assert deviations.tolist() == [1, math.sqrt(1)]
