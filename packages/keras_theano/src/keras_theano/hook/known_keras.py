"""The name of the backend, and the versions of Keras that it is known to work with."""

BACKEND = "theano"
KNOWN_KERAS = ("3.15", "3.16")
# Of those, the one that is released.
MEND = "Install one that it knows: pip install 'keras==3.15.*'"


def release_of(keras_version: str) -> str:
    """The part of a version that decides how Keras is laid out: "3.16" of "3.16.0.dev2026102704"."""
    return ".".join(keras_version.split(".")[:2])


def require_known(keras_version: str) -> None:
    """Raises ImportError: a version of Keras that nobody has looked at, whose backends may lie elsewhere."""
    if release_of(keras_version) not in KNOWN_KERAS:
        known = " and ".join(KNOWN_KERAS)
        raise ImportError(
            f"KERAS_BACKEND=theano knows Keras {known}, and this is Keras {keras_version}. {MEND}"
        )
