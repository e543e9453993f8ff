"""Keeps Python's garbage collector from searching while a step is recorded or compiled."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Pause the collector, unless it is off already.

    Recording makes many objects, which all stay, so the collector starts again and again. Each time it may
    look at all objects of the process. That takes a third of the first fit of a small network.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
