"""What is said where something cannot be written: what it is, why, and how to name another place."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backendexp.errors import UserError

RUNS = (
    "Make room, start in a folder that can be written, or name another: hydra.run.dir=FOLDER, of a sweep "
    "hydra.sweep.dir=FOLDER, and of the store tracking.uri=sqlite:////FOLDER/mlflow.db"
)
STORE = "Make room, or name another store: tracking.uri=sqlite:////FOLDER/mlflow.db"
CACHE = "Name another cache: BACKENDEXP_CACHE=FOLDER"
TEMPORARY = "Name a folder for temporary files: TMPDIR=FOLDER"
_ERRORS = ("EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EFBIG", "EEXIST", "ENOTDIR", "ENAMETOOLONG")
_CANNOT_WRITE = {getattr(errno, name) for name in _ERRORS if hasattr(errno, name)}


def sentence(error: OSError, place: "Path | str", remedy: str) -> str:
    """place: what was written, where the error names no file, as that of a full disk does not."""
    place = os.path.abspath(error.filename) if error.filename else place
    return f"{place} cannot be written: {error.strerror}. {remedy}"


@contextmanager
def writing(place: "Path | str", remedy: str) -> Iterator[None]:
    """For what writes below `place`. Raises UserError: it cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        raise UserError(sentence(error, place, remedy)) from error
