"""Adds branches for "theano" to Keras 3.15's chains of `if backend() == ...`. Each is a copy of the branch
for "numpy" with the names changed.
"""

import ast
import copy
from typing import Any

from keras_theano.hook.known_keras import BACKEND, MEND


def with_branches_for_theano(source: bytes, module: str) -> ast.Module:
    """Return the syntax tree of a module of Keras, with branches for "theano".

    source: the source code of the module.
    module: its full name, for the error message.
    Raises ImportError if nothing in the module chooses a backend in the expected way.
    """
    tree = ast.parse(source)
    extend = _Extend()
    extend.visit(tree)
    if not extend.found:
        raise ImportError(
            f"keras_theano does not know this version of Keras: {module} has no branch for the NumPy backend."
            f" {MEND}"
        )
    return ast.fix_missing_locations(tree)


class _Extend(ast.NodeTransformer):
    """Extends `if X == "numpy": body` by `elif X == "theano": copy of body`, and adds the name to tuples that
    list the backends.
    """

    def __init__(self) -> None:
        self.found = 0

    def visit_If(self, node: ast.If) -> ast.AST:
        if not _compares_with_numpy(node.test):
            return self.generic_visit(node)
        self.found += 1
        twin: Any = _Rename().visit(copy.deepcopy(node))
        twin.orelse = [self.visit(statement) for statement in node.orelse]
        node.orelse = [twin]
        return node

    def visit_Tuple(self, node: ast.Tuple) -> ast.AST:
        names = [element.value for element in node.elts if isinstance(element, ast.Constant)]
        if {"numpy", "tensorflow"} <= set(names):
            node.elts.append(ast.Constant(BACKEND))
        return node


def _compares_with_numpy(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.ops[0], ast.Eq)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value == "numpy"
    )


_NUMPY = "keras.src.backend.numpy"


def _ours(module: str) -> str:
    """Return the module of keras_theano.src that replaces a module of Keras's NumPy backend."""
    if module == _NUMPY:
        return "keras_theano.src.keras_3_15"
    return module.replace(f"{_NUMPY}.core", "keras_theano.src.ops.core").replace(_NUMPY, "keras_theano.src")


class _Rename(ast.NodeTransformer):
    """Replaces the names of Keras's NumPy backend by ours."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(BACKEND) if node.value == "numpy" else node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        node.module = _ours(node.module or "")
        for alias in node.names:
            alias.asname = alias.asname or (None if alias.name == "*" else alias.name)
            alias.name = alias.name.replace("Numpy", "Theano")
        return node
