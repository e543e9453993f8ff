"""The user's file: what it may hold, and what is said of every other."""

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from backendexp import npz
from backendexp.errors import ConfigError

Arrays = dict[str, object]


def good_arrays() -> Arrays:
    return {
        "x_train": np.zeros((6, 3), np.float32),
        "y_train": np.zeros(6, np.int64),
        "x_test": np.ones((2, 3)),
        "y_test": np.ones((2, 1), bool),
    }


def save(path: Path, arrays: Arrays) -> str:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


def test_sizes_of_a_good_file_are_read(tmp_path: Path) -> None:
    assert npz.read_sizes(save(tmp_path / "good.npz", good_arrays())) == (6, 3, 2)


def test_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"data\.path is 'nowhere\.npz': no such file\. Expected an \.npz"):
        npz.read_sizes("nowhere.npz")


def test_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file"):
        npz.read_sizes(str(tmp_path))


def _text(path: Path) -> None:
    path.write_text("x_train,y_train\n1,2\n")


def _nothing(path: Path) -> None:
    path.write_bytes(b"")


def _npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros((2, 2)))


def _cut_off(path: Path) -> None:
    save(path, good_arrays())
    path.write_bytes(path.read_bytes()[:-40])


def _broken_compression(path: Path) -> None:
    arrays = good_arrays() | {"y_train": np.zeros(6000)}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    content = bytearray(path.read_bytes())
    begin = content.index(b"y_train.npy") + len("y_train.npy") + 20  # zip64's extra field
    content[begin : begin + 20] = b"\xff" * 20
    path.write_bytes(bytes(content))


def _zip_of_something_else(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in good_arrays():
            archive.writestr(name, "1,2,3\n")


def _zip_of_broken_arrays(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in good_arrays():
            archive.writestr(f"{name}.npy", b"\x93NUMPY but no more")


@pytest.mark.parametrize(
    "write",
    [
        _text,
        _nothing,
        _npy,
        _cut_off,
        _broken_compression,
        _zip_of_something_else,
        _zip_of_broken_arrays,
    ],
    ids=lambda write: write.__name__.strip("_"),
)
def test_file_that_is_no_npz_is_refused(write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    write(path)
    with pytest.raises(ConfigError, match=r"Expected a file made by numpy\.savez|expected numbers"):
        npz.read_sizes(str(path))


def test_pickled_objects_are_refused_and_never_loaded(tmp_path: Path) -> None:
    arrays = good_arrays() | {"x_train": np.array([{"a": 1}, None], dtype=object)}
    path = save(tmp_path / "objects.npz", arrays)
    with pytest.raises(ConfigError, match=r"cannot be read as \.npz: .*numpy\.savez, of numbers only"):
        npz.read_sizes(path)


def test_missing_arrays_are_named_with_those_that_are_there(tmp_path: Path) -> None:
    path = save(tmp_path / "less.npz", {"x_train": np.zeros((2, 2)), "labels": np.zeros(2)})
    with pytest.raises(ConfigError, match=r"lacks y_train, x_test, y_test: .* found labels, x_train$"):
        npz.read_sizes(path)


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("x_train", np.zeros(6), "x_train has shape (6,): expected (samples, features)"),
        ("x_test", np.zeros((2, 3, 1)), "x_test has shape (2, 3, 1): expected (samples, features)"),
        ("y_train", np.zeros((6, 2)), "y_train has shape (6, 2): expected (samples,) or (samples, 1)"),
        ("y_test", np.float32(1), "y_test has shape (): expected (samples,) or (samples, 1)"),
        ("y_train", np.zeros(5), "x_train has 6 rows, and y_train has 5"),
        ("x_test", np.zeros((3, 3)), "x_test has 3 rows, and y_test has 2"),
        ("x_test", np.zeros((2, 4)), "x_train has 3 features, and x_test has 4"),
        ("y_train", np.array(list("abcdef")), "y_train has dtype <U1: expected numbers, e.g. float32"),
        ("x_train", np.zeros((6, 3), complex), "x_train has dtype complex128: expected numbers"),
        ("x_train", np.zeros((6, 3), "M8[s]"), "x_train has dtype datetime64[s]: expected numbers"),
        ("x_train", np.full((6, 3), np.nan), "x_train holds 18 values that are NaN"),
        ("y_test", np.array([0, np.inf]), "y_test holds 1 values that are NaN, infinite or too large"),
        ("x_train", np.full((6, 3), 1e39), "x_train holds 18 values"),
        ("x_train", np.zeros((0, 3)), "x_train has shape (0, 3): expected at least one number"),
        ("x_test", np.zeros((2, 0)), "x_test has shape (2, 0): expected at least one number"),
        ("y_train", np.zeros(0), "y_train has shape (0,): expected at least one number"),
    ],
)
def test_array_that_cannot_be_trained_on_is_named_with_what_was_expected(
    name: str, array: object, said: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "bad.npz", good_arrays() | {name: array})
    with pytest.raises(ConfigError, match=re.escape(said)) as refusal:
        npz.read_sizes(path)
    assert path in str(refusal.value)


def test_largest_float32_is_accepted(tmp_path: Path) -> None:
    arrays = good_arrays() | {"x_train": np.full((6, 3), float(np.finfo(np.float32).max))}
    assert npz.read_sizes(save(tmp_path / "large.npz", arrays)) == (6, 3, 2)


def test_file_object_stays_closed_after_a_refusal(tmp_path: Path) -> None:
    """Warnings are errors here, so an unclosed file would fail this test."""
    buffer = io.BytesIO()
    np.savez(buffer, x_train=np.zeros(2))
    path = tmp_path / "bad.npz"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ConfigError, match="lacks"):
        npz.read_sizes(str(path))
    path.unlink()
    assert not path.exists()
