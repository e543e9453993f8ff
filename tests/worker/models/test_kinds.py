"""Which samples each model takes, and which generations of Keras have its layers."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backendexp.config import schema
from backendexp.worker import models
from backendexp.worker.arrays import Dataset
from support import checking

BUILT_IN = ["bilstm", "cnn", "gru", "lstm", "mlp", "transformer"]
SEQUENCES = [name for name in BUILT_IN if name not in ("cnn", "mlp")]


def settings(kind: str, **fields: Any) -> Any:
    return models.kind(kind).Settings(**fields)


def fault(kind: str, *inputs: int, **fields: Any) -> str | None:
    return models.input_fault(settings(kind, **fields), inputs)


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [("mlp", (20,)), ("mlp", (8, 8, 1)), ("cnn", (8, 8, 1)), *((kind, (40, 1)) for kind in SEQUENCES)],
)
def test_models_take_what_they_are_made_for(kind: str, inputs: tuple[int, ...]) -> None:
    assert fault(kind, *inputs) is None


@pytest.mark.parametrize("inputs", [(20,), (40, 1), (4, 8, 8, 1)])
def test_cnn_takes_images_alone(inputs: tuple[int, ...]) -> None:
    assert f"a sample of x has the shape {inputs}: model=cnn takes images" in (fault("cnn", *inputs) or "")


@pytest.mark.parametrize(
    ("fields", "layer"),
    [
        ({"padding": "valid"}, 2),
        ({"filters": [1] * 4}, 4),
        ({"pool_size": 9}, 1),
        ({"kernel_size": 9, "padding": "valid"}, 1),
    ],
)
def test_cnn_that_leaves_nothing_of_an_image_is_refused(fields: dict[str, Any], layer: int) -> None:
    said = fault("cnn", 8, 8, 1, **fields)
    assert said is not None
    assert f"the images are 8 by 8 pixels, and nothing of them is left after layer {layer}" in said


def test_cnn_leaves_something_of_the_images_that_its_example_is_made_for() -> None:
    assert fault("cnn", 28, 28, 1, padding="valid") is None


@pytest.mark.parametrize("kind", SEQUENCES)
def test_sequences_have_steps_and_features_unless_they_have_a_vocabulary(kind: str) -> None:
    assert "takes sequences, samples of the shape (steps, features)" in (fault(kind, 20) or "")
    assert fault(kind, 8, 8, 1) is None  # read row by row
    assert fault(kind, 20, vocabulary=50) is None
    assert "takes samples of the shape (steps,)" in (fault(kind, 20, 1, vocabulary=50) or "")


COUNTED = [
    ("mlp", (4, 5), {"hidden_units": [3, 2]}),
    ("cnn", (9, 8, 2), {"filters": [3, 4]}),
    ("cnn", (28, 28, 1), {"filters": [3, 4], "padding": "valid", "kernel_size": 5}),
    ("lstm", (6, 2), {"units": [5, 3]}),
    ("gru", (6, 2, 2), {"units": [5]}),
    ("bilstm", (6,), {"units": [5, 3], "vocabulary": 11, "embedding": 7}),
    ("transformer", (6, 3), {"width": 7, "heads": 2, "blocks": 2, "feed_forward": 5}),
    ("transformer", (6,), {"vocabulary": 11}),
]
COUNT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from worker import engine, models, tasks

engine.load()

counts = []
for kind, inputs, fields in json.loads(sys.argv[2]):
    output = models.Output(1, "sigmoid")
    counts.append(models.kind(kind).build(fields, tuple(inputs), output).count_params())
print(json.dumps(counts))
"""


@pytest.mark.slow
def test_weights_are_counted_before_the_model_is_built() -> None:
    package = Path(models.__file__).parents[2]
    parts = [settings(kind, **fields) for kind, _, fields in COUNTED]
    built = [(part.kind, inputs, part.to_json()) for part, (_, inputs, _) in zip(parts, COUNTED, strict=True)]
    answer = subprocess.run(
        [sys.executable, "-c", COUNT, str(package), json.dumps(built)],
        env={**os.environ, "KERAS_BACKEND": "theano"},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    counts = [part.weight_count(inputs) for part, (_, inputs, _) in zip(parts, COUNTED, strict=True)]
    assert json.loads(answer.stdout.splitlines()[-1]) == counts


@pytest.mark.parametrize(
    "words",
    [
        ["model=lstm", "model.units=[100000,100000]", "data=mnist1d"],
        ["model=cnn", "model.filters=[100000,100000]", "data=digits"],
        ["model=transformer", "model.width=100000", "data=mnist1d"],
    ],
)
def test_weights_too_large_for_memory_are_refused(words: list[str]) -> None:
    said = checking.refusal(*words)
    assert re.match(r"the weights would take [\d,]+ GiB", said)
    assert said.endswith(f"Lower {words[1].partition('=')[0]}")


@pytest.mark.parametrize("kind", BUILT_IN)
def test_built_in_models_take_one_array(kind: str) -> None:
    said = models.input_fault(settings(kind), {"left": (3,), "right": (4,)})
    assert said == f"x consists of 2 arrays, but model={kind} takes one. Use model=custom"


@pytest.mark.parametrize("low_high", [(0, 50), (-1, 49), (0.5, 3)])
def test_numbers_that_the_vocabulary_does_not_have_are_refused(low_high: tuple[float, float]) -> None:
    x = np.zeros((4, 3), "float32")
    x[0, :2] = low_high
    with pytest.raises(models.UnfitInput, match=r"model\.vocabulary=50 takes whole numbers from 0 to 49"):
        models.check_input(settings("lstm", vocabulary=50), Dataset(np.zeros((4, 3)), None, x, None))


def test_numbers_of_the_vocabulary_are_taken() -> None:
    x = np.arange(50).reshape(10, 5)
    models.check_input(settings("lstm", vocabulary=50), Dataset(x, None, x.astype("float32"), None))


def test_model_is_refused_before_the_worker_starts_if_it_cannot_take_the_data() -> None:
    said = checking.refusal("model=cnn", "tracking=none")
    assert said.startswith("data=random: a sample of x has the shape (20,): model=cnn takes images")


def test_transformer_needs_keras_3_and_the_message_names_the_runtime_that_has_it() -> None:
    said = checking.refusal("model=transformer", "data=mnist1d", "runtime=keras2", "tracking=none")
    assert said == (
        "model=transformer has layers that runtime 'keras2' (Keras 2) does not have. Use runtime=keras3"
    )


def test_vocabulary_may_be_left_out() -> None:
    (spec,) = checking.check("model=gru", "data=mnist1d", "backend=jax", "tracking=none")
    assert (spec.model.kind, spec.model.vocabulary, spec.model.output_activation) == ("gru", None, "softmax")


@pytest.mark.parametrize("kind", BUILT_IN)
def test_every_setting_has_a_file_with_the_defaults_of_the_class(kind: str) -> None:
    import yaml

    written = yaml.safe_load((schema.conf_dir() / "model" / f"{kind}.yaml").read_text())
    assert written == dataclasses.asdict(settings(kind))
