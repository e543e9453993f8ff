"""Makes deep graphs possible. PyTensor walks some graphs by recursive functions, one call for each node."""

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pytensor.graph.traversal import ancestors

# Among PyTensor's functions, those that compute gradients need the most frames: three, and one for a
# comprehension.
_FRAMES_A_VARIABLE = 4
# The recursion limit belongs to the process and not to a thread.
_limit = threading.RLock()


@contextmanager
def as_deep_as(outputs: Iterable[Any]) -> Iterator[None]:
    """In this context, Python's recursion limit allows calls as deep as the graph of `outputs`.

    A model of some hundred layers is deeper than the usual limit. The frames of Python code are on the heap,
    so only the limit stands in the way.
    """
    frames = _FRAMES_A_VARIABLE * sum(1 for _ in ancestors(list(outputs)))
    with _limit:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(before + frames)
        try:
            yield
        finally:
            sys.setrecursionlimit(before)
