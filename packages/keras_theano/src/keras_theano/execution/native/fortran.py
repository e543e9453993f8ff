"""Calls of SciPy's BLAS and LAPACK. Fortran takes all arguments by their addresses."""

from collections.abc import Sequence

from keras_theano.execution.native.code import Code
from keras_theano.execution.native.work import View

# The letters with which the names of the functions begin.
LETTERS = {"float32": "s", "float64": "d"}


def call(code: Code, name: str, arguments: Sequence[str]) -> None:
    """Add a call. `objects` knows the addresses of the functions.

    arguments: the names of addresses.
    """
    code.declared.add(f"declare void @keras_theano_{name}({', '.join(['ptr'] * len(arguments))})")
    code.line(f"call void @keras_theano_{name}({', '.join(f'ptr {argument}' for argument in arguments)})")


def constant(code: Code, kind: str, number: int | str) -> str:
    """Return the address of a number."""
    name = f"@{kind}_{str(number).replace('-', 'minus')}"
    code.declared.add(f"{name} = private unnamed_addr constant {kind} {number}")
    return name


def layout(matrix: View) -> tuple[bool, int] | None:
    """Return how BLAS finds the elements of the matrices in the last two axes: whether they are transposed,
    and the distance between rows, or between columns if they are transposed. None means that it cannot.
    """
    (rows, columns), (down, right) = matrix.shape[-2:], matrix.strides[-2:]
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        return False, max(down, columns) if rows > 1 else columns
    if (down == 1 or rows == 1) and (right >= rows or columns == 1):
        return True, max(right, rows) if columns > 1 else rows
    return None
