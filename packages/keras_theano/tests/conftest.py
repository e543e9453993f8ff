"""Chooses the Theano backend, because these tests import Keras into the process of pytest."""

import os
import sys

# Keras imports these if they are installed, which takes more than half of the time of its import.
_unneeded = [name for name in ("sklearn", "pandas", "matplotlib") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_unneeded))  # type: ignore[arg-type]
# Keras reads this variable once, when it is first imported. Child processes that need another backend set it
# themselves.
_before = os.environ.get("KERAS_BACKEND")
os.environ["KERAS_BACKEND"] = "theano"
import jax  # noqa: E402
import keras  # noqa: E402
import pytensor  # noqa: E402

if _before is None:
    del os.environ["KERAS_BACKEND"]
else:
    os.environ["KERAS_BACKEND"] = _before
for _name in _unneeded:
    del sys.modules[_name]
# JAX computes what is expected of a few numbers, and compiles that in less time.
jax.config.update("jax_disable_most_optimizations", True)
# Steps are recorded in this way too. It takes a fifth less time.
pytensor.config.traceback__limit = 0
assert keras.config.backend() == "theano", "another test imported Keras before, on another backend"
