"""What the worker's interpreter has installed, read from folder names alone: it costs milliseconds,
where asking the packaging libraries costs a tenth of a second and does not exist on Python 3.7.
"""

import importlib.util
import os
import re
import sys

_METADATA = re.compile(r"^(?P<name>.+?)-(?P<version>[^-]+)(-py[\d.]+)?\.(dist|egg)-info$")


def installed_packages():
    """Name to version of every distribution on sys.path, in the spelling of its folder."""
    packages = {}
    for folder in sys.path:
        if not os.path.isdir(folder):
            continue
        for entry in os.listdir(folder):
            match = _METADATA.match(entry)
            if match:
                packages.setdefault(match.group("name"), match.group("version"))
    return packages


def compile_cache_state(backend):
    """ "empty" or "filled": the engine keeps compiled code on disk, and this is what it starts
    with. None: the engine keeps none.
    """
    if backend != "theano" or _is_interpreted():
        return None
    folder = os.environ.get("BACKENDEXP_COMPILE_CACHE", "")
    for place, _, files in os.walk(folder):
        if os.path.basename(place) == "numba" and files:  # PyTensor's
            return "filled"
        # What Theano compiles for itself at its import lies elsewhere, and is there before any model.
        of_a_model = os.path.basename(place).startswith("tmp")
        if of_a_model and any(name.endswith((".so", ".pyd")) for name in files):
            return "filled"
    return "empty"


def _is_interpreted():
    """On Keras 3, Theano starts in an interpreter, unless it is told otherwise."""
    return "PYTENSOR_FLAGS" in os.environ and os.environ.get("KERAS_THEANO_MODE") not in ("numba", "c")


def importable(modules):
    """Those of `modules` that could be imported, without importing them."""
    return [name for name in modules if importlib.util.find_spec(name) is not None]


if __name__ == "__main__":
    import json

    # Python puts this folder first on the path, where our module names could hide others.
    sys.path.pop(0)
    json.dump(
        {
            "python": "%d.%d.%d" % sys.version_info[:3],
            "packages": installed_packages(),
            "modules": importable(sys.argv[1:]),
        },
        sys.stdout,
    )
