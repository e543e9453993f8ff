"""The package that Keras 3.16 imports for the backend `theano`.

It has the form that Keras expects of every backend in a separate package: Keras takes the names in `__all__`
and looks for the modules trainer, layer and export. The names that Keras 3.15 expects are in keras_3_15.py.
"""

# ruff: noqa: E402  # Keras's NumPy backend must be imported first, and in a special way.
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

# Here Keras expects a module of functions that distribute tensors over devices. This backend has none.
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
