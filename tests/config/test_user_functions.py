"""What is wrong with the user's own function is said before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from backendexp.config import user_functions
from backendexp.errors import ConfigError
from backendexp.runs.plan import RunSpec
from backendexp.worker import user_files
from backendexp.worker.models.custom import OFFERED, Settings
from support import checking

CODE = """
raise SystemExit("this file must not be run")
from elsewhere import borrowed
def build(width, depth=1, *, input_shape, bias=True): ...
def anything(width, **more): ...
def by_position(width, /): ...
@decorated
def wrapped(a): ...
class Net(Model):
    def __init__(self, width=8): ...
class Bare(Model): ...
if borrowed:
    def either(a): ...
else:
    def either(b): ...
assigned = lambda x: x
"""


@pytest.fixture(autouse=True)
def mine(project: Path) -> None:
    (project / "mine.py").write_text(CODE)


def check(target: Any, **arguments: Any) -> str:
    settings = Settings(_target_=target, arguments=arguments)
    return str(user_files.digest(user_functions.check("model", settings, OFFERED, str(Path.cwd()))))


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("mine.build", {"width": 1}),
        ("mine:build", {"width": 1, "bias": False}),
        ("mine.py:build", {"width": 1, "input_shape": [3]}),
        ("mine.anything", {"width": 1, "what": {"ever": [1]}}),
        ("mine.borrowed", {"a": 1}),
        ("mine.wrapped", {"b": 1}),
        ("mine.Net", {"width": 1}),
        ("mine.Bare", {"c": 1}),
        ("mine.either", {"b": 1}),
        ("mine.assigned", {"x": 1}),
        ("mine.Net.from_config", {"x": 1}),
    ],
)
def test_function_that_may_take_the_arguments_is_accepted(target: str, arguments: dict[str, Any]) -> None:
    assert len(check(target, **arguments)) == 64


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        (3, {}, "model._target_ is 3: expected the name of a function, e.g. model._target_=my_code.build"),
        ("mien.build", {}, "there is no module 'mien' in {here}. Did you mean 'mine'? Write it as"),
        ("mien.py:build", {}, "there is no file {here}/mien.py. Did you mean 'mine.py'? Write it as"),
        ("mine.biuld", {}, "mine.py has no 'biuld'. Did you mean 'build'? It defines build, anything"),
        (
            "mine.build",
            {},
            "model.width is not set, but mine.build (mine.py, line 4) needs it, e.g. model.width=1",
        ),
        (
            "mine.build",
            {"width": 1, "dpeth": 2},
            "model.dpeth is not an argument of mine.build (mine.py, line 4). Did you mean 'model.depth'? "
            "It takes model.width, model.depth, model.input_shape, model.bias",
        ),
        ("mine.Net", {"depth": 1}, "model.depth is not an argument of mine.Net (mine.py, line 9)"),
        ("mine.by_position", {}, "mine.by_position (mine.py, line 6) takes width only by its position"),
        ("mine.build", {"_args_": [1]}, "model._args_ is set, but backendexp calls your function itself"),
        ("mine.build", {"a-b": 1}, "model.a-b cannot be the name of an argument"),
        (
            "mine.build",
            {"width": [{"_target_": "x.y"}]},
            "model.width holds a _target_ of its own, but only model._target_ is called",
        ),
    ],
)
def test_mistake_is_explained(project: Path, target: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check(target, **arguments)
    assert message.replace("{here}", str(project)) in str(raised.value)


def test_syntax_error_is_told_with_its_file_and_line(project: Path) -> None:
    (project / "parts.py").write_text("x = 1\nif x\n")
    (project / "user.py").write_text("import parts\ndef build(): ...\n")
    with pytest.raises(ConfigError, match=r"'user.build', which cannot be read: parts.py, line 2: expected"):
        check("user.build")


@pytest.mark.parametrize(
    ("code", "generations"),
    [
        ("from keras.layers import Dense", (2, 3)),
        ("from keras import layers, ops", (3,)),
        ("import keras\nkeras.ops.tanh(1)", (3,)),
        ("import keras.random", (3,)),
        ("import parts", (3,)),
    ],
)
def test_code_that_names_parts_of_keras_3_is_for_keras_3(
    project: Path, code: str, generations: tuple[int, ...]
) -> None:
    (project / "parts.py").write_text("from keras import ops")
    (project / "user.py").write_text(code)
    sources = user_files.sources(user_files.find("user.build", str(project)), str(project))
    assert user_functions.generations(sources) == generations


# -- through the command line ------------------------------------------------------------------------


def plan_of(*words: str) -> RunSpec:
    (spec,) = checking.check(*words)
    return spec


def test_every_key_under_model_is_an_argument_without_a_plus(project: Path) -> None:
    spec = plan_of("model=custom", "model._target_=mine.anything", "model.width=8", "model.a.b=[1,x]")
    assert spec.model.arguments == {"width": 8, "a": {"b": [1, "x"]}}
    assert spec.params()["model.a.b"] == "[1, 'x']"
    assert RunSpec.from_json(spec.to_json()) == spec


def test_changed_code_is_another_plan(project: Path) -> None:
    words = ("model=custom", "model._target_=mine.py:build", "model.width=8")
    first = plan_of(*words)
    assert plan_of(*words).id == first.id
    (project / "mine.py").write_text(CODE + "x = 1\n")
    assert plan_of(*words).id != first.id


def test_sweep_over_an_argument_has_a_plan_for_each_value(project: Path) -> None:
    found = checking.check("-m", "model=custom", "model._target_=mine.build", "model.width=32,64", "seed=1,2")
    assert [spec.model.arguments["width"] for spec in found] == [32, 32, 64, 64]


def test_compile_of_your_own_leaves_nothing_of_training_in_the_plan_that_is_not_used(project: Path) -> None:
    spec = plan_of("model=custom", "model._target_=mine.build", "model.width=8", "training.compile=own")
    unused = {"training.optimizer", "training.learning_rate", "training.loss", "training.metrics"}
    assert not unused & set(spec.params())
    assert spec.params()["training.compile"] == "own"
    assert RunSpec.from_json(spec.to_json()).id == spec.id


def test_function_must_be_named() -> None:
    with pytest.raises(ConfigError, match=r"^model\._target_ is not set, but model=custom needs a function"):
        plan_of("model=custom")
    with pytest.raises(ConfigError, match=r"data\._source_ is set, but data=custom takes the digest of the"):
        plan_of("data=custom", "data._target_=mine.build", "data.width=1", "data._source_=abc")


def test_code_for_keras_3_is_refused_on_keras_2(project: Path) -> None:
    (project / "modern.py").write_text("from keras import ops\ndef build(): ...\n")
    with pytest.raises(ConfigError, match=r"runtime 'keras2' \(Keras 2\) does not have"):
        plan_of("model=custom", "model._target_=modern.build", "runtime=keras2")
