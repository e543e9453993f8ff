"""Checks the user's own functions before anything is started, by reading their files without running them."""

import ast
import importlib.machinery
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backendexp import spelling
from backendexp.errors import ConfigError
from backendexp.worker import user_code, user_files

# The modules of Keras that only its third generation has.
_ONLY_KERAS_3 = ("ops", "random", "saving", "tree", "distribution", "dtype_policies", "export", "quantizers")
# Up to this many names are listed in a message.
_MOST_NAMES = 10


@dataclass(frozen=True)
class _Signature:
    """What a function accepts, as far as its definition shows it.

    line: of the definition. names: of the parameters that can be given by name. required: those of them that
    have no default. unreachable: required parameters that cannot be given by name.
    open: whether it accepts any name.
    """

    line: int
    names: tuple[str, ...]
    required: tuple[str, ...]
    unreachable: tuple[str, ...]
    open: bool


def check(part: str, settings: Any, offered: Iterable[str], folder: str) -> dict[str, str]:
    """Check that a function of the user's exists and takes the arguments that are set for it.

    part: `data` or `model`. settings: a `user_code.Function`.
    offered: the names of further arguments that the function gets if it asks for them.
    folder: the folder in which the user works.
    Returns the paths of the function's files by their names, see `user_files.sources`.
    Raises ConfigError: there is no such file, module or function, it does not take these arguments, or a file
        is not Python.
    """
    key, target = f"{part}._target_", settings._target_
    _check_keys(part, settings.arguments)
    example = f"{key}=my_code.build or {key}=path/to/my_code.py:build"
    if not isinstance(target, str):
        raise ConfigError(f"{key} is {target!r}: expected the name of a function, e.g. {example}")
    try:
        found = user_files.find(target, folder)
    except user_files.NotFound as error:
        raise ConfigError(
            f"{key} is {target!r}, but {error}. {_nearest(error.missing, folder)}Write it as {example}"
        ) from error
    try:
        tree = user_files.parse(found.file)
        sources = user_files.sources(found, folder)
    except SyntaxError as error:
        where = f"{user_files.shown(error.filename or found.file, folder)}, line {error.lineno}"
        raise ConfigError(f"{key} is {target!r}, which cannot be read: {where}: {error.msg}") from error
    except OSError as error:
        raise ConfigError(f"{key} is {target!r}, which cannot be read: {error}") from error
    name, file = found.names[0], user_files.shown(found.file, folder)
    definitions = _defined(tree)
    if name not in definitions and "*" not in definitions and "__getattr__" not in definitions:
        callables = [known for known, node in definitions.items() if isinstance(node, _CALLABLE)]
        shown = ", ".join(callables[:_MOST_NAMES]) or "no function"
        raise ConfigError(
            f"{key} is {target!r}, but {file} has no {name!r}. "
            f"{spelling.nearest(name, callables)}It defines {shown}"
        )
    node = definitions.get(name)
    signature = _signature(node) if node is not None and len(found.names) == 1 else None
    if signature is not None:
        _check_arguments(part, f"{target} ({file}, line {signature.line})", settings, offered, signature)
    return dict(sources)


def generations(sources: Mapping[str, str]) -> tuple[int, ...]:
    """Return the generations of Keras that have the parts of Keras which the code of a function names.

    sources: the files of the function, see `check`.
    """
    for path in sources.values():
        for node in ast.walk(user_files.parse(path)):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                names = [f"{node.value.id}.{node.attr}"]
            else:
                continue
            if any(name.startswith("keras.") and name.split(".")[1] in _ONLY_KERAS_3 for name in names):
                return (3,)
    return (2, 3)


def _check_keys(part: str, arguments: dict[str, Any]) -> None:
    for name in user_code.RESERVED:
        if name in arguments:
            raise ConfigError(
                f"{part}.{name} is set, but backendexp calls your function itself and knows only _target_. "
                "Leave it out"
            )
    for name, value in arguments.items():
        if not str(name).isidentifier():
            raise ConfigError(f"{part}.{name} cannot be the name of an argument of a function")
        if _holds_target(value):
            raise ConfigError(
                f"{part}.{name} holds a _target_ of its own, but only {part}._target_ is called. Make this "
                "object in your function"
            )


def _holds_target(value: Any) -> bool:
    if isinstance(value, dict):
        return "_target_" in value or any(map(_holds_target, value.values()))
    return isinstance(value, list) and any(map(_holds_target, value))


def _nearest(missing: str | None, folder: str) -> str:
    """Suggest the nearest module of the folder."""
    if missing is None:
        return ""
    place = Path(folder, missing).parent if missing.endswith(".py") else Path(folder)
    try:
        names = [path.name for path in place.glob("*.py")]
    except OSError:
        return ""
    if missing.endswith(".py"):
        return spelling.nearest(Path(missing).name, names)
    suffixes = tuple(importlib.machinery.SOURCE_SUFFIXES)
    return spelling.nearest(missing, [name.removesuffix(".py") for name in names if name.endswith(suffixes)])


_CALLABLE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _defined(tree: ast.Module) -> dict[str, ast.AST | None]:
    """Return the names at the top level of a module.

    The value is the definition of a function or a class that is defined once, otherwise None. The name *
    stands for an import of all names of a module.
    """
    found: dict[str, ast.AST | None] = {}

    def add(name: str, node: ast.AST | None) -> None:
        found[name] = None if name in found else node

    def visit(statements: list[ast.stmt]) -> None:
        for statement in statements:
            if isinstance(statement, _CALLABLE):
                add(statement.name, statement)
                continue
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                for alias in statement.names:
                    add(alias.asname or alias.name.split(".")[0], None)
                continue
            for inner in ("body", "orelse", "finalbody"):
                visit(getattr(statement, inner, []))
            for handler in getattr(statement, "handlers", []):
                visit(handler.body)
            # The names that are bound inside a comprehension or a lambda are counted too, which only makes
            # the check more lenient.
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    found.setdefault(node.id, None)

    visit(tree.body)
    return found


def _signature(node: ast.AST) -> _Signature | None:
    """Return the signature of a definition, or None if the definition does not show it."""
    skip = 0
    function: ast.AST | None = node
    if isinstance(node, ast.ClassDef):
        own = [inner for inner in node.body if isinstance(inner, ast.FunctionDef)]
        function = next((inner for inner in own if inner.name == "__init__"), None)
        if any(inner.name == "__new__" for inner in own) or any(k.arg == "metaclass" for k in node.keywords):
            return None
        skip = 1
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) or function.decorator_list:
        return None
    about = function.args
    positional = [*about.posonlyargs, *about.args]
    without_default = positional[: len(positional) - len(about.defaults)]
    unreachable = [one.arg for one in about.posonlyargs[skip:] if one in without_default]
    required = [one.arg for one in without_default[skip:] if one not in about.posonlyargs]
    required += [
        one.arg for one, default in zip(about.kwonlyargs, about.kw_defaults, strict=True) if default is None
    ]
    names = [one.arg for one in positional[skip:] if one not in about.posonlyargs]
    names += [one.arg for one in about.kwonlyargs]
    line = getattr(node, "lineno", 0)
    return _Signature(line, tuple(names), tuple(required), tuple(unreachable), about.kwarg is not None)


def _check_arguments(
    part: str, who: str, settings: Any, offered: Iterable[str], signature: _Signature
) -> None:
    if signature.unreachable:
        raise ConfigError(
            f"{who} takes {signature.unreachable[0]} only by its position, but arguments are given by name"
        )
    for name in settings.arguments:
        if name not in signature.names and not signature.open:
            takes = ", ".join(f"{part}.{known}" for known in signature.names) or "no arguments"
            raise ConfigError(
                f"{part}.{name} is not an argument of {who}. "
                f"{spelling.nearest(f'{part}.{name}', [f'{part}.{known}' for known in signature.names])}"
                f"It takes {takes}"
            )
    missing = [n for n in signature.required if n not in settings.arguments and n not in offered]
    if missing:
        names = " and ".join(f"{part}.{name}" for name in missing)
        raise ConfigError(
            f"{names} {'is' if len(missing) == 1 else 'are'} not set, but {who} needs "
            f"{'it' if len(missing) == 1 else 'them'}, e.g. {part}.{missing[0]}=1"
        )
