"""Where backendexp keeps what can be made again: built runtimes and compiled code."""

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
    """A folder below the cache: $BACKENDEXP_CACHE, or the user's cache directory. Not created: that is for
    `writable`.
    """
    root = os.environ.get("BACKENDEXP_CACHE") or platformdirs.user_cache_dir("backendexp", False)
    return Path(root).absolute().joinpath(*parts)


def writable(*parts: str) -> Path:
    """The same, created. Where the cache cannot be written, a folder among the temporary files: the user's
    own, and the same in every process. That is said once.

    Raises UserError: neither of them can be written.
    """
    place = folder(*parts)
    why = why_not(place)
    if why is None:
        return place
    why = why_not(folder()) or why  # one sentence for all of it
    instead = _temporary() / Path(*parts)
    if (also := why_not(instead)) is not None:
        raise UserError(places.sentence(also, instead, places.TEMPORARY))
    _say(f"{places.sentence(why, place, places.CACHE)}. {_temporary()} is used instead")
    return instead


def why_not(place: Path) -> OSError | None:
    """What stands in the way of writing a file to `place`, which is made, or None."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"room")
    except OSError as error:
        return OSError(error.errno, error.strerror, str(place))
    return None


def check_temporary() -> None:
    """Raises UserError: no folder for temporary files can be written."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:  # it names those that were tried
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
    # What somebody else has put there is not to be trusted.
    return place if own else Path(tempfile.mkdtemp(prefix="backendexp-"))


@functools.cache
def _say(text: str) -> None:
    print(f"backendexp: {text}", file=sys.stderr, flush=True)


def lock_file(of: str) -> Path:
    """A file to lock while one process at a time works on `of`, whatever that names. Its folder is there."""
    return writable("locks") / f"{hashlib.sha256(of.encode()).hexdigest()[:16]}.lock"
