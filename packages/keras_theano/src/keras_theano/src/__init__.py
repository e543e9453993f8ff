"""The package that Keras 3.16 imports for the backend `theano`, in the shape that Keras asks of every backend
that is a package of its own. Keras takes the names in `__all__`, and looks for the modules trainer, layer and
export. The names that Keras 3.15 asks for are in keras_3_15.py.
"""

# ruff: noqa: E402  # Keras's NumPy backend has to be imported in a way of its own, first.
from keras_theano.hook.deferred import import_numpy_backend

import_numpy_backend()

from types import ModuleType

from keras.src.backend.common.name_scope import name_scope

from keras_theano.src import ops, random, rnn
from keras_theano.src.ops.core import (
    IS_THREAD_SAFE,
    SUPPORTS_COMPLEX_DTYPES,
    SUPPORTS_GRADIENT,
    SUPPORTS_RAGGED_TENSORS,
    SUPPORTS_SPARSE_TENSORS,
    Variable,
    compute_output_spec,
    device_scope,
)

# A module with functions to spread tensors over devices: there are none.
distribution_lib: ModuleType | None = None

__all__ = [
    "IS_THREAD_SAFE",
    "SUPPORTS_COMPLEX_DTYPES",
    "SUPPORTS_GRADIENT",
    "SUPPORTS_RAGGED_TENSORS",
    "SUPPORTS_SPARSE_TENSORS",
    "Variable",
    "compute_output_spec",
    "device_scope",
    "distribution_lib",
    "name_scope",
    "ops",
    "random",
    "rnn",
]
