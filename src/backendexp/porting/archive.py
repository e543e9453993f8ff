"""Reads the file of an old model with h5py, JSON and YAML alone. No Keras is imported and no code is run."""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backendexp.errors import UserError

HDF5 = (".h5", ".hdf5", ".hdf", ".keras")
_EXPECTED = "Expected an HDF5 file that model.save of Keras 1 or 2 wrote, or model.to_json or to_yaml"
_NEW = "is an archive of Keras 3, which needs no porting. Load it with keras.saving.load_model"
# A model of this many bytes of text is no model: the largest known ones have a few megabytes.
_MOST_CONFIG_BYTES = 200_000_000
# A few words of YAML can stand for any number of parts. The largest known models have some hundred thousand.
_MOST_PARTS, _DEEPEST = 2_000_000, 200
# HDF5 compresses by a factor of a thousand at most, and only constants so well. A file can claim more.
_SUSPICIOUS_BYTES, _MOST_COMPRESSED = 100_000_000, 1100


@dataclass(frozen=True)
class Archive:
    """An old model as its files have it.

    path: of the file with the architecture. weights_path: of the HDF5 file with the weights.
    sha256: of both files, in hexadecimal.
    config: the architecture, {"class_name": ..., "config": ...}.
    keras_version: of the Keras that wrote it. Keras 1 notes "1" at most, or nothing.
    backend: the backend that it was saved on, or None if the file does not say.
    weights: the arrays of each layer, in the order of the file: (name of the layer, {name: array}).
    training: the optimizer, loss and metrics, as the file has them, or None.
    optimizer_weights: the state of the optimizer, in the order of the file.
    """

    path: Path
    weights_path: Path
    sha256: str
    config: dict[str, Any]
    keras_version: str
    backend: str | None
    weights: list[tuple[str, dict[str, Any]]]
    training: dict[str, Any] | None = None
    optimizer_weights: list[Any] = field(default_factory=list)

    @property
    def generation(self) -> int:
        return 1 if self.keras_version.startswith(("0", "1")) else 2

    @property
    def of_tf_keras(self) -> bool:
        """Whether tf.keras wrote it. Keras of its own ended with 2.3.1, and tf.keras went on from 2.4.0."""
        major, minor = (*_numbers(self.keras_version), 0, 0)[:2]
        return self.keras_version.endswith("tf") or (major == 2 and minor >= 4)

    @property
    def of_tensorflow_2(self) -> bool:
        """Whether tf.keras of TensorFlow 2.2 or later wrote it. Those before note 2.2.4-tf, as 1.14 does."""
        return self.of_tf_keras and (*_numbers(self.keras_version), 0, 0)[:2] >= (2, 3)

    @property
    def written_by(self) -> str:
        return f"{'tf.keras' if self.of_tf_keras else 'Keras'} {self.keras_version}"


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with: (2, 2) for 2.2.4-tf."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def read(path: Path, weights: Path | None, backend: str | None = None) -> Archive:
    """Read an old model.

    path: an HDF5 file with a whole model, or the architecture as JSON or YAML.
    weights: the HDF5 file with the weights. It is needed if `path` has none.
    backend: what the user says about the backend that saved it. It overrides the file.
    Raises UserError: a file is missing, damaged, or not of Keras, or weights are missing.
    """
    for file in filter(None, (path, weights)):
        _check_file(file)
    if _is_hdf5(path):
        if weights is not None:
            raise UserError(
                f"{path} holds a whole model, so --weights {weights} is one too many. Expected --weights "
                "only "
                "with an architecture in JSON or YAML"
            )
        return _read_model(path, backend)
    if path.suffix.lower() in HDF5:
        raise UserError(f"{path} {_what_it_is(path)}. {_EXPECTED}")
    config = _read_text(path)
    if weights is None:
        raise UserError(
            f"{path} holds an architecture without weights. Give the file that save_weights wrote with "
            "--weights FILE.h5"
        )
    if not _is_hdf5(weights):
        raise UserError(f"{weights} {_what_it_is(weights)}. Expected the HDF5 file that save_weights wrote")
    return _read_weights(path, config, weights, backend)


def _check_file(path: Path) -> None:
    if not path.exists():
        raise UserError(f"{path} does not exist. Expected the file of a Keras model, such as model.h5")
    if (path / "saved_model.pb").is_file():
        raise UserError(
            f"{path} is a SavedModel of TensorFlow, which has a graph in the place of layers. Load it with "
            "the TensorFlow that wrote it, and save it with model.save('model.h5')"
        )
    if not path.is_file():
        raise UserError(f"{path} is no file. {_EXPECTED}")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. {_EXPECTED}") from error
    if empty:
        raise UserError(f"{path} is empty. {_EXPECTED}")


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def _what_it_is(path: Path) -> str:
    """Say what a file is that is no HDF5 file, after its first bytes."""
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"PK"):
        return _NEW
    if start.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return "is a pickle, which is not read because a pickle can run any code"
    return "is no HDF5 file, or its beginning is damaged"


def _read_text(path: Path) -> dict[str, Any]:
    """Read an architecture in JSON or YAML."""
    if path.stat().st_size > _MOST_CONFIG_BYTES:
        raise UserError(f"{path} is too large for an architecture. {_EXPECTED}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} {_what_it_is(path)}, and no text. {_EXPECTED}") from error
    if text.lstrip().startswith(("{", '"')):
        try:
            found = json.loads(text)
            if isinstance(found, str):  # json.dump(model.to_json()) quotes it twice
                found = json.loads(found)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is not complete JSON: {error}. {_EXPECTED}") from error
    else:
        found = _read_yaml(path, text)
    return _checked_config(path, found)


def _read_yaml(path: Path, text: str) -> Any:
    import yaml  # type: ignore[import-untyped]

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Loads the tuples that Keras wrote as lists. Other objects of Python are refused."""

        def flatten_tuple(self, node: Any) -> list[Any]:
            return list(self.construct_sequence(node, deep=True))

        def text_of(self, node: Any) -> str:
            return str(self.construct_scalar(node))

    Loader.add_constructor("tag:yaml.org,2002:python/tuple", Loader.flatten_tuple)
    Loader.add_constructor("tag:yaml.org,2002:python/unicode", Loader.text_of)
    try:
        return yaml.load(text, Loader)  # a SafeLoader
    except yaml.constructor.ConstructorError as error:
        raise UserError(
            f"{path} contains an object of Python ({error.problem}), which is not read because it can run "
            "any "
            "code. Expected the output of model.to_yaml"
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"{path} is neither JSON nor YAML: {line}. {_EXPECTED}") from error


def _checked_config(path: Path, found: Any) -> dict[str, Any]:
    if not isinstance(found, dict) or not isinstance(found.get("class_name"), str) or "config" not in found:
        raise UserError(f"{path} describes no Keras model: it has no class_name and config. {_EXPECTED}")
    version = str(found.get("keras_version", ""))
    if version.startswith("3"):
        raise UserError(f"{path} is of Keras {version}, which needs no porting")
    if _numbers_in(found, {}, 0) > _MOST_PARTS:
        raise UserError(f"{path} describes no Keras model: it is nested too deep or repeats itself too often")
    plain: dict[str, Any] = _plain(found)
    return plain


def _numbers_in(value: Any, counted: dict[int, float], depth: int) -> float:
    """How many parts an architecture has if all that YAML repeats is written out. Infinity: it has no end.

    counted: the numbers of the lists and mappings so far, by their ids.
    """
    if not isinstance(value, list | dict):
        return 1
    if depth > _DEEPEST:
        return math.inf
    if id(value) not in counted:
        counted[id(value)] = math.inf  # for a list that holds itself
        inside = value.values() if isinstance(value, dict) else value
        counted[id(value)] = 1 + sum(_numbers_in(one, counted, depth + 1) for one in inside)
    return counted[id(value)]


def _plain(value: Any) -> Any:
    """The same without the wrappers that tf.keras puts around tuples and numbers of numpy."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "__tuple__":
        return _plain(value.get("items", []))
    if value.get("type") == "ndarray" and "value" in value:
        return value["value"]
    return {key: _plain(one) for key, one in value.items()}


def _read_model(path: Path, backend: str | None) -> Archive:
    with _opened(path) as file:
        raw = file.attrs.get("model_config")
        if raw is None:
            if "layer_names" in file.attrs:
                raise UserError(
                    f"{path} holds weights without an architecture. Give the architecture first: backendexp "
                    f"port model.json --weights {path}"
                )
            raise UserError(
                f"{path} is an HDF5 file, but not of a Keras model: it has no model_config. {_EXPECTED}"
            )
        try:
            config = json.loads(_text(raw))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is damaged: its model_config is not complete JSON ({error})") from error
        version = _text(file.attrs.get("keras_version", config.get("keras_version", "1")))
        if version.startswith("3"):
            raise UserError(f"{path} is of Keras {version}, which needs no porting")
        if "model_weights" not in file:
            raise UserError(f"{path} is damaged, or was saved without weights: it has no group model_weights")
        group = file["model_weights"]
        saved_on = backend or _optional(file.attrs.get("backend", group.attrs.get("backend")))
        training = file.attrs.get("training_config")
        return Archive(
            path,
            path,
            _digest(path),
            _checked_config(path, config),
            version,
            saved_on,
            _weights(path, group),
            None if training is None else _plain(json.loads(_text(training))),
            _optimizer_weights(path, file) if "optimizer_weights" in file else [],
        )


def _read_weights(path: Path, config: dict[str, Any], weights: Path, backend: str | None) -> Archive:
    with _opened(weights) as file:
        group = file.get("model_weights", file)
        if not any(name.startswith("layer_names") for name in group.attrs):
            raise UserError(
                f"{weights} is an HDF5 file, but not of Keras's save_weights: it has no layer_names"
            )
        version = _optional(group.attrs.get("keras_version")) or config.get("keras_version") or "1"
        saved_on = _optional(group.attrs.get("backend")) or config.get("backend")
        return Archive(
            path,
            weights,
            _digest(path, weights),
            config,
            str(version),
            backend or saved_on,
            _weights(weights, group),
        )


class _opened:
    """An HDF5 file. Within the `with` block, an error of HDF5 becomes a UserError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Any:
        import h5py

        try:
            self._file = h5py.File(self._path, "r")
        except OSError as error:
            raise UserError(
                f"{self._path} is a damaged HDF5 file: {_first(error)}. Get another copy of it"
            ) from error
        return self._file

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._file.close()
        # h5py raises these if the file was cut short or a part of it was overwritten.
        if isinstance(error, OSError | RuntimeError | KeyError | ValueError | TypeError | AttributeError):
            raise UserError(
                f"{self._path} is a damaged HDF5 file: {_first(error)}. Get another copy of it"
            ) from error


def _first(error: BaseException) -> str:
    cut = re.search(r"truncated file: eof = (\d+),.* stored_eof = (\d+)", str(error))
    if cut is not None:
        return f"it was cut short, and has {cut[1]} of its {cut[2]} bytes"
    return (str(error).splitlines() or [type(error).__name__])[0].strip("'\"")


def _weights(path: Path, group: Any) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for layer in _names(group, "layer_names"):
        _check_link(path, group, layer)
        if layer not in group:
            raise UserError(f"{path} is damaged: it lists the layer {layer!r}, but has no weights of it")
        held = group[layer]
        arrays = {}
        for name in _names(held, "weight_names"):
            _check_link(path, held, name)
            arrays[name] = _array(path, held[name])
        found.append((layer, arrays))
    return found


def _check_link(path: Path, group: Any, name: str) -> None:
    import h5py

    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
        raise UserError(f"{path} takes {name} from another file. Expected a whole file")


def _optimizer_weights(path: Path, file: Any) -> list[Any]:
    group = file["optimizer_weights"]
    return in_old_order([(name, _array(path, group[name])) for name in _names(group, "weight_names")])


def in_old_order(named: list[tuple[str, Any]]) -> list[Any]:
    """The state of an optimizer as Keras 2 orders it: the steps, then each kind of array for all weights.

    named: the arrays with their names. Since TensorFlow 2.11, tf.keras keeps all kinds for a weight together,
        and names them Adam/m/dense/kernel:0. It may keep the learning rate too, as the configuration does.
    """
    if not named or not named[0][0].startswith("iteration:"):
        return [array for _, array in named]
    kinds: dict[str, list[Any]] = {}
    for name, array in named[1:]:
        if "/" in name:
            kinds.setdefault(name.split("/")[1], []).append(array)
    return [named[0][1], *(array for arrays in kinds.values() for array in arrays)]


def _array(path: Path, dataset: Any) -> Any:
    import numpy

    # An external or virtual data set would read another file of this machine.
    if dataset.external or dataset.is_virtual:
        raise UserError(f"{path} takes the weights {dataset.name} from another file. Expected a whole file")
    if dataset.dtype.kind not in "fiub":
        raise UserError(f"{path} is damaged: the weights {dataset.name} are no numbers, but {dataset.dtype}")
    # A data set can claim any size and hold nothing; HDF5 would then fill the memory.
    if dataset.size and not dataset.id.get_storage_size():
        raise UserError(f"{path} is damaged: the weights {dataset.name} were never written")
    held = dataset.id.get_storage_size()
    if dataset.nbytes > _SUSPICIOUS_BYTES and dataset.nbytes > _MOST_COMPRESSED * held:
        raise UserError(
            f"{path} is damaged: the weights {dataset.name} claim {dataset.nbytes} bytes and have {held}"
        )
    try:
        return numpy.asarray(dataset)
    except MemoryError as error:
        raise UserError(
            f"{path} has weights of {dataset.nbytes / 1e9:.0f} GB, for which this machine lacks the memory"
        ) from error


def _names(group: Any, name: str) -> Iterator[str]:
    """The names in an attribute. Keras splits long lists over several: weight_names0, weight_names1..."""
    if name in group.attrs:
        yield from map(_text, group.attrs[name])
        return
    number = 0
    while f"{name}{number}" in group.attrs:
        yield from map(_text, group.attrs[f"{name}{number}"])
        number += 1


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _optional(value: Any) -> str | None:
    return None if value is None else _text(value)


def _digest(*paths: Path) -> str:
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                total.update(chunk)
    return total.hexdigest()
