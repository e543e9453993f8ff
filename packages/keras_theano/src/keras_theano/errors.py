"""The exceptions that belong to the Theano backend.

RuntimeError
└── CompilerMissing   the mode is KERAS_THEANO_MODE=c, and there is no C++ compiler
"""


class CompilerMissing(RuntimeError):
    """The mode needs a compiler that is not installed."""
