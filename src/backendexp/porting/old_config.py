"""The architecture as the keras2 runtime gets it: that of the file, without what may not run or cannot."""

import copy
import json
from typing import Any

from backendexp.porting import layers
from backendexp.porting.architecture import Layer
from backendexp.porting.archive import Archive

_CUDNN = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}
# What tf.keras writes and Keras 2.3.1 does not know.
_OF_TF_KERAS = ("ragged", "groups", "time_major", "keepdims")


def config_for_keras_2(archive: Archive, trust: bool) -> str:
    """The architecture as JSON for `keras.models.model_from_json`.

    trust: whether the code of Lambda layers in the file is run. Otherwise the user's function replaces it.
    """
    return json.dumps(_cleaned(copy.deepcopy(archive.config), trust))


def _cleaned(value: Any, trust: bool) -> Any:
    if isinstance(value, list):
        return [_cleaned(one, trust) for one in value]
    if not isinstance(value, dict):
        return value
    value = {key: _cleaned(one, trust) for key, one in value.items()}
    kind, config = value.get("class_name"), value.get("config")
    if kind == "Functional":
        value["class_name"] = "Model"
    if not isinstance(kind, str) or not isinstance(config, dict):
        return value
    for key in [key for key, entry in config.items() if _is_penalty_of_keras_1(key, entry)]:
        config[key] = None
    if kind == "Embedding" and config.get("input_dtype") == "int32":
        # Keras 2.3.1 would take the type of the indices for that of the weights.
        del config["input_dtype"]
    for key in _OF_TF_KERAS:
        config.pop(key, None)
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


def _is_penalty_of_keras_1(key: str, entry: Any) -> bool:
    """Whether a value is a regularizer or a constraint as Keras 1 describes it, which Keras 2.3.1 cannot
    read.

    Neither changes what a trained model computes.
    """
    return key.endswith(("_regularizer", "_constraint")) and isinstance(entry, dict) and "name" in entry
