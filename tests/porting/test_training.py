"""The state of an optimizer follows the weights into Keras 3, whatever became of these."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backendexp.porting import archive, draft, training
from support import old_files
from support.old_files import drawn, layer, sequential


def compiled(kind: str, **config: Any) -> dict[str, Any]:
    described = {"class_name": kind, "config": {"lr": 0.01, **config}}
    return {"optimizer_config": described, "loss": "mse", "metrics": [], "loss_weights": None}


def state_of(
    path: Path, config: dict[str, Any], weights: Any, kind: str, state: list[Any], **more: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    old_files.write(path, config, weights, training=compiled(kind, **more), optimizer=state)
    found = archive.read(path, None)
    settings, arrays = training.of(found, draft.make(found).plan)
    assert settings is not None
    return settings, arrays


def lstm(recurrent_activation: str) -> dict[str, Any]:
    return layer(
        *("LSTM", "l"),
        units=2,
        activation="tanh",
        recurrent_activation=recurrent_activation,
        batch_input_shape=[None, 4, 3],
    )


LSTM_WEIGHTS = [("l", {"l/kernel:0": drawn(3, 8), "l/recurrent:0": drawn(2, 8), "l/bias:0": drawn(8)})]


@pytest.mark.parametrize(("kind", "powers"), [("SGD", (1,)), ("Adam", (-1, -2)), ("Adadelta", (-2, 2))])
def test_state_of_weights_that_were_multiplied_is_that_of_their_gradients(
    kind: str, powers: tuple[int, ...], tmp_path: Path
) -> None:
    shapes = [(3, 8), (2, 8), (8,)]
    states = [np.ones(shape, "float32") for _ in powers for shape in shapes]
    settings, arrays = state_of(
        *(tmp_path / "m.h5", sequential(lstm("hard_sigmoid")), LSTM_WEIGHTS),
        *(kind, [np.int64(5), *states]),
    )
    assert settings["iterations"] == 5
    assert [entry["key"] for entry in settings["state"]] == ["w0", "w1", "w2"]
    for part, power in enumerate(powers):
        # The gates have the factor 1.2, and the cell, which is the third of four parts, has none.
        wanted = np.repeat([1.2**power, 1.2**power, 1, 1.2**power], 2)
        np.testing.assert_allclose(arrays[f"s2_{part}"], wanted, rtol=1e-6)


def test_state_of_mirrored_kernels_is_mirrored(tmp_path: Path) -> None:
    convolution = layer(
        "Conv1D", "c", filters=2, kernel_size=[3], use_bias=False, batch_input_shape=[None, 5, 1]
    )
    path = tmp_path / "m.h5"
    kernel, moment = drawn(3, 1, 2), drawn(3, 1, 2, seed=1)
    old_files.write(
        *(path, sequential(convolution), [("c", {"c/kernel:0": kernel})]),
        backend="theano",
        training=compiled("SGD"),
        optimizer=[np.int64(1), moment],
    )
    found = archive.read(path, None)
    _, arrays = training.of(found, draft.make(found).plan)
    np.testing.assert_array_equal(arrays["s0_0"], moment[::-1])


def test_state_of_cudnn_goes_to_the_layer_that_replaces_it(tmp_path: Path) -> None:
    cudnn = layer("CuDNNLSTM", "l", units=2, batch_input_shape=[None, 4, 3])
    weights = [("l", {"k": drawn(3, 8), "r": drawn(2, 8), "b": drawn(16)})]
    first = [drawn(3, 8, seed=1), drawn(2, 8, seed=2), np.tile(drawn(8, seed=3), 2)]
    settings, arrays = state_of(
        tmp_path / "m.h5", sequential(cudnn), weights, "RMSprop", [np.int64(1), *first]
    )
    assert all(entry["key"] is not None for entry in settings["state"])
    # Both biases have the gradient of their sum.
    np.testing.assert_array_equal(arrays["s2_0"], drawn(8, seed=3))


def test_schedule_of_nadam_is_kept(tmp_path: Path) -> None:
    state = [np.int64(2), np.float32(0.25), *(np.ones(s) for s in [(3, 8), (2, 8), (8,)] * 2)]
    settings, _ = state_of(
        *(tmp_path / "m.h5", sequential(lstm("sigmoid")), LSTM_WEIGHTS, "Nadam", state), schedule_decay=0.004
    )
    assert (settings["schedule"], len(settings["state"])) == (0.25, 3)


def test_state_of_other_weights_is_not_carried_over(tmp_path: Path) -> None:
    state = [np.int64(2), *(np.ones((9, 9)) for _ in range(6))]
    settings, arrays = state_of(
        tmp_path / "m.h5", sequential(lstm("hard_sigmoid")), LSTM_WEIGHTS, "Adam", state
    )
    assert [entry["key"] for entry in settings["state"]] == [None, None, None]
    assert not arrays


def test_state_of_tensorflow_2_is_put_in_the_order_of_keras_2() -> None:
    names = ["iteration:0", "learning_rate:0", "Adam/m/d/kernel:0", "Adam/v/d/kernel:0", "Adam/m/d/bias:0"]
    named = [(name, number) for number, name in enumerate([*names, "Adam/v/d/bias:0"])]
    assert archive.in_old_order(named) == [0, 2, 4, 3, 5]
    assert archive.in_old_order([("Adam/iter:0", 7), ("Adam/d/kernel/m:0", 8)]) == [7, 8]


@pytest.mark.parametrize("damaged", [[1, 2], {"optimizer_config": [1]}, {"optimizer_config": None}])
def test_damaged_training_config_leaves_the_model_uncompiled(damaged: Any, tmp_path: Path) -> None:
    found = archive.read(old_files.small(tmp_path / "m.h5", training=damaged), None)
    settings, _ = training.of(found, draft.make(found).plan)
    assert settings is not None
    assert settings["optimizer"] == ""
