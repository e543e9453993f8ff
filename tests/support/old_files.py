"""Files of old models, written by hand with h5py as Keras 1 and 2 write them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Weights = Sequence[tuple[str, Mapping[str, Any]]]


def write(
    path: Path,
    config: dict[str, Any] | None,
    weights: Weights,
    keras_version: str | None = "2.3.1",
    backend: str | None = "tensorflow",
    training: dict[str, Any] | None = None,
    optimizer: Sequence[Any] = (),
) -> Path:
    """Write a whole model, or, if `config` is None, the weights alone."""
    with h5py.File(path, "w") as file:
        group = file if config is None else file.create_group("model_weights")
        for place in {id(file): file, id(group): group}.values():
            if keras_version is not None and not (keras_version.startswith("1") and place is group):
                place.attrs["keras_version"] = keras_version.encode()
            if backend is not None:
                place.attrs["backend"] = backend.encode()
        if config is not None:
            file.attrs["model_config"] = json.dumps(config).encode()
        group.attrs["layer_names"] = [name.encode() for name, _ in weights]
        for name, arrays in weights:
            held = group.create_group(name)
            held.attrs["weight_names"] = [key.encode() for key in arrays]
            for key, array in arrays.items():
                held.create_dataset(key, data=np.asarray(array))
        if training is not None:
            file.attrs["training_config"] = json.dumps(training).encode()
            state = file.create_group("optimizer_weights")
            names = [f"training/weight_{number}:0" for number in range(len(optimizer))]
            state.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, optimizer, strict=True):
                state.create_dataset(name, data=np.asarray(array))
    return path


def layer(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **config}}


def dense(name: str, units: int, activation: str = "linear", **config: Any) -> dict[str, Any]:
    return layer("Dense", name, units=units, activation=activation, use_bias=True, **config)


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": list(layers)}}


def drawn(*shape: int, seed: int = 0) -> Any:
    return np.random.RandomState(seed).normal(scale=0.5, size=shape).astype("float32")


def small(path: Path, **options: Any) -> Path:
    """A Sequential model of two Dense layers."""
    config = sequential(
        dense("dense_1", 4, "relu", batch_input_shape=[None, 3], dtype="float32"), dense("dense_2", 2)
    )
    weights = [
        ("dense_1", {"dense_1/kernel:0": drawn(3, 4), "dense_1/bias:0": drawn(4, seed=1)}),
        ("dense_2", {"dense_2/kernel:0": drawn(4, 2, seed=2), "dense_2/bias:0": drawn(2, seed=3)}),
    ]
    return write(path, config, weights, **options)


def keras_1_images(path: Path) -> Path:
    """A convolutional network of Keras 1.2.2, which was saved on TensorFlow: channels_last."""
    layers = [
        layer(
            "Convolution2D",
            "convolution2d_1",
            nb_filter=4,
            nb_row=3,
            nb_col=2,
            init="glorot_uniform",
            activation="relu",
            border_mode="valid",
            subsample=[1, 1],
            dim_ordering="tf",
            W_regularizer={"name": "WeightRegularizer", "l1": 0.0, "l2": 0.01},
            b_regularizer=None,
            activity_regularizer=None,
            W_constraint={"name": "MaxNorm", "m": 2, "axis": 0},
            b_constraint=None,
            bias=True,
            trainable=True,
            batch_input_shape=[None, 8, 7, 3],
            input_dtype="float32",
        ),
        layer(
            "BatchNormalization",
            "batchnormalization_1",
            axis=-1,
            mode=0,
            epsilon=0.001,
            momentum=0.99,
            beta_init="zero",
            gamma_init="one",
            gamma_regularizer=None,
            beta_regularizer=None,
        ),
        layer(
            "MaxPooling2D",
            "maxpooling2d_1",
            pool_size=[2, 2],
            strides=[2, 2],
            border_mode="valid",
            dim_ordering="tf",
        ),
        layer("Flatten", "flatten_1"),
        layer("Dropout", "dropout_1", p=0.5),
        layer(
            "Dense",
            "dense_1",
            output_dim=3,
            init="uniform",
            activation="softmax",
            W_regularizer=None,
            b_regularizer=None,
            activity_regularizer=None,
            W_constraint=None,
            b_constraint=None,
            bias=True,
            input_dim=None,
        ),
    ]
    variance = np.abs(drawn(4, seed=5)) + 0.1
    weights = [
        ("convolution2d_1", {"convolution2d_1_W": drawn(3, 2, 3, 4), "convolution2d_1_b": drawn(4, seed=1)}),
        (
            "batchnormalization_1",
            {
                "batchnormalization_1_gamma": drawn(4, seed=2),
                "batchnormalization_1_beta": drawn(4, seed=3),
                "batchnormalization_1_running_mean": drawn(4, seed=4),
                "batchnormalization_1_running_std": variance,
            },
        ),
        ("maxpooling2d_1", {}),
        ("flatten_1", {}),
        ("dropout_1", {}),
        ("dense_1", {"dense_1_W": drawn(36, 3, seed=6), "dense_1_b": drawn(3, seed=7)}),
    ]
    config = {"class_name": "Sequential", "config": layers}
    return write(path, config, weights, keras_version="1.2.2", backend=None)


def keras_1_words(path: Path) -> Path:
    """A recurrent network of Keras 1.2.2 with a kernel, a recurrent kernel and a bias for each gate."""
    recurrent: dict[str, Any] = {
        "init": "glorot_uniform",
        "inner_init": "orthogonal",
        "activation": "tanh",
        "inner_activation": "hard_sigmoid",
        "W_regularizer": None,
        "U_regularizer": None,
        "b_regularizer": None,
        "dropout_W": 0.0,
        "dropout_U": 0.0,
        "go_backwards": False,
        "stateful": False,
        "unroll": False,
        "consume_less": "cpu",
        "input_dim": 4,
        "input_length": None,
    }
    layers = [
        layer(
            "Embedding",
            "embedding_1",
            input_dim=9,
            output_dim=4,
            init="uniform",
            input_length=6,
            mask_zero=True,
            activity_regularizer=None,
            W_regularizer=None,
            W_constraint=None,
            dropout=0.0,
            batch_input_shape=[None, 6],
            input_dtype="int32",
        ),
        layer("LSTM", "lstm_1", output_dim=5, forget_bias_init="one", return_sequences=True, **recurrent),
        layer("GRU", "gru_1", output_dim=3, return_sequences=False, **recurrent),
    ]

    def gates(name: str, letters: str, inputs: int, units: int) -> dict[str, Any]:
        found = {}
        for number, letter in enumerate(letters):
            found[f"{name}_W_{letter}"] = drawn(inputs, units, seed=10 * number)
            found[f"{name}_U_{letter}"] = drawn(units, units, seed=10 * number + 1)
            found[f"{name}_b_{letter}"] = drawn(units, seed=10 * number + 2)
        return found

    weights = [
        ("embedding_1", {"embedding_1_W": drawn(9, 4)}),
        ("lstm_1", gates("lstm_1", "icfo", 4, 5)),
        ("gru_1", gates("gru_1", "zrh", 5, 3)),
    ]
    config = {"class_name": "Sequential", "config": layers}
    return write(path, config, weights, keras_version="1.2.2", backend=None)
