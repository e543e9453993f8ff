"""KERAS_BACKEND=theano: Keras 3 on PyTensor, the maintained line of Theano.

Nothing needs to be imported before Keras. This package is imported at every start of Python, so what it
offers is loaded when it is asked for:

gradients(loss, variables)   in a train_step of one's own
report()                     which tier ran each compiled program, and how often
to_pytensor(layer, x)        the PyTensor variable that a layer or model computes from another
"""

__version__ = "0.1.0"

_WHERE = {
    "gradients": "keras_theano.tracing.gradients",
    "report": "keras_theano.execution.programs",
    "to_pytensor": "keras_theano.interop",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_WHERE[name]), name)
