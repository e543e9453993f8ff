"""Experiments, which make their own runs by a design and draw a conclusion from them.

An experiment is a module of this package that has a class `Settings`. The configuration names it:
experiment=NAME sets NAME.enabled, and NAME is the part of the configuration that holds its settings.
`base.Design` is what a module offers.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, cast

from backendexp.config import schema
from backendexp.worker import kinds

if TYPE_CHECKING:
    from backendexp.experiments.base import Design


def add_settings() -> None:
    """Make the settings of all experiments a part of the configuration."""
    package = sys.modules[__name__]
    for name in kinds.names(package):
        settings = getattr(kinds.module(package, name), "Settings", None)
        if settings is not None:
            schema.add_experiment(name, settings)


def design(name: str) -> "Design":
    """The module of an experiment. Raises ImportError: there is no such experiment."""
    return cast("Design", import_module(f"{__name__}.{name}"))
