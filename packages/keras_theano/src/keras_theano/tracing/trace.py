"""Keeps the open trace. While a trace is open, variables are symbolic, and so is everything that is computed
from them.

This module does not need PyTensor, so eager work never waits for its import.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_theano.tracing.tensor import Tensor
    from keras_theano.tracing.variable import Variable

# PyTensor's compilers have no kernels for float16, and NumPy does not know bfloat16. Mixed precision would
# compute in these dtypes. Here it computes in float32, which is wider and never narrower.
WIDENED = {"float16": "float32", "bfloat16": "float32"}


class Trace:
    """The current values of variables during one run of a Python function with symbolic inputs.

    parent: the trace that encloses a branch of `cond`. The branch starts with its values.
    """

    def __init__(self, parent: "Trace | None" = None) -> None:
        self._parent = parent
        self._values: dict[int, tuple[Variable, Tensor]] = {}
        # The assigned values that were not read since.
        self._unread: set[int] = set()

    def read(self, variable: "Variable") -> "Tensor":
        """Return the current value. Its gradient is one with respect to the variable, also after an
        assignment, as on TensorFlow and PyTorch: it does not reach what the assigned value was computed from.
        """
        key = id(variable)
        if key in self._unread:
            self._unread.remove(key)
            self._values[key] = (variable, variable.holding(self._values[key][1]))
        if key in self._values:
            return self._values[key][1]
        if self._parent is not None:
            return self._parent.read(variable)
        return self._start(variable)

    def _start(self, variable: "Variable") -> "Tensor":
        return variable.symbolic()

    def assign(self, variable: "Variable", value: "Tensor") -> None:
        self.write(variable, value)
        self._unread.add(id(variable))

    def write(self, variable: "Variable", value: "Tensor") -> None:
        """Let `value` be the current value, with its own gradient: it replaces the variable in this trace, or
        was read from it in branches or steps.
        """
        self._values[id(variable)] = (variable, value)
        self._unread.discard(id(variable))

    @property
    def updates(self) -> list[tuple["Variable", "Tensor"]]:
        """The variables that were assigned to, each with its last value, in the order of their first
        assignments.
        """
        return list(self._values.values())

    def branch(self) -> "Trace":
        return type(self)(self)

    def computed_in(self, dtype: str) -> str:
        """Return the dtype in which values of this dtype are computed."""
        return WIDENED.get(dtype, dtype)


class ShapeTrace(Trace):
    """A trace for the shapes and dtypes of the results alone. Nothing will be computed, so variables need no
    values and results have the dtypes that Keras gives them.

    half: the dtype that float16 stands for. PyTensor has no dtype bfloat16.
    """

    half = "float16"

    def _start(self, variable: "Variable") -> "Tensor":
        self.write(variable, variable.without_value())
        return self.read(variable)

    def computed_in(self, dtype: str) -> str:
        if self._parent is not None:
            return self._parent.computed_in(dtype)
        if dtype == "bfloat16":
            self.half = dtype
            return "float16"
        return dtype


class _State(threading.local):
    trace: Trace | None = None


_state = _State()


def current() -> Trace | None:
    """Return the trace that is open in this thread, or None."""
    return _state.trace


@contextmanager
def opened(trace: Trace | None) -> Iterator[None]:
    """In this context, `trace` is the current trace. If it is None, there is no trace, and everything is
    computed by NumPy.
    """
    before, _state.trace = _state.trace, trace
    try:
        yield
    finally:
        _state.trace = before
