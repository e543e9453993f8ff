"""Calls of SciPy's BLAS and LAPACK. Fortran takes all arguments by their addresses."""

from collections.abc import Sequence

from keras_theano.execution.native.code import Code

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
