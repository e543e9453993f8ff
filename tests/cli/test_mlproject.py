"""Parameters of `mlflow run` reach our command line unchanged, in spite of MLflow's quoting."""

import shlex
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendexp.cli.mlproject import command_line
from backendexp.errors import ConfigError
from support.command import REPOSITORY

DEFAULTS = [
    "backend=tensorflow",
    "runtime=auto",
    "data=random",
    "model=mlp",
    "seed=0",
    "training.epochs=20",
    "training.batch_size=128",
    "training.optimizer=rmsprop",
    "training.learning_rate=0.001",
]


def through_mlflow(entry: str, parameters: dict[str, str]) -> list[str]:
    """Return the arguments that we get when a user passes these parameters to `mlflow run . -e ENTRY`."""
    from mlflow.projects.utils import load_project

    point = load_project(str(REPOSITORY)).get_entry_point(entry)
    command = point.compute_command(parameters, None)
    words = shlex.split(command)  # as the shell does, except for variables
    start = words.index("backendexp.cli.mlproject")
    assert words[:start] == ["PYTHONPATH=src:packages/keras_theano/src", "python", "-m"]
    assert words[start + 1] == entry
    return command_line(entry, words[start + 2 :])


def test_defaults_are_those_of_the_configuration() -> None:
    assert through_mlflow("main", {}) == DEFAULTS


def test_defaults_of_the_project_plan_the_same_run_as_the_bare_command() -> None:
    from support.checking import check

    assert check(*through_mlflow("main", {"backend": "jax"})) == check("backend=jax")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"backend": "theano", "epochs": "50"}, {"backend=theano", "training.epochs=50"}),
        ({"hidden_units": "32,16"}, {"model.hidden_units=[32,16]"}),
        ({"hidden_units": "[32,16]"}, {"model.hidden_units=[32,16]"}),
        ({"experiment": "parity"}, {"experiment=parity"}),
        ({"overrides": "threads=1 data.samples=5000"}, {"threads=1", "data.samples=5000"}),
        ({"overrides": "tracking.run_name='a b & c=d'"}, {"tracking.run_name=a b & c=d"}),
        ({"overrides": 'tracking.run_name="it\'s $HOME"'}, {"tracking.run_name=it's $HOME"}),
        ({"tracking.run_name": "a=b, 'c' & \"d\""}, {"tracking.run_name=a=b, 'c' & \"d\""}),
        ({"threads": "1"}, {"threads=1"}),
        (
            {"model": "custom", "overrides": "model._target_=my/models.py:build model.width=64"},
            {"model=custom", "model._target_=my/models.py:build", "model.width=64"},
        ),
        ({"overrides": "+a=1 ~b"}, {"+a=1", "~b"}),
    ],
)
def test_parameters_reach_us_as_they_were_meant(parameters: dict[str, str], expected: set[str]) -> None:
    words = through_mlflow("main", parameters)
    assert expected <= set(words)
    replaced = {word.split("=")[0] for word in expected}
    assert [w for w in DEFAULTS if w.split("=")[0] not in replaced] == [w for w in words if w in DEFAULTS]


def test_sweep_varies_the_backend_fastest() -> None:
    words = through_mlflow(
        "sweep", {"backend": "tensorflow,jax", "seed": "range(10)", "overrides": "threads=1"}
    )
    assert words == [
        "--multirun",
        "runtime=auto",
        "seed=range(10)",
        "backend=tensorflow,jax",
        "threads=1",
    ]


def test_parity_is_an_experiment() -> None:
    assert through_mlflow("parity", {"seed": "3"}) == ["experiment=parity", "seed=3"]


def test_compare_takes_backends_as_a_list_and_leaves_the_rest_to_the_configuration() -> None:
    assert through_mlflow("compare", {}) == [
        "experiment=compare",
        "runtime=auto",
        "compare.blocks=10",
        "seed=0",
    ]
    given = {"backends": "theano,jax", "baseline": "jax", "blocks": "5", "overrides": "threads=1"}
    assert through_mlflow("compare", given) == [
        "experiment=compare",
        "compare.backends=[theano,jax]",
        "compare.baseline=jax",
        "runtime=auto",
        "compare.blocks=5",
        "seed=0",
        "threads=1",
    ]


def test_scale_takes_its_sizes_as_lists() -> None:
    assert through_mlflow("scale", {"samples": "[500,5000]", "hidden_units": "8,16", "repeats": "2"}) == [
        "experiment=scale",
        "runtime=auto",
        "scale.samples=[500,5000]",
        "scale.hidden_units=[8,16]",
        "scale.repeats=2",
        "seed=0",
    ]


@pytest.mark.parametrize("entry", ["compare", "scale"])
def test_defaults_of_an_experiments_entry_point_are_those_of_the_configuration(entry: str) -> None:
    from support.checking import check_config

    assert check_config(*through_mlflow(entry, {})) == check_config(f"experiment={entry}")


@pytest.mark.parametrize("experiment", ["compare", "scale"])
def test_experiment_of_several_backends_is_not_for_the_entry_point_of_one(experiment: str) -> None:
    with pytest.raises(ConfigError, match=rf"the entry point main runs one.*mlflow run \. -e {experiment}"):
        through_mlflow("main", {"experiment": experiment})


text = st.text(string.printable.replace("\x0b", "").replace("\x0c", "") + "é漢", min_size=1)


@given(st.lists(text.map(lambda t: "key=" + t), min_size=1, max_size=4))
def test_any_overrides_survive_quoting(words: list[str]) -> None:
    assert command_line("main", ["--overrides", shlex.join(words)]) == words


@given(text)
def test_any_value_of_an_undeclared_parameter_survives_mlflow_and_the_shell(value: str) -> None:
    assert f"tracking.run_name={value}" in through_mlflow("main", {"tracking.run_name": value})


def test_key_that_is_given_twice_is_refused_with_the_way_out() -> None:
    with pytest.raises(
        ConfigError,
        match=r"training\.epochs is given twice: use -P epochs=\.\.\., remove it from overrides",
    ):
        command_line("main", ["--epochs", "20", "--overrides", "training.epochs=5"])
    with pytest.raises(ConfigError, match=r"seed is given twice: use -P seed="):
        command_line("main", ["--seed", "0", "--overrides", "+seed=5"])


def test_key_of_an_entry_point_of_its_own_is_known_by_its_short_name() -> None:
    with pytest.raises(ConfigError, match=r"scale\.samples is given twice: use -P samples=\.\.\.,"):
        command_line("scale", ["--samples", "1,2", "--overrides", "scale.samples=[3]"])


@pytest.mark.parametrize("overrides", ["seed='0", 'a="b', "a=1\\"])
def test_overrides_that_are_not_a_command_line_are_refused(overrides: str) -> None:
    with pytest.raises(ConfigError, match=r"overrides is .*, which cannot be read as a command line: "):
        command_line("main", ["--overrides", overrides])


@pytest.mark.parametrize("arguments", [["--seed"], ["seed", "3"], ["--seed", "3", "x"]])
def test_options_that_do_not_come_in_pairs_are_refused(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"expected pairs of --name value, got: "):
        command_line("main", arguments)


def test_every_entry_point_is_handled() -> None:
    from mlflow.projects.utils import load_project

    for entry in load_project(str(REPOSITORY))._entry_points:
        assert isinstance(command_line(entry, []), list)
