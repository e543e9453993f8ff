"""What tensors are made of, for code that does not need PyTensor."""

from typing import Any

# The module of the functions behind Python's operators of symbolic tensors. It is keras_theano.src.ops.numpy,
# which builds on this package and so cannot be imported by it: it puts itself here.
operators: Any = None


def refuse_none(x: Any, what: str = "a tensor") -> None:
    """Raises ValueError: `x` is None, or a list that holds one. NumPy would make NaN, 0 or False of it."""
    if x is None:
        raise ValueError(
            f"None is not a valid value for {what}. Expected an array, a number or a list of them. In fit "
            "and evaluate, the labels of an output that has a loss may be missing."
        )
    if isinstance(x, (list, tuple)):
        for part in x:
            if part is None or isinstance(part, (list, tuple)):
                refuse_none(part, what)
