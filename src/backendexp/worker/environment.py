"""Lists what the worker's interpreter has installed, from the names of folders alone.

This takes milliseconds. The packaging libraries would take a tenth of a second, and Python 3.7 does not have
them.
"""

import importlib.util
import os
import re
import sys

_METADATA = re.compile(r"^(?P<name>.+?)-(?P<version>[^-]+)(-py[\d.]+)?\.(dist|egg)-info$")


def installed_packages():
    """Map the name of every distribution on sys.path, as its folder spells it, to its version."""
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
    """Return whether the engine starts with an "empty" or a "filled" cache of compiled code.

    Returns None if the engine keeps no compiled code on disk.
    """
    if backend != "theano" or _is_interpreted():
        return None
    folder = os.environ.get("BACKENDEXP_COMPILE_CACHE", "")
    for place, _, files in os.walk(folder):
        # The code of the native tier of keras_theano.
        if os.path.basename(place) == "keras_theano" and files:
            return "filled"
        # Theano also compiles code for itself when it is imported. That code is in other folders, and exists
        # before any model is compiled.
        of_a_model = os.path.basename(place).startswith("tmp")
        if of_a_model and any(name.endswith((".so", ".pyd")) for name in files):
            return "filled"
    return "empty"


def _is_interpreted():
    """Return whether Theano on Keras 3 runs in its interpreter, which compiles nothing."""
    return "PYTENSOR_FLAGS" in os.environ and os.environ.get("KERAS_THEANO_MODE") == "interpreter"


def importable(modules):
    """Return those of `modules` that can be imported, without importing them."""
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
