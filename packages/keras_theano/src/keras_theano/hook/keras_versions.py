"""What differs between the versions of Keras that the hook lets pass.

Keras 3.16 moved the ops of its backends into a package `ops`, gave its trainers other names, and mended an op
that recorded steps compute by themselves. Whatever else the backend imports from Keras lies in one place in
both.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from keras.src.version import __version__

from keras_theano.hook.known_keras import release_of


@dataclass(frozen=True)
class _Version:
    """numpy_ops: the package of the NumPy backend's namespaces of ops. jax_math: the module of JAX's Fourier
    transforms, which the NumPy backend imports. numpy_trainer, base_trainer: names of classes.
    sparsemax_projects: whether sparsemax is the projection of https://arxiv.org/abs/1602.02068. All backends
        of Keras 3.15 take sums of cumulative sums for its threshold.
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
    """The module of the NumPy backend's ops: core, image, linalg, math, nn or numpy."""
    return import_module(f"{_HERE.numpy_ops}.{namespace}")


def numpy_trainer() -> Any:
    """The class of the NumPy backend's trainer. Not to be asked for before Keras has its ops."""
    return getattr(import_module("keras.src.backend.numpy.trainer"), _HERE.numpy_trainer)


def base_trainer() -> Any:
    """The class that the trainers of all backends inherit. Not to be asked for before Keras has its ops."""
    return getattr(import_module("keras.src.trainers.trainer"), _HERE.base_trainer)
