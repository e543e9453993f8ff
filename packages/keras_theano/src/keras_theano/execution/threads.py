"""Runs matrix products on one thread, unless they are large.

The threads of OpenBLAS wait for each other in busy loops. If another process uses a core, a product that
takes 0.1 ms on one thread takes milliseconds on two. On an idle machine, a second thread does not speed up a
product of that size. NumPy and SciPy each have their own copy of the library.
"""

import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from math import prod, sqrt
from typing import Any

from threadpoolctl import ThreadpoolController

# A number of multiplications. One thread takes about half a millisecond for this many.
LARGE = 2**24

_NOT_LIMITED = nullcontext()


class _OneThread:
    """A context in which the linear algebra libraries of this process use one thread.

    It may be nested, and several Python threads may be in it at the same time. The last one to leave restores
    the number of threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._libraries: list[tuple[Callable[[], int], Callable[[int], object]]] = []
        self._found_with: bool | None = None
        self._taken: list[tuple[Callable[[int], object], int]] = []

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                before = [(give, count()) for count, give in self._loaded()]
                self._taken = [(give, threads) for give, threads in before if threads > 1]
                for give, _ in self._taken:
                    give(1)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for give, threads in self._taken:
                    give(threads)

    @property
    def changes_something(self) -> bool:
        return self._inside > 0 or any(count() > 1 for count, _ in self._loaded())

    def _loaded(self) -> list[tuple[Callable[[], int], Callable[[int], object]]]:
        loaded = "scipy.linalg" in sys.modules
        if loaded != self._found_with:
            self._found_with = loaded
            found = ThreadpoolController().select(user_api="blas").lib_controllers
            self._libraries = [_calls(library) for library in found]
        return self._libraries


def _calls(library: Any) -> tuple[Callable[[], int], Callable[[int], object]]:
    """Return the function that reads the number of threads and the one that sets it. For OpenBLAS these are
    the library's own functions, because threadpoolctl looks them up by name at each call.
    """
    if library.internal_api == "openblas":
        for prefix in ("", "scipy_"):
            for suffix in ("", "64_", "_64"):
                count = getattr(library.dynlib, f"{prefix}openblas_get_num_threads{suffix}", None)
                give = getattr(library.dynlib, f"{prefix}openblas_set_num_threads{suffix}", None)
                if count is not None and give is not None:
                    return count, give
    return library.get_num_threads, library.set_num_threads


one_thread = _OneThread()


def limited(multiplications: float) -> AbstractContextManager[None]:
    """Return the context for a product with this number of multiplications."""
    return one_thread if multiplications < LARGE else _NOT_LIMITED


def limited_for(arguments: Iterable[Any], in_matrices: bool) -> AbstractContextManager[None]:
    """Return the context for a product of the arrays among the arguments, including those in lists.

    arguments: the arguments of an op.
    in_matrices: whether the last two axes are matrices that are multiplied one by one.

    The size of the product is estimated from the two largest arrays. The estimate is exact for square
    matrices.
    """
    sizes = [0.0, 0.0]
    for argument in arguments:
        for part in argument if isinstance(argument, (list, tuple)) else (argument,):
            shape = getattr(part, "shape", ())
            sizes.append(prod(shape[-2:] if in_matrices else shape))
    second, first = sorted(sizes)[-2:]
    return limited(first * sqrt(second or first))
