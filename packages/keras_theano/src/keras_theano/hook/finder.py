"""Makes the backend `theano` known to Keras, without changing Keras on disk.

`keras_theano.pth` calls `install` when Python starts, so this module must cost nothing in a script that does
not use Keras. If KERAS_BACKEND=theano, some modules of Keras are extended while they are imported:

- Keras 3.15 has chains of `if backend() == "jax": ... elif backend() == "numpy": ...` in five modules. See
branches.py.
- Keras 3.16 takes backends from separate packages, and one module lists their names. See pluggable.py.

With any other backend, Keras is loaded as it is.
"""

from __future__ import annotations

import os
import sys

from keras_theano.hook.known_keras import BACKEND, release_of, require_known

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ast import Module
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

# The modules of Keras 3.15 that choose by the name of the backend and have a branch for "numpy".
_DISPATCHING = (
    "keras.src.backend",
    "keras.src.layers.layer",
    "keras.src.models.model",
    "keras.src.export.saved_model",
    "keras.src.utils.backend_utils",
)
# The module of Keras 3.16 that lists the backends which are separate packages.
_LISTING = "keras.src.backend.config"
_EXTENDED = (*_DISPATCHING, _LISTING)


def install() -> None:
    """Put the finder in front of Python's own, unless it is there already. The name of the backend is read
    later, when Keras is imported.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def chosen() -> bool:
    """Return whether Keras will use this backend. Like Keras, look first at the environment variable and then
    at keras.json.
    """
    name = os.environ.get("KERAS_BACKEND")
    if name:
        return name == BACKEND
    import json
    from pathlib import Path

    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    try:
        return bool(json.loads((home / "keras.json").read_text(encoding="utf-8")).get("backend") == BACKEND)
    except (OSError, ValueError, AttributeError):  # Keras reports a broken file itself
        return False


class _Finder:
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _EXTENDED or not chosen():
            return None
        from keras.src.version import __version__

        if name == "keras.src.backend":  # Keras imports this module before the others
            require_known(__version__)
            _require_pytensor()
        extend = _extension(name, __version__)
        if extend is None:
            return None
        from importlib.machinery import PathFinder

        from keras_theano.hook.loader import Loader

        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = Loader(name, spec.origin, extend)
        return spec


def _extension(module: str, keras_version: str) -> Callable[[bytes], Module] | None:
    """Return the function that makes the syntax tree of a module of Keras from its source, or None if the
    module stays as it is.
    """
    if release_of(keras_version) == "3.15":
        if module not in _DISPATCHING:
            return None
        from keras_theano.hook.branches import with_branches_for_theano

        return lambda source: with_branches_for_theano(source, module)
    if module != _LISTING:
        return None
    from keras_theano.hook.pluggable import with_theano_pluggable

    return lambda source: with_theano_pluggable(source, module, keras_version)


def _require_pytensor() -> None:
    from importlib.util import find_spec

    if find_spec("pytensor") is None:
        raise ImportError(
            "KERAS_BACKEND=theano runs on PyTensor, which is not installed. "
            "Install it with: pip install 'pytensor>=3,<4'"
        )
