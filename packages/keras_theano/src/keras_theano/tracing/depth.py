"""Deep graphs: PyTensor walks some of them by functions that call themselves, a node a call."""

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pytensor.graph.traversal import ancestors

# Of PyTensor's functions, those that derive a graph take the most: three, and one within a comprehension.
_FRAMES_A_VARIABLE = 4
# The limit is the process's, not the thread's.
_limit = threading.RLock()


@contextmanager
def as_deep_as(outputs: Iterable[Any]) -> Iterator[None]:
    """In here, Python's recursion limit allows for calls as deep as the graph of `outputs`: some hundred
    layers are deeper than the limit. Frames of Python code lie in the heap: the limit alone is in the way.
    """
    frames = _FRAMES_A_VARIABLE * sum(1 for _ in ancestors(list(outputs)))
    with _limit:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(before + frames)
        try:
            yield
        finally:
            sys.setrecursionlimit(before)
