"""Keeps the files that can be made again, which are built runtimes and compiled code."""

import functools
import hashlib
import os
import sys
import tempfile
from pathlib import Path

import platformdirs

from backendexp import places
from backendexp.errors import UserError


def folder(*parts: str) -> Path:
    """Return the path of a folder in the cache, which is $BACKENDEXP_CACHE or the user's cache directory.

    The folder is not created; `writable` does that.
    """
    root = os.environ.get("BACKENDEXP_CACHE") or platformdirs.user_cache_dir("backendexp", False)
    return Path(root).absolute().joinpath(*parts)


def writable(*parts: str) -> Path:
    """Create the folder and return its path.

    If the cache cannot be written, a folder in the temporary directory is used instead, and a message says so
    once. That folder belongs to the user, and all processes use the same one.
    Raises UserError: neither of the two folders can be written.
    """
    place = folder(*parts)
    why = why_not(place)
    if why is None:
        return place
    why = why_not(folder()) or why  # so that one sentence covers the whole cache
    instead = _temporary() / Path(*parts)
    if (also := why_not(instead)) is not None:
        raise UserError(places.sentence(also, instead, places.TEMPORARY))
    _say(f"{places.sentence(why, place, places.CACHE)}. {_temporary()} is used instead")
    return instead


def why_not(place: Path) -> OSError | None:
    """Return the error that prevents writing a file into `place`, or None.

    The folder is created if it does not exist.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"room")
    except OSError as error:
        return OSError(error.errno, error.strerror, str(place))
    return None


def check_temporary() -> None:
    """Check that there is a writable folder for temporary files.

    Raises UserError: no folder for temporary files can be written.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:  # the error names the folders that were tried
        raise UserError(f"{error.strerror}. {places.TEMPORARY}") from error


@functools.cache
def _temporary() -> Path:
    check_temporary()
    user = os.getuid() if sys.platform != "win32" else 0
    place = Path(tempfile.gettempdir()) / f"backendexp-{user}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        own = place.lstat().st_uid == user
    except FileExistsError:
        own = False
    # A folder that belongs to another user cannot be trusted.
    return place if own else Path(tempfile.mkdtemp(prefix="backendexp-"))


@functools.cache
def _say(text: str) -> None:
    print(f"backendexp: {text}", file=sys.stderr, flush=True)


def lock_file(of: str) -> Path:
    """Return the path of a lock file, which lets only one process at a time work on `of`.

    of: any text that names the shared thing. The folder of the lock file is created.
    """
    return writable("locks") / f"{hashlib.sha256(of.encode()).hexdigest()[:16]}.lock"
