"""Puts an architecture of Keras 1 into the words of Keras 2, and its weights into the order of Keras 2."""

from typing import Any

import numpy

# The old name of a class, and its name in Keras 2.
_CLASSES = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "AtrousConv1D": "Conv1D",
    "AtrousConv2D": "Conv2D",
    "Deconvolution2D": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
    "TimeDistributedDense": "Dense",
}
_MERGED = {
    "sum": "Add",
    "mul": "Multiply",
    "ave": "Average",
    "max": "Maximum",
    "concat": "Concatenate",
    "dot": "Dot",
    "cos": "Dot",
}
# The old name of an argument, and its name in Keras 2, whatever the layer.
_ARGUMENTS = {
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint",
    "bias": "use_bias",
    "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
    "nb_filter": "filters",
    "filter_length": "kernel_size",
    "subsample": "strides",
    "subsample_length": "strides",
    "border_mode": "padding",
    "atrous_rate": "dilation_rate",
    "pool_length": "pool_size",
    "stride": "strides",
    "length": "size",
    "sigma": "stddev",
    "beta_init": "beta_initializer",
    "gamma_init": "gamma_initializer",
}
_ORDERINGS = {"th": "channels_first", "tf": "channels_last", "default": None}
_INITIALIZERS = {
    "zero": "zeros",
    "one": "ones",
    "uniform": "random_uniform",
    "normal": "random_normal",
    "identity": "identity",
}
# In this order Keras 1 keeps the gates of an LSTM and of a GRU, each as a kernel, a recurrent kernel, a bias.
_LSTM, _GRU = ("i", "c", "f", "o"), ("z", "r", "h")


def in_words_of_keras_2(config: dict[str, Any]) -> dict[str, Any]:
    """The architecture with the names that Keras 2 has. Names that are those of Keras 2 already stay."""
    kind, inside = config["class_name"], config["config"]
    if kind == "Sequential":
        layers = inside if isinstance(inside, list) else inside["layers"]
        return {**config, "config": {**_rest(inside), "layers": [in_words_of_keras_2(one) for one in layers]}}
    if kind in ("Model", "Container"):
        layers = [in_words_of_keras_2(one) for one in inside["layers"]]
        return {**config, "class_name": "Model", "config": {**inside, "layers": layers}}
    return {**config, **_layer(kind, dict(inside))}


def _rest(inside: Any) -> dict[str, Any]:
    return {} if isinstance(inside, list) else dict(inside)


def _layer(kind: str, old: dict[str, Any]) -> dict[str, Any]:
    if kind == "Merge":
        return _merge(old)
    new = {_ARGUMENTS.get(key, key): value for key, value in old.items()}
    if "layer" in new:
        new["layer"] = in_words_of_keras_2(new["layer"])
    if "dim_ordering" in new:
        new["data_format"] = _ORDERINGS[new.pop("dim_ordering")]
    if "nb_row" in new:
        new["kernel_size"] = [new.pop("nb_row"), new.pop("nb_col")]
    if "kernel_dim1" in new:
        new["kernel_size"] = [new.pop(f"kernel_dim{axis}") for axis in (1, 2, 3)]
    if "p" in new and kind != "Permute":
        new["rate"] = new.pop("p")
    if "init" in new:
        _rename_initializer(kind, new)
    if "output_dim" in new and kind != "Embedding":
        new["units"] = new.pop("output_dim")
    if kind == "Embedding":
        for part in ("regularizer", "constraint"):
            if f"kernel_{part}" in new:
                new[f"embeddings_{part}"] = new.pop(f"kernel_{part}")
    for key, value in list(new.items()):
        if key.endswith("_regularizer"):
            new[key] = _regularizer(value)
        elif key.endswith("_constraint"):
            new[key] = _constraint(value)
        elif key.endswith("_initializer") and isinstance(value, str):
            new[key] = _INITIALIZERS.get(value, value)
    return {"class_name": _CLASSES.get(kind, kind), "config": new}


def _rename_initializer(kind: str, new: dict[str, Any]) -> None:
    value = new.pop("init")
    if kind == "Embedding":
        new["embeddings_initializer"] = value
    elif kind.startswith("Separable"):
        new["depthwise_initializer"] = new["pointwise_initializer"] = value
    elif kind == "PReLU":
        new["alpha_initializer"] = value
    else:
        new["kernel_initializer"] = value


def _merge(old: dict[str, Any]) -> dict[str, Any]:
    mode = old.get("mode")
    new: dict[str, Any] = {"name": old.get("name")}
    if mode == "concat":
        new["axis"] = old.get("concat_axis", -1)
    elif mode in ("dot", "cos"):
        axes = old.get("dot_axes", -1)
        new.update(axes=axes, normalize=mode == "cos")
    kind = _MERGED.get(mode) if isinstance(mode, str) else None
    return {"class_name": kind or f"Merge(mode={mode})", "config": new}


def _regularizer(value: Any) -> Any:
    if isinstance(value, dict) and "name" in value:
        return {"class_name": "L1L2", "config": {key: float(value.get(key, 0.0)) for key in ("l1", "l2")}}
    return value


def _constraint(value: Any) -> Any:
    if not (isinstance(value, dict) and "name" in value):
        return value
    config = {key: entry for key, entry in value.items() if key in ("axis",)}
    if "m" in value:
        config["max_value"] = value["m"]
    return {"class_name": value["name"], "config": config}


def weights_of_keras_2(kind: str, config: dict[str, Any], arrays: list[Any]) -> list[Any]:
    """The weights of a layer of Keras 1 in the shapes and the order of Keras 2.

    kind, config: of the layer, in the words of Keras 2.
    arrays: the weights as the file has them.
    """
    first = config.get("data_format") == "channels_first"
    if kind == "Conv1D" and arrays[0].ndim == 4:
        # Keras 1.1 has (filters, inputs, length, 1), and Keras 1.2 (length, 1, inputs, filters).
        kernel = arrays[0]
        length = _whole(config["kernel_size"])
        if kernel.shape[:2] != (length, 1) or kernel.shape[3] != config["filters"]:
            kernel = kernel.transpose(2, 3, 1, 0)
        return [kernel[:, 0], *arrays[1:]]
    if kind in ("Conv2D", "Conv3D") and first:
        axes = (*range(2, arrays[0].ndim), 1, 0)
        return [arrays[0].transpose(axes), *arrays[1:]]
    if kind == "Conv2DTranspose":
        return [arrays[0].transpose((2, 3, 0, 1) if first else (0, 1, 3, 2)), *arrays[1:]]
    if kind == "LSTM" and len(arrays) == 12:
        return _gathered(arrays, _LSTM, ("i", "f", "c", "o"))
    if kind == "GRU" and len(arrays) == 9:
        return _gathered(arrays, _GRU, _GRU)
    return arrays


def _whole(value: Any) -> int:
    return int(value[0] if isinstance(value, list | tuple) else value)


def _gathered(arrays: list[Any], old: tuple[str, ...], new: tuple[str, ...]) -> list[Any]:
    """One kernel, one recurrent kernel and one bias for all gates."""
    gates = {gate: arrays[3 * number : 3 * number + 3] for number, gate in enumerate(old)}
    return [numpy.concatenate([gates[gate][part] for gate in new], axis=-1) for part in range(3)]
