"""The subcommands of `backendexp`. Each is a module of this package with `main(arguments) -> exit code`.

A command is found by the name of its module, which is imported only when a user asks for the command.
"""

from functools import cache
from pkgutil import iter_modules


@cache
def names() -> tuple[str, ...]:
    return tuple(sorted(module.name for module in iter_modules(__path__)))
