"""What Keras 3.16 requires of a backend that is a separate package."""

from importlib import import_module

import pytest

from keras_theano.hook.pluggable import with_theano_pluggable
from keras_theano.src import keras_3_15 as backend

CONFIG = "keras.src.backend.config"


def pluggable_after(source: str) -> object:
    names: dict[str, object] = {}
    exec(compile(with_theano_pluggable(source.encode(), CONFIG, "3.16.0"), CONFIG, "exec"), names)
    return names["PLUGGABLE_BACKENDS"]


@pytest.mark.parametrize(
    "written",
    [
        'PLUGGABLE_BACKENDS = frozenset(["mlx", "paddle"])',
        'PLUGGABLE_BACKENDS: frozenset[str] = frozenset({"mlx", "paddle"})',
        'PLUGGABLE_BACKENDS = {"mlx", "paddle"}',
        'PLUGGABLE_BACKENDS = frozenset(("mlx", "paddle"))',
    ],
)
def test_name_joins_the_set_however_it_is_written(written: str) -> None:
    before = 'BUILT_IN_BACKENDS = frozenset(["jax", "numpy"])\n'
    assert pluggable_after(before + written) == {"mlx", "paddle", "theano"}


@pytest.mark.parametrize(
    "source",
    [
        'BUILT_IN_BACKENDS = frozenset(["jax", "numpy"])',
        "from keras.src.names import PLUGGABLE_BACKENDS",
        "PLUGGABLE_BACKENDS = frozenset(installed())",
        'PLUGGABLE_BACKENDS = frozenset(["mlx"])\nPLUGGABLE_BACKENDS = frozenset(["paddle"])',
        'if True:\n    PLUGGABLE_BACKENDS = frozenset(["mlx"])',
    ],
)
def test_keras_that_lists_backends_in_another_way_is_refused(source: str) -> None:
    message = r"does not know this version of Keras, 3\.16\.4: keras\.src\.backend\.config does not list"
    with pytest.raises(ImportError, match=message) as refusal:
        with_theano_pluggable(source.encode(), CONFIG, "3.16.4")
    assert "pip install 'keras==3.15.*'" in str(refusal.value)


def test_plugin_modules_are_those_of_the_one_backend() -> None:
    plugin = import_module("keras_theano.src")
    for name in set(plugin.__all__) - {"ops", "rnn", "distribution_lib"}:
        assert getattr(plugin, name) is getattr(backend, name), name
    for namespace in ("core", "image", "linalg", "math", "nn", "numpy"):
        assert getattr(plugin.ops, namespace) is getattr(backend, namespace)
    assert plugin.ops.convert_to_tensor is backend.core.convert_to_tensor
    assert plugin.rnn.lstm is backend.lstm


@pytest.mark.parametrize(
    ("module", "asked_for", "ours"),
    [
        ("trainer", "Trainer", "TheanoTrainer"),
        ("layer", "BackendLayer", "TheanoLayer"),
        ("export", "SavedModelExportArchive", "TheanoExportArchive"),
    ],
)
def test_plugin_has_the_classes_under_the_names_that_keras_expects(
    module: str, asked_for: str, ours: str
) -> None:
    plugin, behind = (
        import_module(f"keras_theano.src.{module}"),
        import_module(f"keras_theano.src.{module}"),
    )
    assert getattr(plugin, asked_for) is getattr(behind, ours)
