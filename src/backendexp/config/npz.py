"""Checks the user's own arrays in an .npz file before anything slow is imported.

Only the arrays of inputs and of labels are looked at, whatever else the file holds. Their headers are
checked first. Their numbers are read, one piece at a time, only if the file holds as many bytes as the
headers promise and the memory is large enough.
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

from backendexp.config.labels import MANY, MANY_WHOLE, Labels
from backendexp.config.schema import physical_memory_bytes
from backendexp.errors import ConfigError

_NAMES = ("x_train", "y_train", "x_test", "y_test")
_INT32 = np.iinfo(np.int32)
# Shares that were rounded to float32, or printed with a few digits, may miss a sum of 1 by this much.
_SHARES_MISS = 1e-3
_EXPECTED = "Expected a file made by numpy.savez, of numbers only"
# numpy refuses longer headers, because parsing them would take too long.
_LONGEST_HEADER = 10_000
_PIECE_BYTES = 2**20


@dataclass(frozen=True)
class Contents:
    """Describes the arrays of the file.

    samples, test_samples: the number of rows for training and for testing.
    shapes: the shape of one sample of each input, by the names of the inputs. The name is "" if there is only
        x_train.
    labels: describes the labels, under the names of their arrays, such as y_train and y_test.
    """

    samples: int
    test_samples: int
    shapes: dict[str, tuple[int, ...]]
    labels: dict[str, Labels]

    @property
    def features(self) -> int | None:
        """The number of columns of x if there is one input of two axes; else None."""
        shape = self.shapes.get("", ())
        return shape[0] if len(shape) == 1 else None

    @property
    def outputs(self) -> list[dict[str, Labels]]:
        """The labels of each output: those for training and those for testing, under the same names."""
        endings = [name.removeprefix("y_train") for name in self.labels if name.startswith("y_train")]
        return [
            {name: self.labels[name] for name in (f"y_train{ending}", f"y_test{ending}")}
            for ending in endings
        ]


@dataclass(frozen=True)
class _Member:
    """Describes an array in the archive.

    fortran_order: whether the first axis varies fastest in the file.
    offset: the position at which its numbers begin, in bytes.
    held_bytes: the size of the numbers, in bytes, according to the archive.
    """

    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    offset: int
    held_bytes: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of a sample. It is (1,) if there is only one number a sample."""
        return self.shape[1:] or (1,)

    @property
    def columns(self) -> int:
        return math.prod(self.sample_shape)

    @property
    def whole(self) -> bool:
        """Whether the numbers are stored as whole numbers."""
        return self.dtype.kind in "iu"


def read(path: str) -> Contents:
    """Check the user's file and return its sizes and its labels.

    The file must hold x_train and x_test, shape (samples, ...), and y_train and y_test, shape (samples,) or
    (samples, columns). Several inputs are called x_train_NAME and x_test_NAME, and several outputs
    y_train_NAME and y_test_NAME. All must be finite numbers. The file may hold other arrays too.
    Raises ConfigError: an array cannot be used; the message names the array and what is wrong with it.
    """
    _check_is_a_file(path)
    with _opened(path) as archive:
        infos = _find(path, archive)
        arrays = {name: _read_header(path, archive, name, info) for name, info in infos.items()}
        _check_sizes(path, arrays)
        _check_memory(path, arrays.values())
        labels_of = {}
        for name, array in arrays.items():
            pieces = _checked(path, name, _as_int32(name, arrays), _pieces(path, archive, array, name))
            if name.startswith("y"):
                labels_of[name] = _rows(pieces, array) if array.columns > 1 else _labels(pieces)
            else:
                for _ in pieces:
                    pass
    return Contents(
        samples=arrays[_first("x_train", arrays)].shape[0],
        test_samples=arrays[_first("x_test", arrays)].shape[0],
        shapes={
            name.removeprefix("x_train").removeprefix("_"): array.shape[1:]
            for name, array in arrays.items()
            if name.startswith("x_train")
        },
        labels=labels_of,
    )


def _as_int32(name: str, arrays: dict[str, _Member]) -> bool:
    """Return whether the worker keeps an input as int32, see `worker.data.npz.make`."""
    pair = (name.replace("_test", "_train", 1), name.replace("_train", "_test", 1))
    return name.startswith("x") and all(arrays[one].whole for one in pair)


def _first(start: str, names: Iterable[str]) -> str:
    return next(name for name in names if name.startswith(start))


def _check_sizes(path: str, arrays: dict[str, _Member]) -> None:
    """Check that the arrays for training have as many rows as each other, and likewise those for testing, and
    that the samples of both have the same shape.
    """
    for part in ("train", "test"):
        first, *others = (name for name in arrays if name[2:].startswith(part))
        for other in others:
            rows, its = arrays[first].shape[0], arrays[other].shape[0]
            if rows != its:
                raise ConfigError(f"{path}: {first} has {rows} rows, and {other} has {its}")
    for name, array in arrays.items():
        if not name[2:].startswith("train"):
            continue
        other = name.replace("_train", "_test", 1)
        shape, its_shape = array.sample_shape, arrays[other].sample_shape
        if shape == its_shape:
            continue
        if name.startswith("y"):
            what, expected, found = "columns", shape[0], its_shape[0]
        elif len(shape) == len(its_shape) == 1:
            what, expected, found = "features", shape[0], its_shape[0]
        else:
            raise ConfigError(
                f"{path}: the samples of {name} have the shape {shape}, and those of {other} {its_shape}"
            )
        raise ConfigError(f"{path}: {name} has {expected} {what}, and {other} has {found}")


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
    """Return the members of the archive that hold the inputs and the labels.

    numpy.savez adds .npy to the names, but numpy.load accepts names without it. x_train_NAME is an input only
    if there is no x_train, and likewise for the others.
    """
    by_name = {info.filename: info for info in archive.infolist()}
    there = sorted({name.removesuffix(".npy") for name in by_name})
    wanted = [name for letter in "xy" for name in _names(letter, there)]
    found = {name: by_name.get(f"{name}.npy", by_name.get(name)) for name in _in_order(wanted)}
    missing = [name for name, info in found.items() if info is None]
    if missing:
        meant = [other for other in there if any(_alike(other, name) for name in missing)]
        hint = f"Did you mean {', '.join(meant)}? The names must be as expected. " if meant else ""
        shown = ", ".join(there[:20]) + (f" and {len(there) - 20} more" if len(there) > 20 else "")
        raise ConfigError(
            f"{path} lacks {', '.join(missing)}: {hint}expected the arrays {', '.join(found)}, "
            f"found {shown or 'none'}"
        )
    return {name: info for name, info in found.items() if info is not None}


def _names(letter: str, there: list[str]) -> list[str]:
    """Return the names of the arrays that the file must have, for the inputs (x) or for the labels (y).

    there: the names that the file has.
    """
    plain = [f"{letter}_train", f"{letter}_test"]
    if any(name in there for name in plain):
        return plain
    starts = [f"{name}_" for name in plain]
    endings = sorted({name[len(s) :] for name in there for s in starts if name.startswith(s)} - {""})
    return [start + ending for ending in endings for start in starts] or plain


def _in_order(names: list[str]) -> list[str]:
    """Return the names so that those for training come first, and the inputs before the labels."""
    return sorted(names, key=lambda name: name[2:].startswith("test"))


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
        shape, fortran_order, dtype = read(start, max_header_size=_LONGEST_HEADER)
    array = _Member(info, shape, dtype, fortran_order, start.tell(), info.file_size - start.tell())
    _check_header(path, name, array)
    return array


def _check_header(path: str, name: str, array: _Member) -> None:
    if array.dtype.kind == "O":
        raise _unreadable(path, f"{name} holds Python objects, which numpy pickles")
    if array.dtype.kind not in "fiub":
        raise ConfigError(f"{path}: {name} has dtype {array.dtype}: expected numbers, e.g. float32")
    if name.startswith("x"):
        right, wanted = len(array.shape) >= 2, "(samples, features), or more axes after the samples"
    else:
        right, wanted = (
            len(array.shape) in (1, 2),
            "(samples,) or (samples, columns); for other labels, there is data=custom",
        )
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

    The worker keeps all of them as float32 or int32, and while it reads an array it also holds it as it is
    stored.
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
    path: str, archive: zipfile.ZipFile, array: _Member, name: str
) -> Iterator[np.ndarray[Any, np.dtype[Any]]]:
    """Yield all the numbers of an array, in the order of the file."""
    with _in_sentences(path, name), archive.open(array.info) as file:
        file.read(array.offset)
        left = array.bytes
        while left:
            content = file.read(min(left, _PIECE_BYTES // array.dtype.itemsize * array.dtype.itemsize))
            if not content:
                raise EOFError(f"{left:,} bytes of its {array.bytes:,} are missing")
            left -= len(content)
            yield np.frombuffer(content, array.dtype)
        file.read(1)  # zipfile verifies the checksum only when it reads beyond the end


def _checked(
    path: str, name: str, as_int32: bool, pieces: Iterable[np.ndarray[Any, Any]]
) -> Iterator[np.ndarray[Any, np.dtype[np.float32]]]:
    """Yield the same pieces as float32, and check that all numbers are finite.

    as_int32: whether the worker keeps the numbers as int32, so that they must also fit into that.
    Raises ConfigError: some numbers cannot be used. It is raised after the last piece.
    """
    bad = 0
    for piece in pieces:
        if as_int32:
            bad += int(np.count_nonzero((piece < _INT32.min) | (piece > _INT32.max)))
        with np.errstate(over="ignore", invalid="ignore"):
            numbers = piece.astype(np.float32)
        bad += int(np.count_nonzero(~np.isfinite(numbers)))
        yield numbers
    if bad and as_int32:
        raise ConfigError(
            f"{path}: {name} holds {bad} values that are too large for int32: expected whole numbers from "
            f"{_INT32.min:,} to {_INT32.max:,}, or save it as float32"
        )
    if bad:
        raise ConfigError(
            f"{path}: {name} holds {bad} values that are NaN, infinite or too large for float32: "
            "expected finite numbers"
        )


def _labels(pieces: Iterable[np.ndarray[Any, Any]]) -> Labels:
    """Describe labels of one column."""
    low, high, count = math.inf, -math.inf, 0
    values: set[float] | None = set()
    whole = True
    for piece in pieces:
        low, high = min(low, float(piece.min())), max(high, float(piece.max()))
        count += len(piece)
        whole = whole and bool((piece == np.floor(piece)).all())
        if values is not None:
            values.update(np.unique(piece).tolist())
            if len(values) > (MANY_WHOLE if whole else MANY):
                values = None
    distinct = None if values is None else tuple(sorted(values))
    few = distinct is not None and len(distinct) <= MANY
    return Labels(
        low,
        high,
        distinct if few else None,
        count=count,
        more_values=None if few or not whole else distinct,
        all_whole=whole,
    )


def _rows(pieces: Iterable[np.ndarray[Any, Any]], array: _Member) -> Labels:
    """Describe labels of several columns. All of them are in memory together."""
    order: Any = "F" if array.fortran_order else "C"
    y = np.concatenate(list(pieces)).reshape(array.shape, order=order)
    values = np.unique(y)
    rows = None
    if bool(((y == 0) | (y == 1)).all()) and bool((y.sum(axis=1) == 1).all()):
        rows = "one-hot"
    elif y.min() >= 0 and bool((np.abs(y.sum(axis=1, dtype=np.float64) - 1) < _SHARES_MISS).all()):
        rows = "shares"
    return Labels(
        float(values[0]),
        float(values[-1]),
        tuple(values.tolist()) if len(values) <= MANY else None,
        columns=array.columns,
        rows=rows,
        count=len(y),
        all_whole=bool((y == np.floor(y)).all()),
    )
