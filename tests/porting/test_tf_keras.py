"""Files of tf.keras are told from those of Keras, and their words are put into those of tf.keras 1.14."""

import json
from pathlib import Path
from typing import Any

import pytest

from backendexp.errors import UserError
from backendexp.porting import architecture, archive, draft, layers, old_config
from backendexp.porting.architecture import Layer, Source
from support import old_files
from support.old_files import dense, drawn, layer, sequential


def written(
    path: Path, config: dict[str, Any], version: str = "2.15.0", weights: Any = ()
) -> archive.Archive:
    return archive.read(old_files.write(path, config, weights, keras_version=version), None)


@pytest.mark.parametrize(
    ("version", "of_tf_keras", "of_tensorflow_2"),
    [
        ("2.3.1", False, False),
        ("1.2.2", False, False),
        ("2.1.6-tf", True, False),
        ("2.2.4-tf", True, False),
        ("2.3.0-tf", True, True),
        ("2.4.0", True, True),
        ("2.15.0", True, True),
        ("banana", False, False),
    ],
)
def test_version_tells_which_library_wrote_a_file(
    version: str, of_tf_keras: bool, of_tensorflow_2: bool, tmp_path: Path
) -> None:
    found = archive.read(old_files.small(tmp_path / "m.h5", keras_version=version), None)
    assert (found.of_tf_keras, found.of_tensorflow_2) == (of_tf_keras, of_tensorflow_2)


def test_words_of_later_versions_become_those_of_the_old_one(tmp_path: Path) -> None:
    first = dense(
        *("d", 2),
        kernel_initializer={"module": "keras.initializers", "class_name": "HeNormal", "config": {"seed": 3}},
        kernel_regularizer={"class_name": "L2", "config": {"l2": 0.1}},
    )
    second = layer("BatchNormalizationV1", "b", axis=[1], synchronized=False)
    third = layer("Conv1D", "c", filters=1, kernel_size={"class_name": "__tuple__", "items": [3]}, groups=2)
    config = sequential(first, second, third)
    config["config"]["build_input_shape"] = [None, 3]
    found = written(tmp_path / "m.h5", config)
    cleaned = json.loads(old_config.config_for_keras_2(found, False))["config"]["layers"]
    assert cleaned[0]["config"]["kernel_initializer"] == {"class_name": "Zeros", "config": {}}
    assert cleaned[0]["config"]["kernel_regularizer"] is None
    assert cleaned[0]["config"]["batch_input_shape"] == [None, 3]
    assert (cleaned[1]["class_name"], cleaned[1]["config"]["axis"]) == ("BatchNormalization", 1)
    assert "synchronized" not in cleaned[1]["config"]
    assert cleaned[2]["config"]["kernel_size"] == [3]
    # tf.keras 1.14 has no groups, and must refuse the layer instead of computing something else.
    assert cleaned[2]["config"]["groups"] == 2


def node(*sources: list[Any]) -> list[Any]:
    return [[*source, {}] for source in sources]


@pytest.mark.parametrize("first", [0, 1])
def test_calls_of_a_model_count_from_0_or_1(first: int) -> None:
    inner = {**sequential(dense("d", 3, batch_input_shape=[None, 3])), "name": "inner"}
    start = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 3]}, "name": "i"}
    add = {"class_name": "Add", "config": {"name": "a"}, "name": "a"}
    config = {
        "name": "m",
        "layers": [
            {**start, "inbound_nodes": []},
            {**inner, "inbound_nodes": [node(["i", 0, 0]), node(["inner", first, 0])]},
            {**add, "inbound_nodes": [node(["inner", first, 0], ["inner", first + 1, 0])]},
        ],
        "input_layers": ["i", 0, 0],
        "output_layers": [["a", 0, 0]],
    }
    model = architecture.model_of({"class_name": "Functional", "config": config}, 2)
    assert model.inputs == (Source("i", 0, 0),)
    assert model.layer("inner").calls[1].sources == (Source("inner", 0, 0),)
    assert model.layer("a").calls[0].sources == (Source("inner", 0, 0), Source("inner", 1, 0))


@pytest.mark.parametrize(
    ("version", "kinds"),
    [
        ("2.3.1", ["UpSampling2D", "AveragePooling2D"]),
        ("2.2.4-tf", ["UpSampling2D", "AveragePooling2D"]),
        ("2.4.0", ["UpSampling2D"]),
    ],
)
def test_tensorflow_2_interpolates_as_keras_3_does(version: str, kinds: list[str], tmp_path: Path) -> None:
    bigger = layer(
        "UpSampling2D", "u", size=[2, 2], interpolation="bilinear", batch_input_shape=[None, 4, 4, 1]
    )
    plan = draft.make(written(tmp_path / "m.h5", sequential(bigger), version)).plan
    assert [piece["kind"] for piece in plan.model["layers"][0]["pieces"]] == kinds
    assert bool(plan.reasons) == (version == "2.4.0")


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (
            layer("TFOpLambda", "tf.math.multiply"),
            "an operation of TensorFlow that was used outside of a layer",
        ),
        (layer("BatchNormalization", "b", renorm=True), "has renorm=True, which .* Keras 3 does not have"),
    ],
)
def test_what_no_backend_has_is_refused(one: dict[str, Any], said: str, tmp_path: Path) -> None:
    one["config"]["batch_input_shape"] = [None, 3]
    with pytest.raises(UserError, match=said):
        draft.make(written(tmp_path / "m.h5", sequential(one)))


def test_mixed_precision_is_noted(tmp_path: Path) -> None:
    policy = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    weights = [("d", {"d/kernel:0": drawn(3, 2), "d/bias:0": drawn(2)})]
    config = sequential(dense("d", 2, batch_input_shape=[None, 3], dtype=policy))
    plan = draft.make(written(tmp_path / "m.h5", config, weights=weights)).plan
    assert plan.notes == [("d", "it was trained in mixed precision. It computes in float32 now")]


@pytest.mark.parametrize(("name", "wanted"), [("lambda", "lambda_"), ("a/b-1", "a_b_1"), ("twice", "twice")])
def test_function_of_a_lambda_layer_has_a_name_that_python_accepts(name: str, wanted: str) -> None:
    assert layers.function_of(Layer("Lambda", name, {})) == wanted
