"""The architecture as the keras2 runtime gets it: that of the file, without what may not run or cannot."""

import copy
import json
from typing import Any

from backendexp.porting import architecture, layers
from backendexp.porting.architecture import Layer
from backendexp.porting.archive import Archive

_CUDNN = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}
# What tf.keras writes and its version 1.14 or Keras 2.3.1 does not know, with the value that changes nothing.
# Another value stays, so that the old layer refuses it.
_CHANGES_NOTHING: dict[str, Any] = {
    "ragged": False,
    "sparse": False,
    "optional": False,
    "groups": 1,
    "time_major": False,
    "keepdims": False,
    "renorm": False,
    "synchronized": False,
    "virtual_batch_size": None,
    "zero_output_for_mask": False,
    "score_mode": "dot",
    "dropout": 0.0,
    "autocast": True,
}


def config_for_keras_2(archive: Archive, trust: bool) -> str:
    """The architecture as JSON for `keras.models.model_from_json`.

    trust: whether the code of Lambda layers in the file is run. Otherwise the user's function replaces it.
    """
    return json.dumps(_cleaned(copy.deepcopy(archive.config), trust, archive.of_tf_keras))


def _cleaned(value: Any, trust: bool, of_tf_keras: bool) -> Any:
    if isinstance(value, list):
        return [_cleaned(one, trust, of_tf_keras) for one in value]
    if not isinstance(value, dict):
        return value
    value = {key: _cleaned(one, trust, of_tf_keras) for key, one in value.items()}
    kind, config = value.get("class_name"), value.get("config")
    if not isinstance(kind, str) or not isinstance(config, dict):
        return value
    if of_tf_keras:
        kind = value["class_name"] = architecture.class_name(kind)
        _clean_of_tf_keras(kind, config)
        if kind == "Functional":
            value["class_name"] = "Model"
    for key in [key for key, entry in config.items() if _is_penalty_of_keras_1(key, entry)]:
        config[key] = None
    if kind == "Embedding" and config.get("input_dtype") == "int32":
        # Keras 2.3.1 would take the type of the indices for that of the weights.
        del config["input_dtype"]
    for key, nothing in _CHANGES_NOTHING.items():
        if key in config and config[key] == nothing:
            del config[key]
    if isinstance(config.get("dtype"), dict):
        config["dtype"] = "float32"
    if kind == "BatchNormalization" and isinstance(config.get("axis"), list):
        config["axis"] = config["axis"][0]
    if kind in _CUDNN:
        # CuDNN needs a GPU. Keras 2 itself loads the weights of CuDNNLSTM into an LSTM.
        value["class_name"] = _CUDNN[kind]
        config.update(activation="tanh", recurrent_activation="sigmoid", use_bias=True)
        if kind == "CuDNNGRU":
            config["reset_after"] = True
    if kind == "Merge":
        # Keras 2 still reads the layer Merge of Keras 1, which can hold code as Lambda does.
        config.update(output_shape=None, output_shape_type="raw", output_mask=None, output_mask_type="raw")
    if kind == "Lambda" and not trust:
        config.update(
            function=layers.function_of(Layer("Lambda", str(config.get("name")), config)),
            function_type="function",
        )
        if config.get("output_shape_type") == "lambda":
            config.update(output_shape=None, output_shape_type="raw")
    return value


def _clean_of_tf_keras(kind: str, config: dict[str, Any]) -> None:
    """Leave out what later versions write in other words and what changes no result of a trained model."""
    for key, entry in config.items():
        if key.endswith("_initializer") and isinstance(entry, dict):
            config[key] = {"class_name": "Zeros", "config": {}}
        elif key.endswith(("_regularizer", "_constraint")):
            config[key] = None
    config.pop("build_config", None)
    config.pop("seed", None)
    if kind in architecture.FUNCTIONAL and "input_layers" in config:
        for end in ("input_layers", "output_layers"):
            config[end] = architecture.listed_ends(config[end])
    if kind == "Sequential" and config.get("build_input_shape") and config.get("layers"):
        # tf.keras builds such a model without a graph, which has no outputs of layers.
        start = config["layers"][0]
        if start["class_name"] not in architecture.MODELS:
            start["config"].setdefault("batch_input_shape", config["build_input_shape"])
    if kind == "Bidirectional" and isinstance(config.get("layer"), dict):
        config["layer"]["config"].pop("zero_output_for_mask", None)  # it sets this itself


def _is_penalty_of_keras_1(key: str, entry: Any) -> bool:
    """Whether a value is a regularizer or a constraint as Keras 1 describes it, which Keras 2.3.1 cannot
    read.

    Neither changes what a trained model computes.
    """
    return key.endswith(("_regularizer", "_constraint")) and isinstance(entry, dict) and "name" in entry
