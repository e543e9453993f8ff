"""The names in the catalog exist in the real Keras of both runtimes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import backendexp
from backendexp import cache, spelling
from backendexp.runtimes import catalogue
from backendexp.runtimes.catalogue import RuntimeFacts

PACKAGE = Path(backendexp.__file__).parent

# This script runs in the interpreter of the runtime, which may be Python 3.7. It prints {kind: {name:
# error}}.
SCRIPT = """
import json, os, sys

sys.path.insert(0, os.environ["PACKAGE"])
import numpy
from worker import compiling, engine, models

engine.load()
from keras import backend
from worker.models import mlp as kind

asked = json.loads(os.environ["NAMES"])
generation = engine.keras_generation()
failed = {}
x = numpy.random.RandomState(0).random_sample((4, 3)).astype("float32")
y = numpy.array([[0.0], [1.0], [1.0], [0.0]], "float32")

def attempt(kind, name, action):
    try:
        action(name)
    except Exception as error:
        failed.setdefault(kind, {})[name] = "%s: %s" % (type(error).__name__, error)

def network(
    optimizer="sgd", loss="mean_squared_error", activation="relu", output="sigmoid", metric="accuracy"
):
    several = "categorical" in loss or "categorical" in metric
    if several:
        output = "softmax"
        loss = loss if "categorical" in loss else "categorical_crossentropy"
    mlp = kind.build(
        {"hidden_units": [2], "activation": activation, "dropout": 0.0},
        (3,),
        models.Output(6 if several else 1, output),
    )
    compiling.compile_model(mlp, optimizer, 0.01, loss, [metric], generation)
    # Keras 2 looks its losses and metrics up when it compiles, Keras 3 when it needs them.
    if generation == 3:
        labels = y if not several else numpy.eye(6, dtype="float32")[:4]
        if "sparse" in loss:
            labels = numpy.arange(4)
        y_pred = mlp(x)
        value = float(mlp.compute_loss(x=x, y=labels, y_pred=y_pred))
        assert numpy.isfinite(value), value
        if "sparse" in metric:
            labels = numpy.arange(4)
        mlp.compute_metrics(x, labels, y_pred)
    return mlp

def trains_at_our_rate(optimizer):
    mlp = network(optimizer=optimizer)
    found_loss = mlp.train_on_batch(x, y)
    assert numpy.isfinite(found_loss).all(), found_loss
    rate = mlp.optimizer.learning_rate
    value = float(backend.get_value(rate)) if generation == 2 else float(rate)
    assert abs(value - 0.01) < 1e-6, value

for name in asked["optimizers"]:
    attempt("optimizers", name, trains_at_our_rate)
for name in asked["losses"]:
    attempt("losses", name, lambda name: network(loss=name))
for name in asked["metrics"]:
    attempt("metrics", name, lambda name: network(metric=name))
for name in asked["activations"]:
    attempt("activations", name, lambda name: network(activation=name))
    attempt("output activations", name, lambda name: network(output=name))
for name in asked["dtypes"]:
    attempt("dtypes", name, engine.set_dtype)
json.dump(failed, sys.stdout)
"""


KINDS = ("optimizers", "losses", "metrics", "activations", "dtypes")


def failures(facts: RuntimeFacts, backend: str, python: str) -> dict[str, Any]:
    """Return the names in `facts` that the Keras of `python` does not accept."""
    names = {kind: sorted(getattr(facts, kind)) for kind in KINDS}
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {
        "KERAS_BACKEND": backend,
        "KERAS_HOME": str(cache.folder("keras", facts.name)),
        "THEANO_FLAGS": "mode=FAST_COMPILE,optimizer=None,cxx=",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PACKAGE": str(PACKAGE),
        "NAMES": json.dumps(names),
    }
    answer = subprocess.run(
        [python, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=500
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["theano", pytest.param("tensorflow", marks=pytest.mark.extended)])
def test_keras_2_knows_every_name_that_the_catalog_gives_it(backend: str, keras2_python: str) -> None:
    assert failures(catalogue.KERAS2, backend, keras2_python) == {}


@pytest.mark.slow
def test_keras_3_knows_every_name_that_the_catalog_gives_it() -> None:
    assert failures(catalogue.KERAS3, "theano", sys.executable) == {}


def test_script_finds_names_that_keras_does_not_know() -> None:
    """Without this, the tests above could not fail."""
    nothing = frozenset[str]()
    wrong = RuntimeFacts(
        name="keras3",
        generation=3,
        engines={},
        optimizers=frozenset({"rsmprop"}),
        losses=frozenset({"hunge"}),
        metrics=frozenset({"acuracy"}),
        activations=frozenset({"rleu"}),
        dtypes=nothing,
    )
    assert {kind: list(names) for kind, names in failures(wrong, "jax", sys.executable).items()} == {
        "optimizers": ["rsmprop"],
        "losses": ["hunge"],
        "metrics": ["acuracy"],
        "activations": ["rleu"],
        "output activations": ["rleu"],
    }


def test_formulas_that_differ_belong_to_existing_names() -> None:
    for (optimizer, runtime, backend), why in catalogue.UNLIKE_FORMULAS.items():
        assert optimizer in catalogue.RUNTIMES[runtime].optimizers
        assert backend in catalogue.RUNTIMES[runtime].engines
        assert why


def test_keras_3_is_the_reference_for_formulas() -> None:
    assert not [runtime for _, runtime, _ in catalogue.UNLIKE_FORMULAS if runtime == "keras3"]


def test_keras_2_has_no_name_that_keras_3_lacks() -> None:
    """This matters because the configuration is checked against Keras 3 first."""
    for kind in KINDS:
        assert getattr(catalogue.KERAS2, kind) <= getattr(catalogue.KERAS3, kind)


def test_configuration_has_a_choice_for_every_backend_and_runtime(request: pytest.FixtureRequest) -> None:
    conf = request.config.rootpath / "conf"
    assert {path.stem for path in (conf / "backend").glob("*.yaml")} == set(catalogue.BACKENDS)
    assert {path.stem for path in (conf / "runtime").glob("*.yaml")} == {"auto", *catalogue.RUNTIMES}


def test_runtimes_that_offer_a_backend_come_in_the_order_of_auto() -> None:
    assert [facts.name for facts in catalogue.offering("tensorflow")] == ["keras3", "keras2"]
    assert [facts.name for facts in catalogue.offering("theano")] == ["keras3", "keras2"]
    assert [facts.name for facts in catalogue.offering("jax")] == ["keras3"]
    assert catalogue.offering("nothing") == []


@pytest.mark.parametrize(
    ("word", "said"),
    [("thaeno", "Did you mean 'theano'? "), ("jaxx", "Did you mean 'jax'? "), ("xyzzy", ""), ("", "")],
)
def test_nearest_names_one_choice_or_none(word: str, said: str) -> None:
    assert spelling.nearest(word, catalogue.BACKENDS) == said
