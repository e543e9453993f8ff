"""The names of the subcommands, which are those of the modules in `commands`. None of them is imported."""

import pkgutil
from functools import cache
from pathlib import Path


@cache
def names() -> tuple[str, ...]:
    """Return the names in alphabetical order."""
    folder = Path(__file__).with_name("commands")
    return tuple(sorted(module.name for module in pkgutil.iter_modules([str(folder)])))
