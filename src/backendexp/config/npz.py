"""Checks the user's own arrays in an .npz file before anything slow is imported.

Only the four arrays are looked at, whatever else the file holds. Their headers are checked first. Their
numbers are read, one piece at a time, only if the file holds as many bytes as the headers promise and the
memory is large enough.
"""

import io
import math
import stat
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backendexp.config.labels import MANY, Labels
from backendexp.config.schema import physical_memory_bytes
from backendexp.errors import ConfigError

_NAMES = ("x_train", "y_train", "x_test", "y_test")
_EXPECTED = "Expected a file made by numpy.savez, of numbers only"
# numpy refuses longer headers, because parsing them would take too long.
_LONGEST_HEADER = 10_000
_PIECE_BYTES = 2**20


@dataclass(frozen=True)
class Contents:
    """Describes the arrays of the file.

    samples, test_samples: the number of rows for training and for testing. features: the number of columns.
    labels: describes the labels, under the names y_train and y_test.
    """

    samples: int
    features: int
    test_samples: int
    labels: dict[str, Labels]


@dataclass(frozen=True)
class _Member:
    """Describes an array in the archive.

    offset: the position at which its numbers begin, in bytes.
    held_bytes: the size of the numbers, in bytes, according to the archive.
    """

    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    held_bytes: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.itemsize


def read(path: str) -> Contents:
    """Check the user's file and return its sizes and its labels.

    The file must hold x_train and x_test, shape (samples, features), and y_train and y_test, shape
    (samples,) or (samples, 1). All must be finite numbers. The file may hold other arrays too.
    Raises ConfigError: an array cannot be used; the message names the array and what is wrong with it.
    """
    _check_is_a_file(path)
    with _opened(path) as archive:
        infos = _find(path, archive)
        arrays = {name: _read_header(path, archive, name, info) for name, info in infos.items()}
        for part in ("train", "test"):
            rows, labels = arrays[f"x_{part}"].shape[0], arrays[f"y_{part}"].shape[0]
            if rows != labels:
                raise ConfigError(f"{path}: x_{part} has {rows} rows, and y_{part} has {labels}")
        features, test_features = arrays["x_train"].shape[1], arrays["x_test"].shape[1]
        if features != test_features:
            raise ConfigError(f"{path}: x_train has {features} features, and x_test has {test_features}")
        _check_memory(path, arrays.values())
        labels_of = {}
        for name, array in arrays.items():
            pieces = _checked(path, name, _pieces(path, archive, name, array))
            if name.startswith("y"):
                labels_of[name] = _labels(pieces)
            else:
                for _ in pieces:
                    pass
    samples, test_samples = arrays["x_train"].shape[0], arrays["x_test"].shape[0]
    return Contents(samples, features, test_samples, labels_of)


def _check_is_a_file(path: str) -> None:
    named = f"data.path is {_shortened(path)!r}"
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError as error:
        raise ConfigError(f"{named}: no such file. Expected an .npz file made by numpy.savez") from error
    except (OSError, ValueError) as error:  # the name is too long or contains a NUL
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{named}, which cannot be opened: {why}. Expected the path of an .npz file made by numpy.savez"
        ) from error
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise ConfigError(f"{named}, which is {what}. Expected an .npz file made by numpy.savez")


def _shortened(path: str) -> str:
    return path if len(path) <= 200 else f"{path[:60]} ... {path[-60:]}"


@contextmanager
def _opened(path: str) -> Iterator[zipfile.ZipFile]:
    with _in_sentences(path):
        file = Path(path).open("rb")  # noqa: SIM115 (closed below; errors until then are not translated)
    with file:
        with _in_sentences(path):
            start = file.read(6)
        if start == b"\x93NUMPY":
            raise _unreadable(path, "it is one array, made by numpy.save")
        # numpy.load requires these first bytes, although zipfile does not.
        if start[:4] not in (b"PK\x03\x04", b"PK\x05\x06"):
            raise _unreadable(path, "it is not a zip archive")
        with _in_sentences(path):
            try:
                archive = zipfile.ZipFile(file)
            except zipfile.BadZipFile as error:
                raise zipfile.BadZipFile(
                    "it begins like a zip archive but does not end like one; it was cut off or damaged "
                    f"({error})"
                ) from error
        with archive:
            yield archive


@contextmanager
def _in_sentences(path: str, name: str | None = None) -> Iterator[None]:
    """Turn what zipfile, its decompressors and numpy raise for unreadable bytes into ConfigError.

    name: the name of the array that is being read, or None.
    """
    try:
        yield
    except Exception as error:  # each decompressor has its own errors, and numpy raises a dozen kinds
        why = getattr(error, "strerror", None) or str(error).split("\n")[0] or type(error).__name__
        raise _unreadable(path, f"{name}: {why}" if name else why) from error


def _unreadable(path: str, why: str) -> ConfigError:
    return ConfigError(f"data.path is {_shortened(path)!r}, which cannot be read as .npz: {why}. {_EXPECTED}")


def _find(path: str, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members of the archive that hold the four arrays.

    numpy.savez adds .npy to the names, but numpy.load accepts names without it.
    """
    by_name = {info.filename: info for info in archive.infolist()}
    found = {name: by_name.get(f"{name}.npy", by_name.get(name)) for name in _NAMES}
    missing = [name for name, info in found.items() if info is None]
    if missing:
        there = sorted({name.removesuffix(".npy") for name in by_name})
        meant = [other for other in there if any(_alike(other, name) for name in missing)]
        hint = f"Did you mean {', '.join(meant)}? The names must be as expected. " if meant else ""
        shown = ", ".join(there[:20]) + (f" and {len(there) - 20} more" if len(there) > 20 else "")
        raise ConfigError(
            f"{path} lacks {', '.join(missing)}: {hint}expected the arrays {', '.join(_NAMES)}, "
            f"found {shown or 'none'}"
        )
    return {name: info for name, info in found.items() if info is not None}


def _alike(other: str, name: str) -> bool:
    """Return whether a name has the same letters as the expected name.

    X_train, xtrain, train_x and x_trian all have the letters of x_train.
    """
    return other not in _NAMES and sorted(filter(str.isalnum, other.casefold())) == sorted(
        name.replace("_", "")
    )


def _read_header(path: str, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> _Member:
    if info.flag_bits & 1:
        raise _unreadable(path, f"{name} is encrypted. Unpack it with the password, and save it without one")
    with _in_sentences(path, name):
        with archive.open(info) as file:
            # Only this much is read, because a header may claim to be gigabytes long.
            start = io.BytesIO(file.read(_LONGEST_HEADER + 12))
        version = np.lib.format.read_magic(start)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"the format's version is {version[0]}.{version[1]}, which numpy does not know")
        # Version 3 differs from version 2 only in the names of fields, and an array of numbers has no fields.
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(start, max_header_size=_LONGEST_HEADER)
    array = _Member(info, shape, dtype, start.tell(), info.file_size - start.tell())
    _check_header(path, name, array)
    return array


def _check_header(path: str, name: str, array: _Member) -> None:
    if array.dtype.kind == "O":
        raise _unreadable(path, f"{name} holds Python objects, which numpy pickles")
    if array.dtype.kind not in "fiub":
        raise ConfigError(f"{path}: {name} has dtype {array.dtype}: expected numbers, e.g. float32")
    wanted = "(samples, features)" if name.startswith("x") else "(samples,) or (samples, 1)"
    dimensions = len(array.shape)
    right = dimensions == 2 if name.startswith("x") else array.shape[1:] in ((), (1,)) and dimensions > 0
    if not right or min(array.shape) < 0:
        raise ConfigError(f"{path}: {name} has shape {array.shape}: expected {wanted}")
    if array.size == 0:
        raise ConfigError(f"{path}: {name} has shape {array.shape}: expected at least one number")
    if array.bytes > array.held_bytes:
        raise _unreadable(
            path,
            f"the header of {name} promises {array.bytes:,} bytes of numbers, and the file holds "
            f"{max(array.held_bytes, 0):,}",
        )


def _check_memory(path: str, arrays: Iterable[_Member]) -> None:
    """Check that the arrays fit into the memory.

    The worker keeps all of them as float32, and while it reads an array it also holds it as it is stored.
    Raises ConfigError: they do not fit.
    """
    kept = sum(4 * array.size for array in arrays)
    stored = max((array.bytes for array in arrays if array.dtype != np.float32), default=0)
    memory = physical_memory_bytes()
    if memory and kept + stored > memory:
        raise ConfigError(
            f"{path}: the arrays would take {(kept + stored) / 2**30:,.0f} GiB, and this machine has "
            f"{memory / 2**30:,.0f} GiB of memory. Make a file with fewer samples or features"
        )


def _pieces(
    path: str, archive: zipfile.ZipFile, name: str, array: _Member
) -> Iterator[np.ndarray[Any, np.dtype[np.float32]]]:
    """Yield all the numbers of an array as float32, in the order of the file."""
    with _in_sentences(path, name), archive.open(array.info) as file:
        file.read(array.offset)
        left = array.bytes
        while left:
            content = file.read(min(left, _PIECE_BYTES // array.dtype.itemsize * array.dtype.itemsize))
            if not content:
                raise EOFError(f"{left:,} bytes of its {array.bytes:,} are missing")
            left -= len(content)
            with np.errstate(over="ignore", invalid="ignore"):
                yield np.frombuffer(content, array.dtype).astype(np.float32)
        file.read(1)  # zipfile verifies the checksum only when it reads beyond the end


def _checked(path: str, name: str, pieces: Iterable[np.ndarray[Any, Any]]) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the same pieces, and check that all numbers are finite.

    Raises ConfigError: some numbers are not finite. It is raised after the last piece.
    """
    bad = 0
    for piece in pieces:
        bad += int(np.count_nonzero(~np.isfinite(piece)))
        yield piece
    if bad:
        raise ConfigError(
            f"{path}: {name} holds {bad} values that are NaN, infinite or too large for float32: "
            "expected finite numbers"
        )


def _labels(pieces: Iterable[np.ndarray[Any, Any]]) -> Labels:
    low, high = math.inf, -math.inf
    values: set[float] | None = set()
    for piece in pieces:
        low, high = min(low, float(piece.min())), max(high, float(piece.max()))
        if values is not None:
            values.update(np.unique(piece).tolist())
            if len(values) > MANY:
                values = None
    return Labels(low, high, None if values is None else tuple(sorted(values)))
