"""KERAS_BACKEND=theano: Keras 3 on PyTensor, the maintained successor of Theano.

Nothing has to be imported before Keras. Python imports this package at every start, so each of these names is
loaded only when it is used:

explain(model)               what the native tier has made of a model's steps
gradients(loss, variables)   the gradients of a loss, for your own train_step
report()                     which tier ran each compiled program, and how often
to_pytensor(layer, x)        the PyTensor variable that a layer or a model computes from another one
"""

__version__ = "0.1.0"

_WHERE = {
    "explain": "keras_theano.execution.explanation",
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
