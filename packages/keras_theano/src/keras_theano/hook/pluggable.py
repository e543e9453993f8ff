"""The name "theano" in the set of backends that Keras 3.16 takes from packages of their own.

For a name in that set Keras imports `keras_<name>.src` and modules below it: src/ is that door. Other modules
copy the set when they are imported, so it has to hold the name from its start.
"""

import ast

from keras_theano.hook.known_keras import BACKEND, MEND

_SET = "PLUGGABLE_BACKENDS"


def with_theano_pluggable(source: bytes, module: str, keras_version: str) -> ast.Module:
    """The syntax tree of the module of Keras that writes the set down, extended.

    Raises ImportError: it writes down no such set.
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
