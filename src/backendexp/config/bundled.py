"""Finds the real data that come with an installed package, without importing the package.

Importing scikit-learn would take a second, and the worker's Python may not have it at all.
"""

import importlib.util
from pathlib import Path

from backendexp.errors import ConfigError
from backendexp.worker.settings import Data


def file_of(data: Data) -> str | None:
    """Return the path of the file that a kind of data is read from, or None if it is not read from a package.

    Raises ConfigError: the package is not installed, or does not contain the file.
    """
    wanted = data.FILE
    if wanted is None:
        return None
    found = importlib.util.find_spec(wanted.module)
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            f"data={data.kind} is read from a file of {wanted.package}, which is not installed here. "
            f"Install it with: {wanted.install}"
        )
    for folder in found.submodule_search_locations:
        file = Path(folder, wanted.path)
        if file.is_file():
            return str(file.absolute())
    raise ConfigError(
        f"data={data.kind} is read from {file}, which is not there. Another version of {wanted.package} may "
        f"have it: {wanted.install} --upgrade --force-reinstall"
    )
