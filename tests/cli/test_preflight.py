"""The command line is checked before anything starts, using the real Hydra."""

import sys
from pathlib import Path

import numpy as np
import pytest

from backendexp.cli import preflight
from backendexp.config.schema import conf_dir
from backendexp.errors import ConfigError
from support.arrays import good_arrays
from support.checking import check, check_all, refusal


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("backend=thaeno", "backend=thaeno is not known. Did you mean 'theano'? Expected one of: jax, "),
        ("backend.name=jxa", "backend.name is 'jxa', which is not known. Did you mean 'jax'?"),
        ("runtime=keras4", "runtime=keras4 is not known. Did you mean 'keras3'?"),
        ("data=signel", "data=signel is not known. Did you mean 'signal'?"),
        ("experiment=paritty", "experiment=paritty is not known. Did you mean 'parity'?"),
        ("tracking=mlfow", "tracking=mlfow is not known. Did you mean 'mlflow'?"),
        (
            "training.epocs=3",
            "training.epocs is not a key of the configuration. Did you mean 'training.epochs'?",
        ),
        ("sed=3", "sed is not a key of the configuration. Did you mean 'seed'?"),
        ("modle.dropout=0", "modle.dropout is not a key of the configuration. Did you mean 'model.dropout'?"),
        (
            "training.epochs=abc",
            "training.epochs: Value 'abc' of type 'str' could not be converted to Integer",
        ),
        ("training.epochs=1.5", "training.epochs: Value '1.5' of type 'float' could not be converted to"),
        ("training.epochs=true", "training.epochs: Value 'True' of type 'bool' could not be converted"),
        ("training.epochs=[1,2]", "training.epochs"),
        ("training.epochs=null", "training.epochs' is not Optional"),
        ("training.epochs=0", "training.epochs is 0: expected a number from 1"),
        ("training.epochs=-1", "training.epochs is -1: expected a number from 1"),
        ("training.epochs=99999999999", "training.epochs is 99999999999: expected a number from 1"),
        ("training.batch_size=0", "training.batch_size is 0: expected a number from 1"),
        ("training.learning_rate=nan", "training.learning_rate is nan: expected a number above 0"),
        ("training.learning_rate=inf", "training.learning_rate is inf: expected a number above 0"),
        ("training.learning_rate=fast", "training.learning_rate: Value 'fast' of type 'str' could not be"),
        (
            "training.optimizer=rsmprop",
            "training.optimizer is 'rsmprop', which is not known. Did you mean 'rms",
        ),
        ("training.loss=hunge", "training.loss is 'hunge', which is not known. Did you mean 'hinge'?"),
        (
            "training.dtype=float31",
            "training.dtype is 'float31', which is not known. Did you mean 'float32'?",
        ),
        ("model.activation=rleu", "model.activation is 'rleu', which is not known. Did you mean 'relu'?"),
        (
            "model.hidden_units=[]",
            "model.hidden_units is empty: expected 1 or more layers, e.g. model.hidden_units=[64,64]",
        ),
        (
            "model.hidden_units=64",
            "model.hidden_units is 64: expected a list, e.g. model.hidden_units=[64,64]",
        ),
        (
            "model.hidden_units=[64,a]",
            "model.hidden_units[1]: Value 'a' of type 'str' could not be converted",
        ),
        ("model.hidden_units=[64,0]", "model.hidden_units is 0: expected a number from 1"),
        ("model.dropout=1", "model.dropout is 1.0: expected a number from 0 to below 1"),
        ("model.dropout=-0.5", "model.dropout is -0.5: expected a number from 0 to below 1"),
        ("data.samples=0", "data.samples is 0: expected a number from 1"),
        ("data.samples=null", "data.samples is not set: expected a number from 1"),
        ("seed=-1", "seed is -1: expected a number from 0 to 4,294,967,295, e.g. seed=7"),
        ("threads=0", "threads is 0: expected a number from 1"),
        ("timeout_s=0", "timeout_s is 0.0: expected a number above 0"),
        ("runtime.start=forkk", "runtime.start is 'forkk', which is not known. Did you mean 'fork'?"),
        ("runtime.python=/nowhere/python", "runtime.python is '/nowhere/python', which does not run as a"),
        ("data=npz", "data=npz needs a file, e.g. data.path=my-data.npz"),
        (
            "data.path=my.npz",
            "data.path is set, but data=random does not have it. It is a setting of data=npz",
        ),
        ("backend", "'backend' is neither a setting nor a command."),
        ("docter", "'docter' is neither a setting nor a command. Did you mean 'doctor'?"),
        ("--backend", "--backend is not an option. Settings are written KEY=VALUE"),
        ("seed=1,2", "Ambiguous value for argument 'seed=1,2'"),
        ("seed=[1", "seed=[1"),
        ("training=fast", "training=fast is not known."),
        ("+training.epocs=3", "training.epocs is not a key of the configuration"),
        ("+sed=3", "sed is not a key of the configuration"),
        ("++training.epocs=3", "training.epocs is not a key of the configuration"),
    ],
)
def test_bad_argument_is_refused_in_one_message(argument: str, said: str) -> None:
    message = refusal(argument)
    assert said in message
    assert "\n" not in message.partition(" Expected ")[0]
    assert len(message) < 500


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("backend=jax", "runtime=keras2"),
            "backend 'jax' is not offered by runtime 'keras2', which has tensorflow, theano. Use runtime=",
        ),
        (
            ("backend=theano", "runtime=keras2", "training.optimizer=lion"),
            "training.optimizer is 'lion', which runtime 'keras2' (Keras 2) does not have. Expected one of: ",
        ),
        (("data=npz", "data.path=missing.npz"), "data.path is 'missing.npz': no such file."),
        (
            ("data=npz", "data.path=a.npz", "data.samples=5"),
            "data.samples is set, but data=npz takes its sizes",
        ),
        (("data.samples=1000000000", "data.features=1000000000"), "the data would take 3,725,290,675 GiB"),
        (("--config-name", "nothing"), "Cannot find primary config 'nothing'"),
        (
            ("experiment=compare", "backend=theano"),
            "backend=theano names one backend, but experiment=compare runs several. Leave it out, or choose",
        ),
        (
            ("experiment=scale", "backend.name=theano"),
            "backend.name=theano names one backend, but experiment=scale runs several. Leave it out, or",
        ),
        (("-m", "experiment=compare", "seed=1,2"), "experiment=compare makes its own runs, so it cannot be"),
        (("-m", "experiment=scale"), "so it cannot be a job of a sweep. Leave out -m, and"),
        (("experiment=compare", "compare.backends=[jax,thaeno]"), "Did you mean 'theano'?"),
        (("experiment=compare", "compare.baseline=tensorflwo"), "Did you mean 'tensorflow'?"),
        (("experiment=compare", "compare.blocks=2"), "compare.blocks is 2: expected a number from 3 to"),
        (
            ("experiment=compare", "compare.backends=[jax,theano]", "runtime=keras2"),
            "backend 'jax' is not offered by runtime 'keras2', which has tensorflow, theano. Leave it out;",
        ),
        (
            ("experiment=compare", "compare.baseline=jax", "runtime=keras2"),
            "backend 'jax' is not offered by runtime 'keras2'",
        ),
        (
            ("experiment=scale", "scale.enabled=true", "compare.enabled=true"),
            "compare.enabled and scale.enabled are both true: expected one experiment at a time",
        ),
        (("experiment=scale", "scale.samples=[100]", "scale.hidden_units=[]"), "expected two or more sizes"),
        (
            ("experiment=scale", "scale.samples=[10,20000000000]"),
            "scale.samples is 20000000000: expected a number from 1",
        ),
    ],
)
def test_combination_that_cannot_be_run_is_refused(arguments: tuple[str, ...], said: str) -> None:
    assert said in refusal(*arguments)


def test_engine_that_is_not_installed_is_refused_with_the_line_that_installs_it() -> None:
    try:
        import importlib.util

        there = importlib.util.find_spec("torch") is not None
    except ValueError:
        there = False
    if there:
        assert [spec.backend for spec in check("backend=torch")] == ["torch"]
    else:
        message = refusal("backend=torch")
        assert "backend 'torch' is not available in runtime 'keras3': no module named 'torch'." in message
        assert f"Expected it in {sys.executable}. Install it with: pip install 'backendexp[torch]'" in message


def test_interpreter_without_keras_is_refused(bare_python: str) -> None:
    message = refusal(f"runtime.python={bare_python}")
    assert f"runtime.python is {bare_python!r}, which has no Keras: expected Keras 2 or 3." in message
    assert f"Install it with: {bare_python} -m pip install keras" in message


def test_plan_of_a_good_command_line_is_returned() -> None:
    (spec,) = check("backend=jax", "seed=3", "model.hidden_units=[8]", "training.epochs=2")
    assert (spec.backend, spec.runtime, spec.seed) == ("jax", "keras3", 3)
    assert spec.model.hidden_units == [8]
    assert spec.training.epochs == 2


def test_file_of_the_user_is_read_at_once(project: Path) -> None:
    np.savez(project / "mine.npz", **good_arrays())  # type: ignore[arg-type]
    (spec,) = check("data=npz", "data.path=mine.npz", "backend=jax")
    assert (spec.data.samples, spec.data.features, spec.data.test_samples) == (6, 3, 2)


def test_every_job_of_a_sweep_is_planned_with_its_last_key_varying_fastest() -> None:
    specs = check("-m", "seed=range(2)", "backend=tensorflow,jax")
    assert [(s.seed, s.backend) for s in specs] == [
        (0, "tensorflow"),
        (0, "jax"),
        (1, "tensorflow"),
        (1, "jax"),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-m", "backend=jax,tensorflow,thaeno"), "backend=thaeno is not known. Did you mean 'theano'?"),
        (("-m", "seed=0,1,-1", "backend=jax"), "seed is -1: expected a number from 0"),
        (("--multirun", "training.epochs=1,2,zero"), "training.epochs: Value 'zero' of type 'str'"),
        (("-m", "model.hidden_units=[8],[]"), "model.hidden_units is empty"),
        (("-m", "runtime=keras3,keras2", "backend=jax"), "backend 'jax' is not offered by runtime 'keras2'"),
        (("-m", "seed=range(3)", "training.epocs=1,2"), "training.epocs is not a key of the configuration"),
    ],
)
def test_bad_value_in_the_last_job_of_a_sweep_is_refused(arguments: tuple[str, ...], said: str) -> None:
    assert said in refusal(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--hydra-help"], ["--cfg", "job"], ["--info", "all"], ["--help", "backend=jax"]],
)
def test_informational_options_plan_nothing(arguments: list[str]) -> None:
    assert check(*arguments) == []


def test_choices_of_a_group_can_be_swept_by_a_pattern() -> None:
    specs = check("-m", "backend=glob(*,exclude=[torch,te*])", "seed=1,2")
    assert [(s.backend, s.seed) for s in specs] == [("jax", 1), ("jax", 2), ("theano", 1), ("theano", 2)]


def test_values_may_be_those_of_hydra_for_the_job(project: Path) -> None:
    assert [spec.seed for spec in check("-m", "backend=jax,theano", "seed=${hydra:job.num}")] == [0, 1]
    tracking = check_all("backend=jax", "tracking.run_name=${hydra:runtime.output_dir}", "hydra.run.dir=out")
    assert tracking.tracking is not None
    assert tracking.tracking.run_name == str(project / "out")


def test_sweep_may_be_asked_for_by_hydras_own_setting() -> None:
    checked = check_all("hydra.mode=MULTIRUN", "backend=jax", "seed=1,2")
    assert [spec.seed for spec in checked.specs] == [1, 2]
    assert not checked.alone


def test_experiments_decide_last() -> None:
    (spec,) = check("experiment=parity", "backend=jax")
    assert (spec.controls.dropout, spec.training.optimizer, spec.threads) == (False, "sgd", 1)
    (spec,) = check("experiment=tutorial", "backend=jax")
    assert not spec.controls.initial_weights
    assert not spec.controls.batch_order


def test_comparison_resolves_runtime_auto_and_plans_its_baseline() -> None:
    (spec,) = check("experiment=compare", "compare.backends=[theano,tensorflow]")
    assert (spec.backend, spec.runtime) == ("tensorflow", "keras3")
    (spec,) = check("experiment=scale", "scale.backends=[theano,tensorflow]", "scale.baseline=theano")
    assert (spec.backend, spec.runtime, spec.training.epochs) == ("theano", "keras3", 3)


def test_epochs_of_scale_can_be_set_in_both_ways() -> None:
    assert check("experiment=scale", "scale.epochs=4")[0].training.epochs == 4
    assert check("experiment=scale", "training.epochs=5")[0].training.epochs == 5


def test_configuration_of_the_users_own_folder_can_be_chosen(project: Path) -> None:
    (project / "mine" / "training").mkdir(parents=True)
    (project / "mine" / "training" / "long.yaml").write_text("defaults: [tutorial]\nepochs: 500\n")
    (spec,) = check("--config-dir", "mine", "training=long", "backend=jax")
    assert spec.training.epochs == 500


def test_settings_of_hydra_itself_are_left_to_it() -> None:
    (spec,) = check("hydra.run.dir=out", "hydra/job_logging=default", "backend=jax")
    assert spec.backend == "jax"


def test_refusal_is_a_configuration_error_with_its_cause(project: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        check("training.epochs=abc")
    assert refused.value.__cause__ is not None


def test_checking_creates_no_files(project: Path) -> None:
    check("-m", "seed=range(2)", "backend=tensorflow,jax")
    assert list(project.iterdir()) == []


def test_defaults_in_code_are_those_of_the_files() -> None:
    """A Config made in Python has the same values as on the command line."""
    from dataclasses import asdict

    from backendexp.runs import plan
    from support.plans import small_config

    (spec,) = check("backend=jax")
    schema = small_config()
    schema.backend.name = "jax"
    schema.data.samples, schema.data.features, schema.data.test_samples = 1000, 20, 100
    schema.model.hidden_units, schema.training.epochs, schema.threads = [64, 64], 20, None
    assert asdict(plan.plan_run(schema)) == asdict(spec)


@pytest.mark.parametrize(
    ("arguments", "alone"),
    [
        (["backend=jax"], True),
        (["-m", "backend=jax"], False),
        (["backend=jax", "experiment=parity"], False),
        (["experiment=compare"], False),
        (["experiment=scale"], False),
        (["--cfg", "job"], True),
    ],
)
def test_one_run_is_reported_from_a_sweep(arguments: list[str], alone: bool) -> None:
    assert preflight.check(arguments, conf_dir()).alone is alone
