"""Builds the message for a place that cannot be written: which place, why, and how to choose another."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backendexp.errors import UserError

RUNS = (
    "Make room, start in a writable folder, or choose other places: hydra.run.dir=FOLDER for a run, "
    "hydra.sweep.dir=FOLDER for a sweep, and tracking.uri=sqlite:////FOLDER/mlflow.db for the store"
)
STORE = "Make room, or choose another store: tracking.uri=sqlite:////FOLDER/mlflow.db"
CACHE = "Choose another cache: BACKENDEXP_CACHE=FOLDER"
TEMPORARY = "Choose a folder for temporary files: TMPDIR=FOLDER"
_ERRORS = ("EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EFBIG", "EEXIST", "ENOTDIR", "ENAMETOOLONG")
_CANNOT_WRITE = {getattr(errno, name) for name in _ERRORS if hasattr(errno, name)}


def sentence(error: OSError, place: "Path | str", remedy: str) -> str:
    """Return the message for a place that cannot be written.

    place: the place that was written to. It is shown if the error names no file, as the error of a full disk
        does not.
    remedy: what the user can do about it.
    """
    place = os.path.abspath(error.filename) if error.filename else place
    return f"{place} cannot be written: {error.strerror}. {remedy}"


@contextmanager
def writing(place: "Path | str", remedy: str) -> Iterator[None]:
    """Turn the errors of code that writes below `place` into UserError.

    remedy: what the user can do about it.
    Raises UserError: the place cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        raise UserError(sentence(error, place, remedy)) from error
