"""Builds a namespace of ops out of Keras's NumPy functions and the symbolic functions of the same names,
which replace them in a trace.
"""

import inspect
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from keras_theano.symbolic.limits import refusal
from keras_theano.tracing import trace
from keras_theano.tracing.array import as_arrays
from keras_theano.tracing.values import refuse_none

# The module in keras_theano.symbolic for each namespace.
_TRACED_MODULES = {name: name for name in ("core", "image", "linalg", "math", "nn", "numpy")}
_TRACED_MODULES["rnn"] = "recurrence"


# Arguments of ops that are not tensors, or that may be None although they have no default. Nested structures,
# such as the state of a loop, may contain None.
_MAY_BE_NONE = (
    *("axis", "axes", "dtype", "shape", "newshape", "output_shape", "spatial_dims", "x_min", "x_max"),
    *("init", "init_val", "loop_vars", "elems", "elements", "variable", "num_classes"),
    *("f", "fn", "function", "fun", "pyfunc", "body", "body_fun", "cond", "true_fn", "false_fn", "branches"),
    "device_name",
)
_ABSENT: Any = object()
# Ops that take a function which may read traced values, even if no other argument is traced.
_LOOPS = ("scan", "associative_scan", "while_loop", "fori_loop", "map", "vectorized_map")


def namespace(eager: ModuleType, **mended: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """Return the public functions of a module of Keras's NumPy backend, by name. If an argument is symbolic
    and a trace is open, the function of the same name in keras_theano.symbolic runs instead.

    mended: functions that replace Keras's own outside of a trace.
    """
    return {
        name: _dispatching(
            name,
            mended.get(name, function),
            eager.__name__.rsplit(".", 1)[1],
            _multiplies(function),
            function,
        )
        for name, function in vars(eager).items()
        if callable(function)
        and not isinstance(function, type)
        and not name.startswith("_")
        and getattr(function, "__module__", None) == eager.__name__
    }


# Functions of NumPy and SciPy that use a linear algebra library. They are recognized by the names that occur
# in the code which calls them.
_LINEAR_ALGEBRA = {"convolve", "corrcoef", "correlate", "cov", "dot", "einsum", "inner", "linalg", "matmul"}
_LINEAR_ALGEBRA |= {"matrix_power", "sl", "slogdet", "tensordot", "vdot"}


def _multiplies(function: Callable[..., Any]) -> bool:
    """Return whether a function of Keras's NumPy backend multiplies matrices, either itself or in a function
    that it calls.
    """
    waiting, seen = [function], set()
    while waiting:
        code = getattr(waiting.pop(), "__code__", None)
        if code is None or code in seen:
            continue
        seen.add(code)
        if _LINEAR_ALGEBRA.intersection(code.co_names):
            return True
        of_module = getattr(function, "__globals__", {})
        waiting += [of_module[name] for name in code.co_names if callable(of_module.get(name))]
    return False


def plain_signature(like: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a function without annotations. The functions of Keras's backends have none,
    and Keras's tests compare the signatures.
    """
    signature = inspect.signature(like)
    parameters = [part.replace(annotation=part.empty) for part in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=signature.empty)


def _dispatching(
    name: str, eager: Callable[..., Any], module: str, multiplies: bool, of_keras: Callable[..., Any]
) -> Callable[..., Any]:
    in_matrices = module == "linalg" or name == "matmul"
    needed = _needed(name, eager)
    finished = _unchanged if name in _NOT_TENSORS else as_arrays

    def op(*args: Any, **kwargs: Any) -> Any:
        for place, argument in needed:
            value = args[place] if place < len(args) else kwargs.get(argument, _ABSENT)
            if value is None or isinstance(value, (list, tuple)):
                refuse_none(value, f"`{argument}` of keras.ops.{name}")
        if trace.current() is not None:
            from keras_theano.tracing.tensor import is_traced

            if is_traced(args) or is_traced(kwargs) or name in _LOOPS:
                return traced_op(module, name)(*args, **kwargs)
        if multiplies:
            from keras_theano.execution.threads import limited_for

            with limited_for(args + tuple(kwargs.values()), in_matrices), np.errstate(all="ignore"):
                return finished(eager(*args, **kwargs))
        with np.errstate(all="ignore"):  # infinities and NaN are ordinary values, as on the other backends
            return finished(eager(*args, **kwargs))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = eager.__doc__
    op.__wrapped__ = eager  # type: ignore[attr-defined]
    op.__signature__ = plain_signature(of_keras)  # type: ignore[attr-defined]
    return op


# These return something else than tensors, or whatever a function of the user returns.
_NOT_TENSORS = {"convert_to_numpy", "device_scope", "cond", "switch", "ndim", "size", "shape", "vectorize"}


def _unchanged(results: Any) -> Any:
    return results


def _needed(name: str, op: Callable[..., Any]) -> list[tuple[int, str]]:
    """Return the positions and names of those arguments that are tensors or numbers and may not be None."""
    if name == "convert_to_numpy":  # every backend accepts None here
        return []
    return [
        (place, argument.name)
        for place, argument in enumerate(inspect.signature(op).parameters.values())
        if argument.kind is argument.POSITIONAL_OR_KEYWORD
        and argument.name not in _MAY_BE_NONE
        and (argument.default is argument.empty or type(argument.default) is float)
    ]


def load_symbolic() -> None:
    """Import the symbolic functions of all namespaces, which a call would import when it needs them."""
    for module in _TRACED_MODULES:
        _symbolic(module)


def _symbolic(module: str) -> ModuleType:
    return import_module(f"keras_theano.symbolic.{_TRACED_MODULES[module]}")


def traced_op(module: str, name: str) -> Callable[..., Any]:
    """Return the symbolic function for an op.

    module: the namespace, such as "numpy".
    Raises NotImplementedError if there is no such function.
    """
    function = getattr(_symbolic(module), name, None) if module in _TRACED_MODULES else None
    if function is None:
        raise refusal(f"image.{name}" if module == "image" else name)
    return function  # type: ignore[no-any-return]
