"""The arrays of shared variables, which native steps change in place."""

import weakref
from typing import Any

import numpy as np


class State:
    """The array of one shared variable, as all native steps see it.

    array: C contiguous. Only this object and the shared variable refer to it.
    shape: of the array.
    address: of its first element.

    An array that somebody else has put into the variable is copied, because others may refer to it, or two
    variables may share it.
    """

    def __init__(self, shared: Any) -> None:
        self._cell: list[Any] = shared.container.storage
        self._dtype = np.dtype(shared.type.dtype)
        self.array: np.ndarray[Any, Any] | None = None
        self.shape: tuple[int, ...] = ()
        self.address = 0

    def refresh(self) -> None:
        """Take over an array that has been assigned since the last step."""
        if self._cell[0] is not self.array:
            self.array = self._cell[0] = np.array(self._cell[0], self._dtype, order="C")
            self.shape = self.array.shape
            self.address = self.array.ctypes.data


_states: "weakref.WeakKeyDictionary[Any, State]" = weakref.WeakKeyDictionary()


def state_of(shared: Any) -> State:
    if shared not in _states:
        _states[shared] = State(shared)
    return _states[shared]
