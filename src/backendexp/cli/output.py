"""Printing never ends an experiment: a problem with stdout or stderr must not cost any results.

If the reader leaves (`| head`), the terminal is closed or the disk is full, only the printing stops. If the
encoding lacks a character, as ASCII lacks the minus sign, another character is printed in its place.
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
# These characters appear in our own text, tables and figures. Any other character that the encoding lacks is
# printed as its escape code.
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
# These errors mean that the reader has left. A closed pipe raises EINVAL on Windows, and a closed terminal
# raises EIO on Linux.
_NOBODY_READS = {errno.EPIPE, errno.ECONNRESET, errno.EIO, errno.EINVAL}


def protect() -> None:
    """Make sure that printing to stdout or stderr never raises UnicodeEncodeError or OSError."""
    codecs.register_error(_ERRORS, _show_otherwise)
    sys.stdout = _protected(sys.stdout, sys.__stdout__)
    sys.stderr = _protected(sys.stderr, sys.__stderr__)


def lost() -> str | None:
    """Return why stdout did not accept everything that was printed, or None.

    A reader that has left does not count as a loss.
    """
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
    """Writes to a descriptor until writing fails, and drops the rest.

    lost: the reason why not everything was written; None if everything was, or if the reader left.
    """

    lost: str | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:
                count = super().write(rest)
                if count is None:  # the pipe is full, and it has been made non-blocking
                    select.select([], [self], [])
                rest = rest[count or 0 :]
        except OSError as error:
            if error.errno not in _NOBODY_READS:
                self.lost = error.strerror
        return size


class _Text(io.TextIOWrapper):
    """Wraps stdout or stderr of this process and keeps its encoding."""

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
    """Return the protected stream.

    stream: the stream that is in use. original: the stream that Python created at the start. If they differ,
    a test or a notebook has replaced it, and `stream` is returned as it is.
    """
    if stream is None:  # the descriptor is closed: `>&-`
        return Path(os.devnull).open("w", encoding="utf-8")
    if stream is not original:
        return stream
    stream.flush()
    if type(getattr(stream.buffer, "raw", stream.buffer)) is io.FileIO:
        return _Text(stream)
    stream.reconfigure(errors=_ERRORS)  # the console of Windows, which has no descriptor
    return stream
