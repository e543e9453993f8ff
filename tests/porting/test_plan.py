"""An old model becomes a plan of stock layers, and everything that the user must mend is said at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backendexp.errors import UserError
from backendexp.porting import archive, draft
from support import old_files
from support.old_files import dense, drawn, layer, sequential


def test_plan_has_every_weight_once(tmp_path: Path) -> None:
    made = draft.make(archive.read(old_files.small(tmp_path / "model.h5"), None))
    assert [array.shape for array in made.plan.arrays.values()] == [(3, 4), (4,), (4, 2), (2,)]
    assert made.plan.shown == {"dense_1": "dense_1", "dense_2": "dense_2"}
    assert [key for key, _ in made.plan.trained] == list(made.plan.arrays)


def test_keras_1_names_and_gates_become_those_of_keras_2(tmp_path: Path) -> None:
    made = draft.make(archive.read(old_files.keras_1_words(tmp_path / "model.h5"), None))
    pieces = {one["name"]: one["pieces"][0] for one in made.plan.model["layers"]}
    assert pieces["lstm_1"]["config"]["units"] == 5
    assert pieces["gru_1"]["config"]["reset_after"] is False
    kernel = made.plan.arrays[pieces["lstm_1"]["arrays"][0]]
    # Keras 1 has the gates in the order i, c, f, o, and Keras 2 in the order i, f, c, o.
    np.testing.assert_allclose(kernel[:, 5:10], 1.2 * drawn(4, 5, seed=20), rtol=1e-6)
    np.testing.assert_allclose(kernel[:, 10:15], drawn(4, 5, seed=10), rtol=1e-6)


def test_keras_1_images_become_those_of_keras_2(tmp_path: Path) -> None:
    made = draft.make(archive.read(old_files.keras_1_images(tmp_path / "model.h5"), None))
    config = made.plan.model["layers"][0]["pieces"][0]["config"]
    assert (config["filters"], config["kernel_size"], config["data_format"]) == (4, [3, 2], "channels_last")
    assert config["kernel_regularizer"] == {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.01}}


def test_everything_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    lambda_1 = layer("Lambda", "lambda_1", function=["4wEAAA==", None, None], function_type="lambda")
    config = sequential(
        layer("Odd", "odd_1", batch_input_shape=[None, 3]), lambda_1, dense("dense_1", 2, activation="swirl")
    )
    path = old_files.write(tmp_path / "model.h5", config, [])
    with pytest.raises(UserError) as raised:
        draft.make(archive.read(path, None))
    said = str(raised.value).splitlines()
    assert len(said) == 3
    assert "'Odd'" in said[0]
    assert "lambda_1" in said[1]
    assert "'swirl'" in said[2]


def test_own_function_in_place_of_a_lambda_leaves_it_unproved(tmp_path: Path) -> None:
    lambda_1 = layer("Lambda", "lambda_1", function=["4wEAAA==", None, None], function_type="lambda")
    config = sequential(dense("dense_1", 2, batch_input_shape=[None, 3]), lambda_1)
    weights = [("dense_1", {"k": drawn(3, 2), "b": drawn(2)}), ("lambda_1", {})]
    found = archive.read(old_files.write(tmp_path / "model.h5", config, weights), None)
    own = frozenset({"lambda_1"})
    made = draft.make(found, own)
    assert "nothing shows that it computes the same" in made.unproved[0]
    assert "4wEAAA" not in made.config
    trusted = draft.make(found, own, trust=True)
    assert not trusted.unproved
    assert "4wEAAA" in trusted.config


@pytest.mark.parametrize(
    "config",
    [
        {"class_name": "Sequential", "config": {"name": "a", "layers": [{"class_name": 3}]}},
        {"class_name": "Model", "config": {"name": "a", "layers": [], "input_layers": [["x", 0, 0]]}},
        {"class_name": "Sequential", "config": 5},
    ],
)
def test_damaged_architecture_is_refused(config: dict[str, Any], tmp_path: Path) -> None:
    path = old_files.write(tmp_path / "model.h5", config, [])
    with pytest.raises(UserError, match="the architecture is damaged"):
        draft.make(archive.read(path, None))


def test_subclass_of_model_is_refused(tmp_path: Path) -> None:
    path = old_files.write(tmp_path / "model.h5", {"class_name": "Mine", "config": {}}, [])
    with pytest.raises(UserError, match=r"class 'Mine'\. Expected Sequential or Model"):
        draft.make(archive.read(path, None))


def test_layer_that_claims_to_be_greater_than_its_weights_is_refused(tmp_path: Path) -> None:
    config = sequential(dense("d", 10**12, batch_input_shape=[None, 3]))
    weights = [("d", {"d/kernel:0": drawn(3, 4), "d/bias:0": drawn(4)})]
    found = archive.read(old_files.write(tmp_path / "model.h5", config, weights), None)
    with pytest.raises(
        UserError, match=r"layer 'd' has units=1000000000000, and its weights the shapes \(3, 4\)"
    ):
        draft.make(found)


def test_two_layers_of_one_name_are_refused(tmp_path: Path) -> None:
    config = sequential(dense("d", 3, batch_input_shape=[None, 3]), dense("d", 3))
    found = archive.read(old_files.write(tmp_path / "model.h5", config, []), None)
    with pytest.raises(UserError, match="two of its layers are called 'd'"):
        draft.make(found)


def test_names_become_those_that_keras_3_and_tensorflow_accept(tmp_path: Path) -> None:
    config = sequential(dense("first layer/é", 3, batch_input_shape=[None, 3]))
    weights = [("first layer/é", {"kernel:0": drawn(3, 3), "bias:0": drawn(3)})]
    made = draft.make(archive.read(old_files.write(tmp_path / "model.h5", config, weights), None))
    assert made.plan.shown == {"first layer/é": "first_layer__"}


def test_layers_that_are_added_have_names_of_their_own(tmp_path: Path) -> None:
    # tf.keras calls the second of two layers as the first with a number.
    inner = layer("Dense", "d", units=2, activation="hard_sigmoid")
    first = layer("TimeDistributed", "t", layer=inner, batch_input_shape=[None, 4, 2])
    second = layer("TimeDistributed", "t_1", layer=layer("Dense", "d_1", units=2))
    weights = [(name, {"kernel:0": drawn(2, 2), "bias:0": drawn(2)}) for name in ("t", "t_1")]
    found = archive.read(old_files.write(tmp_path / "model.h5", sequential(first, second), weights), None)
    plan = draft.make(found).plan
    names = [piece["name"] for one in plan.model["layers"] for piece in one["pieces"]]
    assert len(set(names)) == 4
    assert names[-1] == "t_1"
    assert plan.shown == {"t": "t", "t_1": "t_1"}
