"""stdout and stderr cost no results: what they cannot show is shown otherwise, and what they cannot take any
more is dropped.

A reader that leaves (`| head`), a terminal that is closed, a full disk: printing ends, nothing else does. A
character that the encoding lacks, as ASCII lacks the minus sign, becomes one that it has.
"""

import codecs
import errno
import io
import os
import select
import sys
from pathlib import Path
from typing import Any

_ERRORS = "backendexp.shown_otherwise"
# What our own words, tables and figures are written with. Of all else the code is shown.
_OTHERWISE = {
    "\N{MINUS SIGN}": "-",
    "\N{MIDDLE DOT}": "|",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{LEFTWARDS ARROW}": "<-",
    "\N{ALMOST EQUAL TO}": "~",
    "\N{NOT EQUAL TO}": "!=",
    "\N{NO-BREAK SPACE}": " ",
}
# The reader has left. A closed pipe is EINVAL on Windows, a closed terminal EIO on Linux.
_NOBODY_READS = {errno.EPIPE, errno.ECONNRESET, errno.EIO, errno.EINVAL}


def protect() -> None:
    """From here on, printing to stdout and stderr raises neither UnicodeEncodeError nor OSError."""
    codecs.register_error(_ERRORS, _show_otherwise)
    sys.stdout = _protected(sys.stdout, sys.__stdout__)
    sys.stderr = _protected(sys.stderr, sys.__stderr__)


def lost() -> str | None:
    """Why stdout did not take all that was printed, or None. That its reader has left is no loss."""
    sys.stdout.flush()
    return getattr(sys.stdout, "lost", None)


def _show_otherwise(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    shown = [
        _OTHERWISE.get(character) or character.encode("ascii", "backslashreplace").decode()
        for character in error.object[error.start : error.end]
    ]
    return "".join(shown), error.end


class _Lasting(io.FileIO):
    """A descriptor that is written to for as long as somebody takes it. lost: why it took not all of it."""

    lost: str | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:
                count = super().write(rest)
                if count is None:  # the pipe is full, and somebody has made it non-blocking
                    select.select([], [self], [])
                rest = rest[count or 0 :]
        except OSError as error:
            if error.errno not in _NOBODY_READS:
                self.lost = error.strerror
        return size


class _Text(io.TextIOWrapper):
    """stdout or stderr of this process, in its own encoding."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._raw = _Lasting(stream.fileno(), "w", closefd=False)
        unbuffered = isinstance(stream.buffer, io.FileIO)  # python -u
        super().__init__(
            self._raw if unbuffered else io.BufferedWriter(self._raw),
            encoding=stream.encoding,
            errors=_ERRORS,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )

    @property
    def lost(self) -> str | None:
        return self._raw.lost


def _protected(stream: Any, original: Any) -> Any:
    """stream: as it is. original: as Python made it; another is a test's or a notebook's, and stays."""
    if stream is None:  # the descriptor is closed: `>&-`
        return Path(os.devnull).open("w", encoding="utf-8")
    if stream is not original:
        return stream
    stream.flush()
    if type(getattr(stream.buffer, "raw", stream.buffer)) is io.FileIO:
        return _Text(stream)
    stream.reconfigure(errors=_ERRORS)  # the console of Windows, which has no descriptor
    return stream
