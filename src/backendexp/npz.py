"""The user's own arrays: an .npz file, checked before anything slow is imported."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from backendexp.errors import ConfigError


def read_sizes(path: str) -> tuple[int, int, int]:
    """(samples, features, test_samples) of the user's file, once it has been checked.

    The file holds x_train and x_test, shape (samples, features), and y_train and y_test, shape
    (samples,) or (samples, 1); numbers, all finite.
    Raises ConfigError: naming the array and what is wrong with it.
    """
    if not Path(path).is_file():
        raise ConfigError(f"data.path is {path!r}: no such file. Expected an .npz file made by numpy.savez")
    arrays = _read(path)
    names = ("x_train", "y_train", "x_test", "y_test")
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ConfigError(
            f"{path} lacks {', '.join(missing)}: expected the arrays {', '.join(names)}, "
            f"found {', '.join(sorted(arrays)) or 'none'}"
        )
    for name in names:
        _check_array(path, name, arrays[name])
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if len(x) != len(y):
            raise ConfigError(f"{path}: x_{part} has {len(x)} rows, and y_{part} has {len(y)}")
    features, test_features = arrays["x_train"].shape[1], arrays["x_test"].shape[1]
    if features != test_features:
        raise ConfigError(f"{path}: x_train has {features} features, and x_test has {test_features}")
    return len(arrays["x_train"]), features, len(arrays["x_test"])


def _read(path: str) -> dict[str, np.ndarray[Any, Any]]:
    try:
        # Opened here, because numpy leaves the file open when it is cut off.
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (
        *(ValueError, OSError, AttributeError, TypeError, EOFError, NotImplementedError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise ConfigError(
            f"data.path is {path!r}, which cannot be read as .npz: {error}. "
            "Expected a file made by numpy.savez, of numbers only"
        ) from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ConfigError(f"{path}: {name} is no numpy array. Expected a file made by numpy.savez")
    return arrays


def _check_array(path: str, name: str, array: Any) -> None:
    if array.dtype.kind not in "fiub":
        raise ConfigError(f"{path}: {name} has dtype {array.dtype}: expected numbers, e.g. float32")
    wanted = "(samples, features)" if name.startswith("x") else "(samples,) or (samples, 1)"
    right = (
        array.ndim == 2
        if name.startswith("x")
        else array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)
    )
    if not right:
        raise ConfigError(f"{path}: {name} has shape {array.shape}: expected {wanted}")
    if array.size == 0:
        raise ConfigError(f"{path}: {name} has shape {array.shape}: expected at least one number")
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            bad = np.count_nonzero(~np.isfinite(array.astype(np.float32)))
        if bad:
            raise ConfigError(
                f"{path}: {name} holds {bad} values that are NaN, infinite or too large for float32: "
                "expected finite numbers"
            )
