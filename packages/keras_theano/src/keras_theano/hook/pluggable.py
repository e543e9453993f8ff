"""Adds the name "theano" to the set of backends that Keras 3.16 takes from separate packages.

For each name in that set, Keras imports `keras_<name>.src` and modules in it. This is why our package has a
folder `src`. Other modules copy the set when they are imported, so the name must be in it from the start.
"""

import ast

from keras_theano.hook.known_keras import BACKEND, MEND

_SET = "PLUGGABLE_BACKENDS"


def with_theano_pluggable(source: bytes, module: str, keras_version: str) -> ast.Module:
    """Return the syntax tree of the module of Keras that defines the set, with our name in the set.

    source: the source code of the module.
    module: its full name, for the error message.
    keras_version: the version of Keras, for the error message.
    Raises ImportError if the module does not list the names of exactly one such set.
    """
    tree = ast.parse(source)
    names = [
        literal
        for statement in tree.body
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and _assigns(statement, _SET)
        for literal in ast.walk(statement)
        if isinstance(literal, (ast.List, ast.Set, ast.Tuple)) and _holds_names(literal)
    ]
    if len(names) != 1:
        raise ImportError(
            f"keras_theano does not know this version of Keras, {keras_version}: {module} does not list the "
            f"names in {_SET}. {MEND}"
        )
    names[0].elts.append(ast.Constant(BACKEND))
    return ast.fix_missing_locations(tree)


def _assigns(statement: ast.Assign | ast.AnnAssign, name: str) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _holds_names(literal: ast.List | ast.Set | ast.Tuple) -> bool:
    return all(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in literal.elts)
