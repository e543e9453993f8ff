"""model.export. Another backend of Keras does it, in a process of its own, because PyTensor writes no such
format.

The model is saved to a temporary file, which that process loads. See export_process.py.
"""

import builtins
import functools
import json
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from keras.src import tree
from keras.src.backend import config
from keras.src.saving import get_registered_object


@dataclass(frozen=True)
class Exporter:
    """A backend of Keras that writes a format.

    packages: what must be importable, besides Keras.
    install: what pip installs for it.
    """

    backend: str
    packages: tuple[str, ...]
    install: str


# For each format of Keras: the end that its paths need, and who writes it. The first one that is installed
# does.
FORMATS: dict[str, tuple[str, tuple[Exporter, ...]]] = {
    "tf_saved_model": ("", (Exporter("tensorflow", ("tensorflow",), "tensorflow"),)),
    "litert": (
        ".tflite",
        (
            Exporter("tensorflow", ("tensorflow",), "tensorflow"),
            Exporter("torch", ("torch", "litert_torch"), "torch litert-torch"),
        ),
    ),
    "onnx": (
        "",
        (
            Exporter("tensorflow", ("tensorflow", "tf2onnx"), "tensorflow tf2onnx"),
            Exporter("jax", ("jax", "jax2onnx"), "'jax[cpu]' jax2onnx"),
            Exporter("torch", ("torch", "onnx", "onnxscript"), "torch onnx onnxscript"),
        ),
    ),
    "openvino": (
        ".xml",
        (
            Exporter("tensorflow", ("tensorflow", "openvino"), "tensorflow openvino"),
            Exporter("torch", ("torch", "openvino"), "torch openvino"),
        ),
    ),
    "torch": (".pt2", (Exporter("torch", ("torch",), "torch"),)),
}
_PROCESS = Path(__file__).with_name("export_process.py")


def exporting(of_keras: Callable[..., None]) -> Callable[..., None]:
    """Return the method that replaces `keras.Model.export`.

    of_keras: Keras's own method, which raises the error for a format that it does not know.
    """

    @functools.wraps(of_keras)
    def export(
        self: Any,
        filepath: str | Path,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        if format not in FORMATS:
            return of_keras(self, filepath, format, verbose, input_signature, **kwargs)
        end, _ = FORMATS[format]
        path = os.fspath(filepath)
        if not path.endswith(end):
            raise ValueError(f"The path of an export to {format!r} must end with {end!r}. Received: {path}")
        exporter = exporter_for(format)
        signature = _signature(self, input_signature)
        with tempfile.TemporaryDirectory(prefix="keras-theano-") as folder:
            _write(Path(folder), self, signature, kwargs, format, path, verbose)
            _run(Path(folder), exporter, format)
        return None

    return export


def exporter_for(format: str) -> Exporter:
    """Return the first backend that is installed and writes a format.

    Raises ImportError, with the commands that install one, if there is none.
    """
    _, exporters = FORMATS[format]
    for exporter in exporters:
        if all(find_spec(package) is not None for package in exporter.packages):
            return exporter
    ways = " or ".join(f"pip install {exporter.install}" for exporter in exporters)
    raise ImportError(
        f"the Theano backend exports to {format!r} through another backend of Keras, which is not installed "
        f"with all that it needs. Install it with: {ways}. Or save the model with model.save('model.keras'), "
        "and load and export it where that backend is installed."
    )


def _signature(model: Any, given: Any) -> Any:
    """Return the signature of a model's inputs for the other process, where the model has not been called.

    given: the argument of model.export.
    Raises the same errors as Keras if the model has not been built or called, or if `given` is not a
    signature.
    """
    from keras.src.export.export_utils import get_input_signature, make_input_spec

    if given is None:
        return get_input_signature(model)
    return tree.map_structure(lambda x: x if _is_tf_spec(x) else make_input_spec(x), given)


def _is_tf_spec(x: Any) -> bool:
    return type(x).__module__.split(".")[0] == "tensorflow"


def _write(
    folder: Path,
    model: Any,
    signature: Any,
    options: dict[str, Any],
    format: str,
    filepath: str,
    verbose: bool | None,
) -> None:
    """Write what the other process reads."""
    try:
        (folder / "options.pickle").write_bytes(pickle.dumps((signature, options)))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            "the Theano backend exports in another process, and an argument of model.export cannot be sent "
            f"there: {error}. Functions must be defined at the top of a module."
        ) from error
    model.save(folder / "model.keras")
    request = {
        "format": format,
        "filepath": str(Path(filepath).absolute()),
        "verbose": verbose,
        "modules": _modules(folder / "model.keras"),
        "floatx": config.floatx(),
        "image_data_format": config.image_data_format(),
    }
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")


def _modules(saved: Path) -> list[str]:
    """Return the modules that define the classes and functions of a saved model which are not Keras's own.

    Raises ValueError if one of them is the script itself, which another process cannot import.
    """
    with zipfile.ZipFile(saved) as archive:
        described = json.loads(archive.read("config.json"))
    described.pop("compile_config", None)  # the exported model is not trained
    found = dict(_custom(described))
    if "__main__" in found:
        raise ValueError(
            "the Theano backend exports in another process, which cannot import "
            f"{found['__main__']!r}: it is defined in the script that runs. Move it into a module of its "
            "own, and import it from there."
        )
    return list(found)


def _custom(described: Any) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of each object in a model's configuration that is not Keras's own."""
    if isinstance(described, dict):
        if "class_name" in described and "module" in described:
            module, name = _origin(described)
            if module.split(".")[0] not in ("keras", "builtins"):
                yield module, name
        described = list(described.values())
    if isinstance(described, list):
        for part in described:
            yield from _custom(part)


def _origin(described: dict[str, Any]) -> tuple[str, str]:
    """Return the module and the name of a class or function, from Keras's description of it."""
    if described["class_name"] != "function":
        # Keras leaves out the module if it is the script.
        return described["module"] or "__main__", described["class_name"]
    name = described["config"]
    # Keras finds functions by their registered names alone. Those that are not registered cannot be loaded,
    # and its error says so.
    function = get_registered_object(name)
    return getattr(function, "__module__", "builtins"), name


def _run(folder: Path, exporter: Exporter, format: str) -> None:
    """Run the other process, and raise the error that it reports."""
    environment = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **os.environ,
        "PYTHONIOENCODING": "utf-8",
        "KERAS_BACKEND": exporter.backend,
        "PYTHONPATH": os.pathsep.join(part or str(Path.cwd()) for part in sys.path),
    }
    # Python would put the folder of the script in front of all modules. It has files named like modules of
    # Python itself.
    command = [sys.executable, "-P", str(_PROCESS), str(folder)]
    ended = subprocess.run(
        command, env=environment, stderr=subprocess.PIPE, encoding="utf-8", errors="replace", check=False
    )
    failure = folder / "failure.json"
    if failure.exists():
        raise _error(json.loads(failure.read_text(encoding="utf-8")), exporter, format)
    if ended.returncode:
        raise RuntimeError(
            f"the export to {format!r} with the backend {exporter.backend!r} ended with exit code "
            f"{ended.returncode}. The last lines of its messages are:\n{ended.stderr[-2000:]}"
        )


def _error(failure: dict[str, str], exporter: Exporter, format: str) -> Exception:
    kind = getattr(builtins, failure["type"], RuntimeError)
    where = (
        f"the export to {format!r} with the backend {exporter.backend!r} failed while it {failure['step']}"
    )
    message = f"{where}: {failure['message']}"
    try:
        made = kind(message)
    except TypeError:  # such as UnicodeDecodeError, which takes other arguments
        made = RuntimeError(f"{failure['type']}: {message}")
    return made if isinstance(made, Exception) else RuntimeError(message)


class TheanoExportArchive:
    """Always raises NotImplementedError."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            "keras.export.ExportArchive is not available on the Theano backend, which has no format of its "
            "own. Use model.export, or save the model with model.save('model.keras') and load it under "
            "KERAS_BACKEND=tensorflow."
        )


SavedModelExportArchive = TheanoExportArchive  # the name that Keras 3.16 looks for
