"""Lowers PyTensor's scalar ops to operations of NumPy's dtypes: the dtypes in which NumPy would compute."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.special
from pytensor.scalar.basic import Cast, Clip, Identity, Second, Switch

from keras_theano.execution.native.scalar_code import OPERATIONS
from keras_theano.execution.native.work import DTYPES, Uncovered, View, Workshop

Rule = Callable[[Workshop, Sequence[View]], View]


def lowered(scalar: Any, parts: Sequence[View], dtype: str, shop: Workshop) -> View:
    """Return the view of the result of a scalar op on parts that broadcast to each other.

    scalar: PyTensor's scalar op.
    dtype: of the result.

    Raises Uncovered if there is no rule for the op, or for these dtypes.
    """
    if isinstance(scalar, (Cast, Identity)):
        return shop.cast(parts[0], dtype)
    if isinstance(scalar, Second):
        shape = np.broadcast_shapes(*[part.shape for part in parts])
        return shop.cast(parts[1].broadcast_to(shape), dtype)
    if isinstance(scalar, Clip):
        x, low, high = parts
        return shop.cast(_applied(np.minimum, [_applied(np.maximum, [x, low], shop), high], shop), dtype)
    if isinstance(scalar, Switch):
        condition, *choices = parts
        chosen = np.result_type(*[choice.dtype for choice in choices]).name
        operands = [shop.cast(condition, "bool"), *[shop.cast(choice, chosen) for choice in choices]]
        return shop.cast(shop.elementwise("where", operands, chosen), dtype)
    rule = _RULES.get(type(scalar).__name__)
    if rule is not None:
        return shop.cast(rule(shop, parts), dtype)
    return shop.cast(_by_name(scalar, parts, shop), dtype)


def _by_name(scalar: Any, parts: Sequence[View], shop: Workshop) -> View:
    spec = getattr(scalar, "nfunc_spec", None)
    if spec is None or spec[2] != 1:
        raise Uncovered(f"{scalar}")
    name, arguments, _ = spec
    function = getattr(scipy.special if "." in name else np, name.rsplit(".", 1)[-1])
    if not isinstance(function, np.ufunc):
        raise Uncovered(name)
    if len(parts) == arguments:
        return _applied(function, parts, shop)
    result = parts[0]  # sums, products, maxima and the like take any number of arguments
    for part in parts[1:]:
        result = _applied(function, [result, part], shop)
    return result


def _applied(function: np.ufunc, parts: Sequence[View], shop: Workshop) -> View:
    name = function.__name__
    if name not in OPERATIONS:
        raise Uncovered(name)
    *operands, result = _dtypes(function, [part.dtype for part in parts])
    if len(set(operands)) > 1 or not DTYPES.issuperset([*operands, result]):
        raise Uncovered(f"{name} of {operands}")
    if not OPERATIONS[name].takes(operands[0]):
        raise Uncovered(f"{name} of {operands}")
    return shop.elementwise(name, [shop.cast(part, operands[0]) for part in parts], result)


def _dtypes(function: np.ufunc, given: Sequence[str]) -> list[str]:
    asked: Any = (*[np.dtype(dtype) for dtype in given], *[None] * function.nout)
    try:
        return [dtype.name for dtype in function.resolve_dtypes(asked)]
    except TypeError as failure:
        raise Uncovered(f"{function.__name__} of {given}") from failure


def _float(parts: Sequence[View]) -> str:
    dtype = parts[0].dtype
    if dtype not in ("float32", "float64"):
        raise Uncovered(f"a function of {dtype}")
    return dtype


def _sigmoid(shop: Workshop, parts: Sequence[View]) -> View:
    dtype = _float(parts)
    one = shop.constant(np.ones((), dtype))
    negative = shop.elementwise("negative", parts, dtype)
    below = shop.elementwise("add", [one, shop.elementwise("exp", [negative], dtype)], dtype)
    return shop.elementwise("divide", [one, below], dtype)


def _softplus(shop: Workshop, parts: Sequence[View]) -> View:
    dtype = _float(parts)
    return shop.elementwise("logaddexp", [parts[0], shop.constant(np.zeros((), dtype))], dtype)


def _rounded(shop: Workshop, parts: Sequence[View]) -> View:
    (x,) = parts
    return shop.elementwise("rint", parts, x.dtype) if x.dtype.startswith("float") else x


_RULES: dict[str, Rule] = {"Sigmoid": _sigmoid, "Softplus": _softplus, "RoundHalfToEven": _rounded}
