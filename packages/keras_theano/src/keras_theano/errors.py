"""What the Theano backend raises of its own.

RuntimeError
└── CompilerMissing   KERAS_THEANO_MODE=c, and no C++ compiler
"""


class CompilerMissing(RuntimeError):
    """The mode needs a compiler that is not installed."""
