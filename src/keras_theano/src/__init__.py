"""The door for Keras 3.16: the package that it imports for the backend `theano`, in the shape that it asks of
every backend that is a package of its own. All of it is passed on from keras_theano.backend.

Keras takes the names in `__all__`, and looks for the modules trainer, layer and export.
"""

from types import ModuleType

from keras_theano.backend import (
    IS_THREAD_SAFE,
    SUPPORTS_COMPLEX_DTYPES,
    SUPPORTS_GRADIENT,
    SUPPORTS_RAGGED_TENSORS,
    SUPPORTS_SPARSE_TENSORS,
    Variable,
    compute_output_spec,
    device_scope,
    name_scope,
    random,
)
from keras_theano.src import ops, rnn

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
