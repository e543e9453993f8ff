"""`backendexp port` on files of the real Keras 2.3.1, proved on the engines themselves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from backendexp.runs.worker_pool import Surroundings, environment_of
from support import old_files
from support.command import LEAN, REPOSITORY, Command

pytestmark = pytest.mark.slow

# Words, a mask, the old hard_sigmoid in gates and in a layer, and the state of an optimizer.
MAKE = """
import numpy as np
from keras.layers import LSTM, BatchNormalization, Dense, Embedding
from keras.models import Sequential

np.random.seed(0)
model = Sequential([
    Embedding(9, 4, mask_zero=True, input_length=6),
    LSTM(5, recurrent_activation="hard_sigmoid"),
    Dense(6, activation="hard_sigmoid"),
    BatchNormalization(),
    Dense(3, activation="softmax"),
])
model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
x, y = np.random.randint(9, size=(32, 6)), np.eye(3)[np.random.randint(3, size=32)]
model.fit(x, y, epochs=2, verbose=0)
model.save("old.h5")
"""
# The names, the words and the optimizer of tf.keras, of which Keras 2.3.1 knows none.
MAKE_WITH_TF_KERAS = """
import numpy as np
from tensorflow import keras

np.random.seed(0)
layers = keras.layers
start = keras.Input((6, 3))
value = layers.GRU(4, reset_after=True)(layers.LayerNormalization()(layers.Masking()(start)))
inner = keras.Sequential([layers.Dense(4, activation="tanh", input_shape=(4,)), layers.BatchNormalization()])
value = layers.Add()([inner(value), inner(inner(value))])
model = keras.Model(start, layers.Dense(3, activation="softmax")(value))
model.compile("nadam", keras.losses.CategoricalCrossentropy(), metrics=["accuracy"])
x, y = np.random.normal(size=(32, 6, 3)), np.eye(3)[np.random.randint(3, size=32)]
model.fit(x, y, epochs=2, verbose=0)
model.save("old.h5")
"""
TRAIN_ON = """
import keras
import numpy as np

model = keras.saving.load_model("old.keras")
assert model.optimizer.iterations == 2 and 0.1 < float(model.optimizer._u_product) < 0.3
losses = model.fit(np.ones((4, 6, 3)), np.eye(3)[[0, 1, 2, 0]], verbose=0).history
print(sorted(losses))
"""
LOAD = """
import keras
import numpy as np

model = keras.saving.load_model("old.keras")
assert model.optimizer.iterations == 2
print(float(model.predict(np.zeros((1, 6)), verbose=0).sum()))
"""
# Trains on, in either generation, and keeps the weights.
TRAIN = """
import sys
import keras
import numpy as np
from keras.layers import Dense
from keras.models import Sequential

stream = np.random.RandomState(0)
x = stream.normal(size=(64, 5)).astype("float32")
y = np.eye(3)[stream.randint(3, size=64)].astype("float32")
kind, file = sys.argv[1:3]
if file.endswith(".h5"):
    model = Sequential([Dense(8, activation="tanh", input_shape=(5,)), Dense(3, activation="softmax")])
    settings = {"momentum": 0.9, "nesterov": True} if kind == "SGD" else {}
    model.compile(getattr(keras.optimizers, kind)(decay=0.01, **settings), "categorical_crossentropy")
    model.fit(x, y, epochs=3, batch_size=16, shuffle=False, verbose=0)
    model.save(file)
else:
    model = keras.models.load_model(file)
model.fit(x, y, epochs=3, batch_size=16, shuffle=False, verbose=0)
np.savez(file + ".npz", *model.get_weights())
"""


def run_keras_2(python: str, code: str, backend: str, *arguments: str) -> None:
    environment = environment_of(Surroundings(backend, "keras2", 1), own_interpreter=False)
    ended = subprocess.run(
        [python, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr


def run_keras_3(code: str, backend: str, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", LEAN + code, *arguments],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_file_of_the_real_keras_2_is_ported_and_proved(
    backendexp: Command, keras2_python: str, project: Path
) -> None:
    run_keras_2(keras2_python, MAKE, "tensorflow")
    ended = backendexp("port", "old.h5", "--backends", "jax", "--old-backends", "tensorflow")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "The same to rounding: all 5 outputs of layers, on jax on keras3" in ended.stdout
    assert "lstm_1: the weights of its gates are multiplied by 1.2" in ended.stdout
    # The two kernels and the bias of the LSTM were multiplied, and their state follows.
    assert "the state of Adam is carried over for 10 of 10 weights" in ended.stdout
    assert abs(float(run_keras_3(LOAD, "jax")) - 1) < 1e-6

    mlflow.set_tracking_uri(f"sqlite:///{project}/mlflow.db")
    (run,) = mlflow.search_runs(experiment_names=["backendexp"], output_format="list")
    assert (run.data.tags["kind"], run.data.tags["verdict"]) == ("port", "same")
    assert run.data.metrics["port/outputs_that_differ"] == 0
    artifacts = {one.path for one in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)}
    assert {"old.keras", "port.json", "port.md"} <= artifacts


def test_file_of_tf_keras_is_proved_by_tf_keras_in_the_run_of_mlflow_run(
    backendexp: Command, keras2_python: str, project: Path
) -> None:
    run_keras_2(keras2_python, MAKE_WITH_TF_KERAS, "tensorflow")
    mlflow.set_tracking_uri(f"sqlite:///{project}/mlflow.db")
    client = mlflow.MlflowClient()
    made = client.create_run(client.create_experiment("backendexp")).info.run_id
    ended = backendexp("port", "old.h5", "--backends", "theano", env={"MLFLOW_RUN_ID": made})
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "layers of tf.keras 2.2.4-tf" in ended.stderr
    assert "How far each output is at most from that of tf.keras on keras2:" in ended.stdout
    assert "on theano on keras3, are those of tf.keras on keras2" in ended.stdout
    assert "the state of Nadam is carried over for 11 of 11 weights" in ended.stdout
    assert run_keras_3(TRAIN_ON, "theano").split() == ["['accuracy',", "'loss']"]

    (run,) = mlflow.search_runs(experiment_names=["backendexp"], output_format="list")
    assert (run.info.run_id, run.info.status, run.data.tags["kind"]) == (made, "FINISHED", "port")


def test_file_of_keras_1_is_ported_and_proved(backendexp: Command, project: Path) -> None:
    old_files.keras_1_words(project / "old.h5")
    ended = backendexp(
        *(
            "port",
            "old.h5",
            "--backends",
            "tensorflow",
            "--old-backends",
            "tensorflow",
            "--json",
            "--no-tracking",
        )
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    assert report["verdict"] == "same"
    assert [one["layer"] for one in report["layers"]] == ["embedding_1", "lstm_1", "gru_1"]


def test_layer_that_differs_is_named(backendexp: Command, project: Path) -> None:
    # Nothing of stock Keras 3 interpolates by 3 as Keras 2 does.
    bigger = old_files.layer(
        "UpSampling2D", "bigger", size=[3, 3], interpolation="bilinear", batch_input_shape=[None, 4, 4, 1]
    )
    old_files.write(project / "old.h5", old_files.sequential(bigger), [("bigger", {})])
    ended = backendexp(
        *("port", "old.h5", "--backends", "jax", "--old-backends", "tensorflow", "--no-tracking")
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "DIFFERENT: the first layer that differs is bigger (UpSampling2D)" in ended.stdout
    assert "starts at the corners of the pixels in Keras 2" in ended.stdout
    assert (project / "old.keras").exists()


@pytest.mark.extended
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_training_goes_on_as_keras_2_would_have(
    kind: str, backendexp: Command, keras2_python: str, project: Path
) -> None:
    # On Theano, because Keras 2.3.1 on TensorFlow 1.14 counts its steps wrong.
    run_keras_2(keras2_python, TRAIN, "theano", kind, "old.h5")
    ended = backendexp(
        *("port", "old.h5", "--backends", "tensorflow", "--old-backends", "theano", "--no-tracking")
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    run_keras_3(TRAIN, "tensorflow", kind, "old.keras")
    old, new = np.load("old.h5.npz"), np.load("old.keras.npz")
    for name in old.files:
        np.testing.assert_allclose(new[name], old[name], atol=2e-6)


@pytest.mark.extended
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("engines", ["tensorflow,theano", "tf.keras"])
def test_every_layer_of_keras_2_is_ported_and_proved(engines: str, keras2_python: str) -> None:
    benchmark = REPOSITORY / "benchmarks" / "porting.py"
    ended = subprocess.run(
        [sys.executable, str(benchmark), "--backends", "tensorflow", "--engines", engines],
        capture_output=True,
        text=True,
        timeout=5000,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
