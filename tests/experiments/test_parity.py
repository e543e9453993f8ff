"""The runs of experiment=parity and of the parity part of a comparison are planned and judged correctly."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backendexp.analysis.trajectories import ParityPlan
from backendexp.config.schema import ControlsConfig
from backendexp.experiments import parity
from backendexp.experiments.parity import ParityCheck
from backendexp.runs.plan import RunSpec
from backendexp.runs.record import RunRecord
from support import streams
from support.checking import check_config

MakeSpec = Callable[..., RunSpec]


@pytest.fixture
def specs(make_spec: MakeSpec) -> list[RunSpec]:
    spec = make_spec(model__dropout=0.0, training__optimizer="sgd")
    return [replace(spec, backend=backend) for backend in ("tensorflow", "jax")]


def records(folder: Path, specs: list[RunSpec], *losses: tuple[float, ...]) -> list[RunRecord]:
    return [
        streams.record_of(folder, spec, streams.whole(values))
        for spec, values in zip(specs, losses, strict=True)
    ]


def test_every_run_of_the_check_is_tagged_as_one(specs: list[RunSpec]) -> None:
    runs = ParityCheck(ParityPlan(specs, [])).runs
    assert [run.spec for run in runs] == specs
    assert {run.tags["role"] for run in runs} == {"parity"}
    assert not any(run.warm_up for run in runs)


def test_agreement_is_concluded_with_the_greatest_difference(specs: list[RunSpec], tmp_path: Path) -> None:
    finished = records(tmp_path, specs, (0.7, 0.6), (0.7, 0.6 + 1e-8))
    concluded = ParityCheck(ParityPlan(specs, [])).conclude("a/b", tmp_path, finished)
    assert concluded.good
    assert concluded.kind == "parity"
    assert concluded.metrics == {"parity/greatest_difference": pytest.approx(1e-8)}
    assert concluded.note.startswith("Agreement: ")
    assert str(concluded.said[-1]).startswith("Agreement: ")
    assert [path.read_text() for path in concluded.artifacts] == [concluded.note]


def test_disagreement_is_a_failure(specs: list[RunSpec], tmp_path: Path) -> None:
    finished = records(tmp_path, specs, (0.7, 0.6), (0.7, 0.5))
    concluded = ParityCheck(ParityPlan(specs, [])).conclude("a/b", tmp_path, finished)
    assert not concluded.good
    assert "NO agreement" in concluded.note


def test_model_that_comes_compiled_keeps_its_loss_in_the_check(make_spec: MakeSpec) -> None:
    spec = make_spec(training__compile="own")
    for run in parity.check_of([spec], 1):
        params = run.spec.params()
        assert params["training.compile"] == "own_loss"
        assert params["training.optimizer"] == "sgd"
        assert not {"training.loss", "training.metrics"} & set(params)
        assert RunSpec.from_json(run.spec.to_json()).id == run.spec.id


def test_check_of_a_comparison_is_trained_as_the_parity_experiment_trains(make_spec: MakeSpec) -> None:
    spec = make_spec(controls=ControlsConfig(initial_weights=False, batch_order=False))
    plans = [replace(spec, backend=backend, log_model=True) for backend in ("theano", "jax")]
    runs = parity.check_of(plans, 2)
    wanted = check_config("experiment=parity")
    for run in runs:
        one = run.spec
        assert one.model.dropout == wanted.model.dropout
        assert one.training.optimizer == wanted.training.optimizer
        assert one.training.learning_rate == wanted.training.learning_rate
        assert vars(one.controls) == vars(wanted.controls)
        assert not one.log_model
        assert run.tags == {"role": "parity"}
        assert (one.training.epochs, one.threads, one.seed) == (spec.training.epochs, spec.threads, spec.seed)
    assert [(run.spec.backend, run.spec.probe) for run in runs] == [
        ("theano", 0),
        ("jax", 0),
        ("theano", 1),
        ("theano", 2),
    ]
    assert [run.place for run in runs] == [f"parity {number}/4" for number in range(1, 5)]
