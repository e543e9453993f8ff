"""Finds the modules of a package by their names, so that a new kind of something is just a new module."""

import importlib
import pkgutil


def names(package):
    """Return the names of all modules of a package, in alphabetical order.

    package: the package that has been imported.
    """
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def module(package, name):
    """Return a module of a package. Raises ImportError: there is no such module."""
    return importlib.import_module("." + name, package.__name__)
