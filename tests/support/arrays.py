"""Array files like those of users, with and without faults."""

import zipfile
from pathlib import Path

import numpy as np

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


def _add_pickled(archive: zipfile.ZipFile) -> None:
    with archive.open("extra.npy", "w") as member:
        np.save(member, np.array([{"a": 1}], dtype=object))


def _add_text(archive: zipfile.ZipFile) -> None:
    archive.writestr("extra.npy", "not an array")
    archive.writestr("README", "by hand")
    archive.writestr("x_train", "a note about x_train.npy")


def _add_broken(archive: zipfile.ZipFile) -> None:
    archive.writestr("extra.npy", b"\x93NUMPY but no more")


def _add_encrypted(archive: zipfile.ZipFile) -> None:
    archive.writestr("extra.npy", b"secret")
    archive.getinfo("extra.npy").flag_bits |= 1


def _add_another_shape(archive: zipfile.ZipFile) -> None:
    with archive.open("x_val.npy", "w") as member:
        np.save(member, np.full((1, 2, 3), np.nan))


EXTRAS = [_add_pickled, _add_text, _add_broken, _add_encrypted, _add_another_shape]
