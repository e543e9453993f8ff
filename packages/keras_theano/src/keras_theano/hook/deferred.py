"""Imports Keras's NumPy backend without JAX.

That backend imports JAX at the top of its modules, although only convolution, pooling and Fourier transforms
need it, and these have functions of their own in keras_theano.src. The import takes seconds where JAX is
installed, and fails where it is not.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from keras_theano.hook.keras_versions import JAX_MATH

_JAX = "jax"
_ABSENT: Any = object()


def import_numpy_backend() -> None:
    """Import keras.src.backend.numpy in such a way that the first op that needs JAX imports it."""
    before = {name: sys.modules.get(name, _ABSENT) for name in (_JAX, JAX_MATH)}
    sys.modules.update({name: _Deferred(name) for name, module in before.items() if not _is_loaded(module)})
    try:
        import_module("keras.src.backend.numpy")
    finally:
        for name, module in before.items():
            if module is _ABSENT:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _is_loaded(module: Any) -> bool:
    return module is not _ABSENT and module is not None  # None means that someone blocks the import


class _Deferred(ModuleType):
    """Stands for a module, and imports it when one of its attributes is used or called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self.__name__ == _JAX:
            return _Deferred(f"{_JAX}.{name}")
        if self.__name__ == JAX_MATH:
            return lambda *args, **kwargs: getattr(_real(self.__name__), name)(*args, **kwargs)
        return getattr(_real(self.__name__), name)


def _real(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            "this op of Keras's NumPy backend, which the Theano backend uses outside of training, runs on "
            f"JAX ({error}). Install it with: pip install 'jax[cpu]'"
        ) from error
