"""Facts about tensors for code that does not need PyTensor."""

from typing import Any

# The module with the functions behind Python's operators for symbolic tensors. It is
# keras_theano.src.ops.numpy. That module builds on this package, so it cannot be imported here and stores
# itself in this variable.
operators: Any = None

# Two numbers that stand for an unknown size, to find out which sizes depend on it. These are primes, so that
# no product of a layer's own sizes equals them by chance.
EXAMPLE_SIZES = (83, 89)


def refuse_none(x: Any, what: str = "a tensor") -> None:
    """Raise ValueError if `x` is None or a list that contains None. NumPy would turn None into NaN, 0 or
    False.

    what: what `x` is, for the error message.
    """
    if x is None:
        raise ValueError(
            f"None is not a valid value for {what}. Expected an array, a number or a list of them. In fit "
            "and evaluate, the labels of an output that has a loss may be missing."
        )
    if isinstance(x, (list, tuple)):
        for part in x:
            if part is None or isinstance(part, (list, tuple)):
                refuse_none(part, what)
