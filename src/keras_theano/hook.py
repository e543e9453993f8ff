"""Makes Keras know the backend `theano`, without a change to Keras on disk.

`keras_theano.pth` calls `install` when Python starts, so nothing here may cost a script that does not use
Keras. Keras chooses its backend with chains of `if backend() == "jax": ... elif backend() == "numpy": ...` in
a few of its modules. When one of them is imported under KERAS_BACKEND=theano, branches.py extends it. Under
any other backend Keras loads as it is.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

BACKEND = "theano"
KNOWN_KERAS = "3.15"
# The modules of Keras 3.15 that choose by the backend's name and know "numpy".
_DISPATCHING = (
    "keras.src.backend",
    "keras.src.layers.layer",
    "keras.src.models.model",
    "keras.src.export.saved_model",
    "keras.src.utils.backend_utils",
)


def install() -> None:
    """Put the finder in front, once. It looks at the backend's name when Keras is imported, not now."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def chosen() -> bool:
    """Whether Keras is to run on this backend, as Keras itself decides it: the environment variable, then
    keras.json.
    """
    name = os.environ.get("KERAS_BACKEND")
    if name:
        return name == BACKEND
    import json
    from pathlib import Path

    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    try:
        return bool(json.loads((home / "keras.json").read_text()).get("backend") == BACKEND)
    except (OSError, ValueError, AttributeError):  # Keras itself complains about a broken file
        return False


class _Finder:
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _DISPATCHING or not chosen():
            return None
        from importlib.machinery import PathFinder

        from keras_theano.branches import Loader

        if name == "keras.src.backend":
            from keras.src.version import __version__

            require_known(__version__)
            _require_pytensor()
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = Loader(name, spec.origin)
        return spec


def require_known(keras_version: str) -> None:
    """Raises ImportError: a version of Keras whose backends are laid out in another way, as 3.16's are."""
    if not keras_version.startswith(f"{KNOWN_KERAS}."):
        raise ImportError(
            f"KERAS_BACKEND=theano knows Keras {KNOWN_KERAS}, and this is Keras {keras_version}. "
            f"Install the one it knows: pip install 'keras=={KNOWN_KERAS}.*'"
        )


def _require_pytensor() -> None:
    from importlib.util import find_spec

    if find_spec("pytensor") is None:
        raise ImportError(
            "KERAS_BACKEND=theano runs on PyTensor, which is not installed. "
            "Install it with: pip install 'pytensor>=3,<4'"
        )
