"""The differences between the versions of Keras that the hook accepts.

Keras 3.16 moved the ops of its backends into a package named `ops`, renamed its trainers, and corrected an op
that recorded steps compute themselves. Everything else that this backend imports from Keras has the same
place in both versions.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from keras.src.version import __version__

from keras_theano.hook.known_keras import release_of


@dataclass(frozen=True)
class _Version:
    """The names in one version of Keras.

    numpy_ops: the package that holds the NumPy backend's modules of ops.
    jax_math: the module with JAX's Fourier transforms, which the NumPy backend imports.
    numpy_trainer: the name of the NumPy backend's trainer class.
    base_trainer: the name of the class that all trainers inherit from.
    sparsemax_projects: whether sparsemax is the projection of https://arxiv.org/abs/1602.02068. In Keras
        3.15, all backends compute its threshold from a sum of cumulative sums instead.
    """

    numpy_ops: str
    jax_math: str
    numpy_trainer: str
    base_trainer: str
    sparsemax_projects: bool


_VERSIONS = {
    "3.15": _Version(
        numpy_ops="keras.src.backend.numpy",
        jax_math="keras.src.backend.jax.math",
        numpy_trainer="NumpyTrainer",
        base_trainer="Trainer",
        sparsemax_projects=False,
    ),
    "3.16": _Version(
        numpy_ops="keras.src.backend.numpy.ops",
        jax_math="keras.src.backend.jax.ops.math",
        numpy_trainer="Trainer",
        base_trainer="BaseTrainer",
        sparsemax_projects=True,
    ),
}
_HERE = _VERSIONS[release_of(__version__)]

JAX_MATH = _HERE.jax_math
SPARSEMAX_PROJECTS = _HERE.sparsemax_projects


def numpy_ops(namespace: str) -> ModuleType:
    """Return the NumPy backend's module for a namespace of ops: core, image, linalg, math, nn or numpy."""
    return import_module(f"{_HERE.numpy_ops}.{namespace}")


def numpy_trainer() -> Any:
    """Return the class of the NumPy backend's trainer. Call this only after Keras has loaded its ops."""
    return getattr(import_module("keras.src.backend.numpy.trainer"), _HERE.numpy_trainer)


def base_trainer() -> Any:
    """Return the class that the trainers of all backends inherit from. Call this only after Keras has loaded
    its ops.
    """
    return getattr(import_module("keras.src.trainers.trainer"), _HERE.base_trainer)
