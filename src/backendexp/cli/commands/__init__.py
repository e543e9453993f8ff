"""The subcommands of `backendexp`. Each is a module of this package with `main(arguments) -> exit code`.
It is found by its name, and imported only when a user asks for it.
"""

from functools import cache
from pkgutil import iter_modules


@cache
def names() -> tuple[str, ...]:
    return tuple(sorted(module.name for module in iter_modules(__path__)))
