"""These tests import Keras into pytest's own process, on the backend that they test."""

import os

# Keras reads it once, when it is first imported. Children that want another backend say so themselves.
_before = os.environ.get("KERAS_BACKEND")
os.environ["KERAS_BACKEND"] = "theano"
import keras  # noqa: E402

if _before is None:
    del os.environ["KERAS_BACKEND"]
else:
    os.environ["KERAS_BACKEND"] = _before
assert keras.config.backend() == "theano", "another test imported Keras before, on another backend"
