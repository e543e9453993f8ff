"""The name of the backend, and the versions of Keras that it works with."""

BACKEND = "theano"
KNOWN_KERAS = ("3.15", "3.16")
# This is the one of them that has been released.
MEND = "Install one that it knows: pip install 'keras==3.15.*'"


def release_of(keras_version: str) -> str:
    """Return the part of a version that decides how Keras is laid out: "3.16" for "3.16.0.dev2026102704"."""
    return ".".join(keras_version.split(".")[:2])


def require_known(keras_version: str) -> None:
    """Raise ImportError if this version of Keras has not been tested. Its backends may be laid out
    differently.
    """
    if release_of(keras_version) not in KNOWN_KERAS:
        known = " and ".join(KNOWN_KERAS)
        raise ImportError(
            f"KERAS_BACKEND=theano knows Keras {known}, and this is Keras {keras_version}. {MEND}"
        )
