import dataclasses
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendexp.config.schema import ControlsConfig, EngineConfig, TrainingConfig
from backendexp.errors import BackendUnavailable, ConfigError
from backendexp.runs import plan
from backendexp.runs.plan import RunSpec
from backendexp.runtimes import catalogue
from backendexp.worker.data import npz, random, signal
from backendexp.worker.models import mlp
from support.arrays import good_arrays
from support.plans import small_config

MakeSpec = Callable[..., RunSpec]

finite = st.floats(allow_nan=False, allow_infinity=False)
sizes = st.integers(1, 10**9)
specs = st.builds(
    RunSpec,
    backend=st.sampled_from(catalogue.BACKENDS),
    runtime=st.sampled_from(list(catalogue.RUNTIMES)),
    python=st.none() | st.text(),
    start=st.sampled_from(["fork", "spawn"]),
    data=st.builds(random.Settings, samples=sizes, features=sizes, test_samples=sizes)
    | st.builds(signal.Settings, samples=sizes, features=sizes, test_samples=sizes, noise=finite)
    | st.builds(npz.Settings, path=st.text(), samples=sizes, features=sizes, test_samples=sizes),
    model=st.builds(
        mlp.Settings,
        hidden_units=st.lists(sizes, min_size=1),
        activation=st.text(),
        dropout=finite,
        output_activation=st.sampled_from(["sigmoid"]),
    ),
    training=st.builds(
        TrainingConfig, st.text(), finite, st.text(), st.just(["accuracy"]), sizes, sizes, st.just("float32")
    ),
    controls=st.builds(ControlsConfig, st.booleans(), st.booleans()),
    threads=sizes,
    seed=st.integers(0, 2**32 - 1),
    timeout_s=st.none() | finite,
    log_model=st.booleans(),
    probe=st.integers(0, 20),
)


@given(specs)
def test_plan_survives_json(spec: RunSpec) -> None:
    there_and_back = RunSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert there_and_back == spec
    assert there_and_back.id == spec.id


@given(specs)
def test_from_json_leaves_its_argument_as_it_was(spec: RunSpec) -> None:
    tree = spec.to_json()
    before = json.dumps(tree)
    RunSpec.from_json(tree)
    assert json.dumps(tree) == before


@given(specs)
def test_params_are_flat_text_under_the_dotted_keys_of_the_configuration(spec: RunSpec) -> None:
    params = spec.params()
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in params.items())
    assert params["backend.name"] == spec.backend
    assert params["data.samples"] == str(spec.data.samples)
    assert params["parity.probe"] == str(spec.probe)
    assert list(params) == sorted(params)
    assert len(params) <= 100  # the limit of a batch in MLflow


@given(specs, specs)
def test_ids_are_equal_exactly_for_equal_plans(a: RunSpec, b: RunSpec) -> None:
    assert (a.id == b.id) == (json.dumps(a.to_json()) == json.dumps(b.to_json()))
    assert re.fullmatch("[0-9a-f]{12}", a.id)


def test_id_does_not_change_between_releases() -> None:
    """The id finds the runs of earlier releases in a store."""
    spec = RunSpec(
        backend="tensorflow",
        runtime="keras3",
        python=None,
        start="fork",
        data=random.Settings(samples=1000, features=20, test_samples=100),
        model=mlp.Settings("mlp", [64, 64], "relu", 0.5, "sigmoid"),
        training=TrainingConfig("rmsprop", 0.001, "binary_crossentropy", ["accuracy"], 20, 128, "float32"),
        controls=ControlsConfig(True, True),
        threads=2,
        seed=0,
        timeout_s=None,
        log_model=False,
    )
    assert spec.id == "88bc181234a2"
    quiet = dataclasses.replace(spec, controls=ControlsConfig(True, True, dropout=False))
    assert quiet.id != spec.id


def test_every_field_changes_the_id(make_spec: MakeSpec) -> None:
    spec = make_spec()
    other = {
        "backend": "jax",
        "runtime": "keras2",
        "python": "/a/python",
        "start": "spawn",
        "data": dataclasses.replace(spec.data, samples=257),
        "model": dataclasses.replace(spec.model, dropout=0.25),
        "training": dataclasses.replace(spec.training, epochs=4),
        "controls": dataclasses.replace(spec.controls, batch_order=False),
        "threads": 3,
        "seed": 1,
        "timeout_s": 5.0,
        "log_model": True,
        "probe": 1,
        "engine": EngineConfig(jit_compile=False),
    }
    assert {*other, "inference"} == {field.name for field in dataclasses.fields(spec)}
    ids = {dataclasses.replace(spec, **{name: value}).id for name, value in other.items()}
    assert len(ids | {spec.id}) == len(other) + 1


def test_ids_of_plans_that_older_versions_could_make_have_not_changed(make_spec: MakeSpec) -> None:
    spec = make_spec()
    older = spec.to_json()
    del older["engine"], older["inference"], older["training"]["steps_per_execution"]
    assert RunSpec.from_json(older).id == spec.id
    several = dataclasses.replace(spec.training, steps_per_execution=2)
    assert dataclasses.replace(spec, training=several).id != spec.id
    # What is trained does not depend on it.
    assert dataclasses.replace(spec, inference=False).id == spec.id


@pytest.mark.parametrize(
    ("backend", "setting", "value", "why"),
    [
        (
            "theano",
            "engine__jit_compile",
            True,
            "jit_compile is true, but Theano has compilers of its",
        ),
        ("theano", "engine__run_eagerly", True, "engine.run_eagerly is true, but training on it cannot"),
        ("theano", "engine__precision", "tf32", "engine.precision is tf32, but only JAX, PyTorch and Tens"),
        ("torch", "training__steps_per_execution", 2, "training.steps_per_execution is 2, but Keras gives"),
    ],
)
def test_what_a_backend_cannot_do_is_refused(
    backend: str, setting: str, value: object, why: str, make_spec: MakeSpec
) -> None:
    with pytest.raises(ConfigError, match=why):
        make_spec(backend, **{setting: value})


def test_keras2_has_none_of_the_choices_of_compile(make_spec: MakeSpec) -> None:
    for setting, value in {"engine__jit_compile": False, "training__steps_per_execution": 2}.items():
        with pytest.raises(ConfigError, match=r"but compile of Keras 2\.3\.1 has no such argument"):
            make_spec("theano", "keras2", **{setting: value})


@pytest.mark.skipif(any(map(os.path.exists, plan.GPU_DEVICES)), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(make_spec: MakeSpec) -> None:
    with pytest.raises(ConfigError, match=r"engine.device is gpu, but this machine has no GPU"):
        make_spec("jax", engine__device="gpu")


def test_plan_is_frozen(make_spec: MakeSpec) -> None:
    spec = make_spec()
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.seed = 1  # type: ignore[misc]
    assert hash(spec) == hash(make_spec())


@pytest.mark.parametrize(
    ("backend", "runtime"),
    [("tensorflow", "keras3"), ("jax", "keras3"), ("torch", "keras3"), ("theano", "keras3")],
)
def test_auto_takes_the_first_runtime_that_offers_the_backend(
    backend: str, runtime: str, make_spec: MakeSpec
) -> None:
    assert make_spec(backend).runtime == runtime


def test_runtime_without_the_backend_is_refused_with_one_that_has_it(make_spec: MakeSpec) -> None:
    with pytest.raises(
        BackendUnavailable,
        match=r"backend 'jax' is not offered by runtime 'keras2', which has tensorflow, theano\. "
        r"Use runtime=keras3, or runtime=auto",
    ):
        make_spec("jax", "keras2")


def test_name_that_the_chosen_runtime_lacks_is_refused(make_spec: MakeSpec) -> None:
    with pytest.raises(ConfigError, match=r"training\.optimizer is 'lion', which runtime 'keras2'"):
        make_spec("theano", "keras2", training__optimizer="lion")


def test_threads_default_to_the_cores_that_this_process_may_use(make_spec: MakeSpec) -> None:
    assert make_spec(threads=None).threads == len(os.sched_getaffinity(0))


def test_start_auto_forks_where_the_system_has_it(make_spec: MakeSpec) -> None:
    assert make_spec().start == ("fork" if hasattr(os, "fork") else "spawn")
    assert make_spec(runtime__start="spawn").start == "spawn"


def test_npz_brings_its_sizes_and_an_absolute_path(project: Path, make_spec: MakeSpec) -> None:
    arrays = {"x_train": np.zeros((6, 3)), "y_train": np.zeros(6)}
    np.savez(project / "mine.npz", x_test=np.zeros((2, 3)), y_test=np.zeros(2), **arrays)
    spec = make_spec(data__kind="npz", data__path="mine.npz")
    assert spec.data == npz.Settings("npz", str(project / "mine.npz"), 6, 3, 2)


def test_plan_of_more_axes_has_the_shape_of_a_sample(project: Path, make_spec: MakeSpec) -> None:
    x = {"x_train": np.zeros((6, 8, 8, 1)), "x_test": np.zeros((2, 8, 8, 1))}
    np.savez(project / "mine.npz", **(good_arrays() | x))
    data = make_spec(data__kind="npz", data__path="mine.npz").data
    assert (data.samples, data.features, data.test_samples, data.shape) == (6, None, 2, [8, 8, 1])
    assert data.sample_shape() == (8, 8, 1)


def test_id_of_a_file_of_two_axes_does_not_change_between_releases(make_spec: MakeSpec) -> None:
    """It depends on no setting that came later."""
    spec = dataclasses.replace(make_spec(), data=npz.Settings("npz", "/mine.npz", 6, 3, 2))
    fields = {"kind": "npz", "path": "/mine.npz", "samples": 6, "features": 3, "test_samples": 2}
    assert spec.to_json()["data"] == fields
    assert spec.data.sample_shape() == (3,)


def test_several_inputs_are_refused_for_a_model_that_takes_one(project: Path, make_spec: MakeSpec) -> None:
    several = {f"{name}_{ending}": array for name, array in good_arrays().items() for ending in "ab"}
    np.savez(project / "mine.npz", **several)  # type: ignore[arg-type]
    said = r"mine\.npz has the inputs a, b, but model=mlp takes one of each\. Expected .* model=custom"
    with pytest.raises(ConfigError, match=said):
        make_spec(data__kind="npz", data__path="mine.npz")


@pytest.mark.parametrize(
    ("train", "test", "loss", "metrics", "activation"),
    [
        ([0, 1, 2, 0, 1, 2], [2, 1], "sparse_categorical_crossentropy", ["accuracy"], "softmax"),
        ([[0, 1]] * 6, [[1, 0]] * 2, "categorical_crossentropy", ["accuracy"], "softmax"),
        ([[1, 1]] * 6, [[1, 0]] * 2, "binary_crossentropy", ["binary_accuracy"], "sigmoid"),
        ([0.5] * 6, [2.5] * 2, "mean_squared_error", ["mean_absolute_error"], "linear"),
        ([[0.5, 7]] * 6, [[2.5, 1]] * 2, "mean_squared_error", ["mean_absolute_error"], "linear"),
        ([0] * 6, [1, 0], "binary_crossentropy", ["accuracy"], "sigmoid"),
    ],
)
def test_labels_of_the_file_decide_what_auto_stands_for(
    train: Any,
    test: Any,
    loss: str,
    metrics: list[str],
    activation: str,
    project: Path,
    make_spec: MakeSpec,
) -> None:
    np.savez(project / "mine.npz", **(good_arrays() | {"y_train": train, "y_test": test}))
    spec = make_spec(data__kind="npz", data__path="mine.npz")
    assert (spec.training.loss, spec.training.metrics) == (loss, metrics)
    assert spec.model.output_activation == activation


@pytest.mark.parametrize(
    ("kind", "loss", "said"),
    [
        (
            "digits",
            "binary_crossentropy",
            "data=digits: y_train holds the labels 0, 1, 2, 3, 4, 5, 6, 7, 8 and",
        ),
        ("addition", "hinge", "data=addition: y_train holds labels from 0 to 2, but training.loss=hinge"),
        (
            "random",
            "categorical_crossentropy",
            "data=random: y_train holds the labels 0 and 1, but training.lo",
        ),
    ],
)
def test_loss_that_does_not_suit_a_kind_of_data_is_refused(
    kind: str, loss: str, said: str, make_spec: MakeSpec
) -> None:
    with pytest.raises(ConfigError, match=said):
        make_spec(data__kind=kind, training__loss=loss)


def test_tilde_is_the_home_folder(
    tmp_path: Path, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "mine.npz", **good_arrays())  # type: ignore[arg-type]
    spec = make_spec(data__kind="npz", data__path="~/mine.npz")
    assert spec.data.path == str(tmp_path / "mine.npz")
    assert (
        make_spec(runtime__name="keras3", runtime__python="~/bin/python").python == f"{tmp_path}/bin/python"
    )


def test_tilde_of_an_unknown_user_is_kept(make_spec: MakeSpec) -> None:
    with pytest.raises(ConfigError, match=r"data\.path is '~nobody-of-this-name/mine\.npz': no such file"):
        make_spec(data__kind="npz", data__path="~nobody-of-this-name/mine.npz")


@pytest.mark.parametrize("name", ["y_train", "y_test"])
@pytest.mark.parametrize("labels", [[-1, 1, 1], [1, 3, 3], [0, 5, 9]])
def test_labels_that_the_loss_does_not_take_are_refused(
    labels: list[int], name: str, project: Path, make_spec: MakeSpec
) -> None:
    arrays = {**good_arrays(), name: np.array(labels), f"x{name[1:]}": np.zeros((3, 3))}
    np.savez(project / "mine.npz", **arrays)  # type: ignore[arg-type]
    values = f"{', '.join(map(str, sorted(set(labels))[:-1]))} and {max(labels)}"
    with pytest.raises(
        ConfigError, match=rf"mine\.npz: {name} holds the labels {values}, but training\.loss="
    ):
        make_spec(data__kind="npz", data__path="mine.npz", training__loss="binary_crossentropy")
    spec = make_spec(
        data__kind="npz",
        data__path="mine.npz",
        training__loss="mean_squared_error",
        model__output_activation="linear",
    )
    assert spec.training.loss == "mean_squared_error"


def test_title_is_a_readable_name_of_the_run(make_spec: MakeSpec) -> None:
    spec = make_spec(seed=4)
    assert spec.title == "tensorflow on keras3, seed 4"
    assert plan.with_probe(spec, 2).title == "tensorflow on keras3, seed 4, rounding probe 2"


def test_planning_does_not_change_the_configuration() -> None:
    config, untouched = small_config(), small_config()
    plan.plan_run(config)
    assert config == untouched
