"""The user's arrays as the worker reads them: the dtypes, and several inputs and outputs."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backendexp.worker.arrays import Dataset, named
from backendexp.worker.data import npz
from support.arrays import EXTRAS, good_arrays, save


def made_of(path: Path, **arrays: Any) -> Dataset:
    found: Dataset = npz.make({"path": save(path / "mine.npz", arrays)}, 0)
    return found


def test_numbers_become_float32_with_a_column_of_labels(tmp_path: Path) -> None:
    made = made_of(
        tmp_path,
        x_train=np.arange(6).reshape(3, 2),
        y_train=np.array([0, 1, 1]),
        x_test=np.ones((1, 2)),
        y_test=np.array([[True]]),
    )
    assert made.x_train.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert made.y_train.tolist() == [[0], [1], [1]]
    assert made.y_test.tolist() == [[1]]
    assert {array.dtype for array in made} == {np.dtype("float32")}


@pytest.mark.parametrize(
    ("train", "test", "kept"),
    [
        ("int64", "int64", "int32"),
        ("uint8", "int32", "int32"),
        (">i2", "int64", "int32"),
        ("int64", "float64", "float32"),
        ("bool", "bool", "float32"),
        ("float16", "float64", "float32"),
    ],
)
def test_whole_numbers_of_an_input_stay_whole_if_all_of_them_are(
    train: str, test: str, kept: str, tmp_path: Path
) -> None:
    x = {"x_train": np.ones((6, 3), train), "x_test": np.ones((2, 3), test)}
    made = made_of(tmp_path, **(good_arrays() | x))
    assert made.x_train.dtype == made.x_test.dtype == np.dtype(kept)


@pytest.mark.parametrize("shape", [(8,), (5, 2), (4, 4, 1), (2, 2, 2, 3)])
def test_samples_keep_their_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    x = {"x_train": np.ones((6, *shape), np.float32), "x_test": np.ones((2, *shape))}
    made = made_of(tmp_path, **(good_arrays() | x))
    assert (made.x_train.shape, made.x_test.shape) == ((6, *shape), (2, *shape))


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32", "float64"])
def test_classes_become_int32_whatever_they_are_stored_as(dtype: str, tmp_path: Path) -> None:
    y = {"y_train": np.array([0, 1, 2, 0, 1, 2], dtype), "y_test": np.array([2, 1], dtype)}
    made = made_of(tmp_path, **(good_arrays() | y))
    assert made.y_train.dtype == made.y_test.dtype == np.dtype("int32")
    assert made.y_train.shape == (6, 1)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ([0.5, 1, 2, 3, 4, 5], [1, 2]),  # amounts
        ([1.0, 3, 3, 3, 1, 1], [1, 3]),  # whole amounts, stored as floating-point numbers
        ([-1, 1, 1, 1, -1, 1], [1, 1]),
        ([2**40, 1, 2, 3, 4, 5], [1, 2]),  # too large for int32
        ([[0, 1]] * 6, [[1, 0]] * 2),  # one-hot rows
    ],
)
def test_amounts_signs_and_rows_become_float32(train: Any, test: Any, tmp_path: Path) -> None:
    made = made_of(tmp_path, **(good_arrays() | {"y_train": np.array(train), "y_test": np.array(test)}))
    assert made.y_train.dtype == made.y_test.dtype == np.dtype("float32")
    assert made.y_train.shape == np.array(train).reshape(6, -1).shape


def test_several_inputs_and_outputs_have_the_names_of_their_arrays(tmp_path: Path) -> None:
    made = made_of(
        tmp_path,
        x_train_words=np.ones((6, 4), np.int64),
        x_train_image=np.ones((6, 3, 3)),
        y_train_class=np.array([0, 1, 2, 0, 1, 2]),
        y_train_age=np.linspace(0, 1, 6),
        x_test_words=np.ones((2, 4), np.int64),
        x_test_image=np.ones((2, 3, 3)),
        y_test_class=np.array([0, 1]),
        y_test_age=np.linspace(0, 1, 2),
    )
    assert {name: (array.shape, array.dtype.name) for name, array in named(made)} == {
        "x_train_image": ((6, 3, 3), "float32"),
        "x_train_words": ((6, 4), "int32"),
        "y_train_age": ((6, 1), "float32"),
        "y_train_class": ((6, 1), "int32"),
        "x_test_image": ((2, 3, 3), "float32"),
        "x_test_words": ((2, 4), "int32"),
        "y_test_age": ((2, 1), "float32"),
        "y_test_class": ((2, 1), "int32"),
    }


def test_plain_name_comes_before_names_with_an_ending(tmp_path: Path) -> None:
    made = made_of(tmp_path, **good_arrays(), x_train_mean=np.zeros(3), y_test_note=np.array("text"))
    assert made.x_train.shape == (6, 3)


@pytest.mark.parametrize("add", EXTRAS, ids=lambda add: add.__name__)
def test_what_else_is_in_the_users_file_is_left_there(
    add: Callable[[zipfile.ZipFile], None], tmp_path: Path
) -> None:
    path = save(tmp_path / "more.npz", good_arrays())
    with zipfile.ZipFile(path, "a") as archive:
        add(archive)
    made = npz.make({"path": path}, 0)
    assert made.x_train.shape == (6, 3)
    assert made.y_test.tolist() == [[1], [1]]


def test_names_without_an_ending_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as archive:
        for name, array in good_arrays().items():
            with archive.open(name, "w") as member:
                np.save(member, array)  # type: ignore[arg-type]
    assert npz.make({"path": str(tmp_path / "mine.npz")}, 0).x_train.shape == (6, 3)
