"""The functions of the backend take the same arguments as Keras's ops, and show them in the same way."""

import inspect
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
from keras.src import ops
from keras.src.ops import operation

from keras_theano.hook.keras_versions import numpy_ops

MODULES = ("core", "image", "linalg", "math", "nn", "numpy")
# Keras computes these itself, from other ops, or changes the arguments before it calls the backend.
OTHERWISE = {"view_as_complex", "view_as_real", "get_item", "multi_hot"}


def functions(name: str) -> ModuleType:
    """Return the backend's module for a namespace of keras.ops."""
    return import_module(f"keras_theano.src.ops.{name}")


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def ops_with_classes(module: Any) -> list[str]:
    """Return the names of the ops of a module of keras.ops that a class of the same name records."""
    classes = {
        snake(name).replace("_", "")
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, operation.Operation)
    }
    return [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and not name.startswith("_")
        and name.replace("_", "") in classes
        and not hasattr(module, f"_{name}")
        and name not in OTHERWISE
    ]


@pytest.mark.parametrize("name", MODULES)
def test_functions_show_the_arguments_of_keras(name: str) -> None:
    module, ours = getattr(ops, name), functions(name)
    names = ops_with_classes(module)
    assert len(names) > 5
    for op in names:
        assert inspect.signature(getattr(ours, op)) == inspect.signature(getattr(module, op)), op


@pytest.mark.parametrize("name", MODULES)
def test_functions_of_our_own_take_the_arguments_that_they_show(name: str) -> None:
    ours, eager = functions(name), numpy_ops(name)
    own = [
        (op, function.__wrapped__)
        for op, function in vars(ours).items()
        if getattr(getattr(function, "__wrapped__", None), "__module__", "").startswith("keras_theano")
    ]
    for op, function in own:
        shown = inspect.signature(getattr(eager, op)).parameters.values()
        taken = inspect.signature(function).parameters.values()
        assert [(part.name, part.default) for part in taken] == [
            (part.name, part.default) for part in shown
        ], op
