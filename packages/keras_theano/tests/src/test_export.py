"""model.export writes what other runtimes compute as this backend does."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_theano.src import export
from oracles.own_layers import Scaled, Scaling, softened
from oracles.processes import lean

X = np.random.default_rng(0).normal(size=(5, 6, 3)).astype("float32")
# Each script predicts for the array in argv[1] with the file in argv[2], and saves the outputs in argv[3].
READERS = {
    "tf_saved_model": """
import tensorflow as tf
model = tf.saved_model.load(path)
y = model.serve(x)
""",
    "litert": """
import tensorflow as tf
model = tf.lite.Interpreter(path)
(place,) = [part["index"] for part in model.get_input_details()]
model.resize_tensor_input(place, x.shape)
model.allocate_tensors()
model.set_tensor(place, x)
model.invoke()
y = model.get_tensor(model.get_output_details()[0]["index"])
""",
    "torch": """
import torch
y = torch.export.load(path).module()(torch.tensor(x[:1])).detach().numpy()
""",
    "onnx": """
import onnxruntime
session = onnxruntime.InferenceSession(path)
(y,) = session.run(None, {session.get_inputs()[0].name: x})
""",
    "openvino": """
import openvino
precise = {"INFERENCE_PRECISION_HINT": "f32"}  # some processors would compute in bfloat16
y = openvino.Core().compile_model(path, "CPU", precise)(x)[0]
""",
}
NEEDED = {"tf_saved_model": "tensorflow", "litert": "tensorflow", "torch": "torch"}
NEEDED |= {"onnx": "onnxruntime", "openvino": "openvino"}
ENDS = {"tf_saved_model": "", "litert": ".tflite", "torch": ".pt2", "onnx": ".onnx", "openvino": ".xml"}


def trained_model() -> Any:
    """Return a model with layers of several kinds, a user's layer and a user's function."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 3)),
            layers.Conv1D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            Scaled(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(5, softened),
            layers.Dense(2),
        ]
    )
    model.compile("adam", "mse")
    model.fit(X, np.ones((5, 2)), epochs=3, verbose=0)
    return model


def read(format: str, path: Path, x: Any, folder: Path) -> Any:
    """Return what another process predicts with an exported model."""
    np.save(folder / "x.npy", x)
    script = (
        "import sys, numpy as np\nx, path = np.load(sys.argv[1]), sys.argv[2]\n"
        + READERS[format]
        + "np.save(sys.argv[3], y)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(folder / "x.npy"), str(path), str(folder / "y.npy")],
        env=lean(os.environ, NEEDED[format]),
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    return np.load(folder / "y.npy")


@pytest.mark.slow
@pytest.mark.parametrize(
    "format",
    # TensorFlow also writes this format, and starts for half a minute.
    [pytest.param(name, marks=[pytest.mark.extended] if name == "litert" else []) for name in READERS],
)
def test_exported_model_predicts_the_same_in_another_process(format: str, tmp_path: Path) -> None:
    installed = [
        part for _, parts in [export.FORMATS[format]] for part in parts if all(map(find_spec, part.packages))
    ]
    if not installed or find_spec(NEEDED[format]) is None:
        pytest.skip(f"{format} needs {NEEDED[format]} and one of {export.FORMATS[format][1]}")
    model = trained_model()
    path = tmp_path / f"exported{ENDS[format]}"
    model.export(path, format=format, verbose=False)
    expected = model.predict(X, verbose=0)
    found = read(format, path, X, tmp_path)
    np.testing.assert_allclose(found, expected[: len(found)], rtol=1e-5, atol=1e-5)
    assert np.abs(expected).max() > 0.01


@pytest.mark.slow
def test_models_with_nested_inputs_export_and_subclassed_ones_once_they_were_called(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    nested = keras.Model({"a": a, "b": b}, layers.Dense(4)(layers.Concatenate()([a, b])))
    x = {"a": X[:, 0], "b": X[:, 1, :2]}
    nested.export(tmp_path / "nested", verbose=False)
    subclassed = Scaling()
    with pytest.raises(ValueError, match="has not yet been built"):
        subclassed.export(tmp_path / "subclassed")
    expected = subclassed.predict(x["a"], verbose=0)
    subclassed.export(tmp_path / "subclassed", verbose=False)
    script = """
import sys, numpy as np, tensorflow as tf
x, folder = np.load(sys.argv[1] + "/x.npy"), sys.argv[1]
a, b = x[:, 0], x[:, 1, :2]
nested, subclassed = (tf.saved_model.load(f"{folder}/{name}") for name in ("nested", "subclassed"))
np.savez(f"{folder}/y.npz", nested=nested.serve({"a": a, "b": b}), subclassed=subclassed.serve(a))
"""
    np.save(tmp_path / "x.npy", X)
    command = [sys.executable, "-c", script, str(tmp_path)]
    answer = subprocess.run(command, env=lean(os.environ, "tensorflow"), capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    with np.load(tmp_path / "y.npz") as found:
        np.testing.assert_allclose(found["nested"], nested.predict(x, verbose=0), rtol=1e-5)
        np.testing.assert_allclose(found["subclassed"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_error_of_the_other_process_is_raised_with_its_type_and_step(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    signature = [keras.InputSpec(shape=(None, 4), dtype="float32")]
    with pytest.raises(ValueError, match=r"export to 'tf_saved_model' .* failed while it exported"):
        model.export(tmp_path / "model", verbose=False, input_signature=signature)
    assert not (tmp_path / "model").exists()


def unregistered(x: Any) -> Any:
    return x


@pytest.mark.slow
def test_function_that_is_not_registered_is_named_with_the_way_out(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, unregistered)])
    with pytest.raises(
        TypeError, match=r"(?s)while it loaded the model.*unregistered.*register_keras_serial"
    ):
        model.export(tmp_path / "model", verbose=False)


def never(*_: Any, **__: Any) -> None:
    raise AssertionError("nothing slow may happen before the check")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model that can neither be saved nor exported in another process."""
    made = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    monkeypatch.setattr(made, "save", never)
    monkeypatch.setattr(subprocess, "run", never)
    return made


@pytest.mark.parametrize("format", export.FORMATS)
def test_missing_packages_are_named_at_once(
    format: str, model: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=f"exports to '{format}' through another backend .* pip install"):
        model.export(tmp_path / f"model{ENDS[format]}", format=format)


def test_first_backend_that_is_installed_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"torch", "onnx", "onnxscript", "tensorflow"}
    monkeypatch.setattr(export, "find_spec", lambda name: name if name in there else None)
    assert export.exporter_for("onnx").backend == "torch"
    there.add("tf2onnx")
    assert export.exporter_for("onnx").backend == "tensorflow"


def test_unknown_format_gives_the_error_of_keras(model: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Unrecognized format=pickle"):
        model.export(tmp_path / "model", format="pickle")


@pytest.mark.parametrize("format", [name for name, end in ENDS.items() if export.FORMATS[name][0]])
def test_path_must_have_the_end_of_its_format(format: str, model: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"must end with '{ENDS[format]}'"):
        model.export(tmp_path / "model", format=format)


@pytest.fixture
def all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it seem that every backend is installed."""
    monkeypatch.setattr(export, "find_spec", lambda name: name)


@pytest.mark.usefixtures("all_installed")
def test_model_that_was_not_built_gives_the_error_of_keras(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has not yet been built"):
        keras.Sequential([layers.Dense(1)]).export(tmp_path / "model")


@pytest.mark.usefixtures("all_installed")
def test_layer_of_the_script_itself_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(subprocess, "run", never)
    monkeypatch.setattr(Scaled, "__module__", "__main__")
    model = keras.Sequential([keras.Input((3,)), Scaled()])
    with pytest.raises(ValueError, match="cannot import 'Scaled': it is defined in the script"):
        model.export(tmp_path / "model")


def test_modules_of_own_layers_and_functions_are_found(tmp_path: Path) -> None:
    for n, layer in enumerate([Scaled(), layers.Dense(2, softened)]):
        keras.Sequential([keras.Input((3,)), layer]).save(tmp_path / f"{n}.keras")
        assert export._modules(tmp_path / f"{n}.keras") == ["oracles.own_layers"]
    keras.Sequential([keras.Input((3,)), layers.Dense(2, "tanh")]).save(tmp_path / "plain.keras")
    assert export._modules(tmp_path / "plain.keras") == []


@pytest.mark.usefixtures("all_installed")
def test_argument_that_cannot_be_sent_is_refused(model: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"cannot be sent there: .* top of a module"):
        model.export(tmp_path / "model.tflite", format="litert", representative_dataset=lambda: iter([]))


def test_archives_say_what_to_use_instead() -> None:
    with pytest.raises(NotImplementedError, match=r"Use model\.export"):
        keras.export.ExportArchive()
