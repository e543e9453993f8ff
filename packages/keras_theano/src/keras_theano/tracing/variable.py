"""keras.Variable for the Theano backend: an array that eager code reads and that compiled code updates."""

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_theano.hook.keras_versions import numpy_ops
from keras_theano.tracing import conversion, trace
from keras_theano.tracing.array import Array
from keras_theano.tracing.dtypes import as_array

if TYPE_CHECKING:
    from pytensor.compile.sharedvalue import SharedVariable

    from keras_theano.tracing.tensor import Tensor

eager: Any = numpy_ops("core")


class Variable(eager.Variable):  # type: ignore[misc]
    """Reading the value eagerly makes a copy, because compiled code may update the array in place. In a trace
    the value is symbolic, and an assignment is recorded.
    """

    # The array in a list of length 1. When there is a shared variable, this list is its storage.
    _cell: list[Any] | None = None
    _shared: "SharedVariable | None" = None

    @property
    def _value(self) -> Any:
        open_trace = trace.current()
        if self._cell is None:
            # Whoever infers shapes needs no initial value.
            return open_trace.read(self) if isinstance(open_trace, trace.ShapeTrace) else None
        if open_trace is not None:
            return open_trace.read(self)
        return self._cell[0].astype(self._dtype).view(Array)

    @_value.setter
    def _value(self, value: Any) -> None:
        if value is None:
            self._cell = None
        elif self._cell is None:
            self._cell = [as_array(value, self._dtype)]
        else:
            self._cell[0] = as_array(value, self._dtype).astype(self._cell[0].dtype, copy=False)

    def _initialize(self, value: Any) -> None:
        self._value = value

    def _initialize_with_initializer(self, initializer: Any) -> None:
        with trace.opened(None):
            super()._initialize_with_initializer(initializer)

    def _direct_assign(self, value: Any) -> None:
        open_trace = trace.current()
        if open_trace is None:
            self._value = value
        else:
            from keras_theano.tracing.tensor import Tensor, as_stored

            open_trace.assign(self, Tensor(as_stored(value, self._dtype)))

    def _convert_to_tensor(self, value: Any, dtype: Any = None) -> Any:
        return conversion.convert_to_tensor(value, dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self.value, dtype=dtype)

    @property
    def shared(self) -> "SharedVariable":
        """The PyTensor shared variable that holds the value. For float16 and bfloat16, in which nothing is
        computed, it is float32 and holds numbers that the dtype can represent.

        Raises NotImplementedError if the dtype cannot be traced.
        """
        if self._shared is None:
            import pytensor

            from keras_theano.tracing.tensor import traceable

            assert self._cell is not None
            array = self._cell[0].astype(traceable(self._dtype), copy=False)
            self._shared = pytensor.shared(array, name=self.path, shape=array.shape, borrow=True)
            self._cell = self._shared.container.storage
        return self._shared

    def symbolic(self) -> "Tensor":
        """Return the symbolic value at the start of a call of the traced function."""
        from keras_theano.tracing.tensor import Tensor

        return Tensor(self.shared)

    def without_value(self) -> "Tensor":
        """Return a symbol of the variable's shape and dtype."""
        import pytensor.tensor as pt

        from keras_theano.tracing.tensor import Tensor, traceable

        return Tensor(pt.tensor(dtype=traceable(self._dtype), shape=tuple(self._shape)))

    def holding(self, value: "Tensor") -> "Tensor":
        """Return `value`, which was assigned to this variable, with a gradient that goes to the variable."""
        if not value.dtype.startswith("float"):
            return value
        from keras_theano.tracing.custom_gradient import with_gradient

        return with_gradient([value], [self.symbolic()], list)[0]

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        cell = state.pop("_cell", None)
        state.pop("_shared", None)
        return {**state, "_cell": None if cell is None else [cell[0].copy()]}

    # KerasVariable compares by value, so Python removes its hash. Dicts compare identities first, so the hash
    # of object works.
    __hash__ = object.__hash__
