"""Experiments, which make their own runs by a design and draw a conclusion from them.

An experiment is a module of this package. The configuration names it: experiment=NAME sets NAME.enabled,
and NAME is the part of the configuration that holds its settings. `base.Design` is what a module offers.
"""

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from backendexp.experiments.base import Design


def design(name: str) -> "Design":
    """The module of an experiment. Raises ImportError: there is no such experiment."""
    return cast("Design", import_module(f"{__name__}.{name}"))
