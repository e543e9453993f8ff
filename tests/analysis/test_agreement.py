"""The parity runs of a comparison are judged like those of experiment=parity."""

import re
from dataclasses import replace
from typing import Any

import pytest

from backendexp.analysis.findings import (
    WITHHELD,
    Comparison,
    TrackedRun,
)
from backendexp.analysis.pipeline import analyse
from backendexp.errors import UserError
from support.tracked import MEMORY, TIMES, moved, run_of, sweep_runs

THREE = {"tensorflow": 1.0, "jax": 1.0, "theano": 0.5}
LOSSES = (0.7, 0.6, 0.5)
SGD = {"model.dropout": "0.0", "training.optimizer": "sgd", "training.epochs": "3"}


def parity_run(
    backend: str, at: int, losses: tuple[float, ...] = LOSSES, probe: int = 0, **fields: Any
) -> TrackedRun:
    own = {**SGD, "parity.probe": str(probe), **fields.pop("params", {})}
    return run_of(backend, 0, at, role="parity", params=own, loss_by_epoch=losses, **fields)


def compare(*parity: TrackedRun, timed: list[TrackedRun] | None = None, **settings: Any) -> Comparison:
    return analyse([*(timed or sweep_runs(THREE, 5)), *parity], title="a title", **settings)


def withheld(found: Comparison) -> set[tuple[str, str]]:
    """Return the pairs for which no time has a verdict."""
    times = [c for c in found.contrasts if c.measure in TIMES]
    return {(c.baseline, c.candidate) for c in times if c.verdict == WITHHELD}


def test_agreement_is_reported_and_withholds_nothing() -> None:
    found = compare(
        parity_run("tensorflow", 90),
        parity_run("tensorflow", 91, (0.7, 0.6, 0.5000001), probe=1),
        parity_run("jax", 92),
        parity_run("theano", 93, (0.7, 0.6000001, 0.5)),
    )
    assert found.parity.agree is True
    assert found.parity.greatest == pytest.approx(1e-7)
    assert found.parity.sentences[0] == "Agreement: greatest difference of the loss 1.00e-07"
    assert set(found.parity.distances) == {"jax", "theano"}
    distance, bound = found.parity.distances["theano"]
    assert distance == pytest.approx(1e-7)
    assert bound > distance
    assert withheld(found) == set()
    assert not [note for note in found.notes if "checked" in note]


@pytest.mark.parametrize(
    ("params", "tags"),
    [
        ({"model.dropout": "0.5"}, {}),
        ({"model.dropout": "0.5", "controls.dropout": "True"}, {}),
        ({"controls.dropout": "False"}, {"random_layers": "flip (RandomFlip)"}),
    ],
)
def test_runs_that_drew_at_random_are_not_judged(params: dict[str, str], tags: dict[str, str]) -> None:
    runs = [parity_run("tensorflow", 90, params=params), parity_run("jax", 91, params=params)]
    runs = [replace(run, tags={**run.tags, **tags}) for run in runs]
    assert "draws from the random stream" in "".join(compare(*runs).parity.sentences)


def test_runs_whose_dropout_was_switched_off_are_judged() -> None:
    params = {"model.dropout": "0.5", "controls.dropout": "False"}
    found = compare(parity_run("tensorflow", 90, params=params), parity_run("jax", 91, params=params))
    assert found.parity.agree is True


def test_backend_that_computes_something_else_has_no_verdict_on_time() -> None:
    found = compare(
        parity_run("tensorflow", 90), parity_run("jax", 91), parity_run("theano", 92, (0.7, 0.6, 0.51))
    )
    assert found.parity.agree is False
    assert withheld(found) == {("tensorflow", "theano"), ("jax", "theano")}
    contrast = next(c for c in found.contrasts if c.candidate == "theano")
    assert contrast.withheld == "parity: theano computed something else"
    assert any("theano on keras3, seed 0 DIFFERS from" in line for line in found.parity.sentences)
    memory = next(c for c in found.contrasts if c.candidate == "theano" and c.measure == MEMORY)
    assert memory.withheld is None


def test_without_parity_runs_verdicts_stand_and_it_is_reported_how_to_check() -> None:
    found = compare()
    assert (found.parity.agree, found.parity.greatest, found.parity.distances) == (None, None, {})
    assert withheld(found) == set()
    assert found.notes == (
        "It was not checked whether the backends compute the same: there are no parity runs. "
        "experiment=compare makes them.",
    )


@pytest.mark.parametrize("lost", [None, {"status": "FAILED"}], ids=["missing", "failed"])
def test_backend_without_a_parity_run_is_reported_to_be_unchecked(lost: dict[str, Any] | None) -> None:
    runs = [parity_run("tensorflow", 90), parity_run("jax", 91)]
    if lost:
        runs.append(parity_run("theano", 92, **lost))
    found = compare(*runs)
    assert found.parity.agree is (lost is None)
    assert withheld(found) == set()
    assert "It was not checked whether theano computed the same as the others." in found.notes
    assert any("did not finish" in line for line in found.parity.sentences) == (lost is not None)


def test_backends_that_are_not_compared_are_not_judged() -> None:
    wrong = parity_run("torch", 92, (0.7, 0.6, 0.51))
    found = compare(parity_run("tensorflow", 90), parity_run("jax", 91), parity_run("theano", 93), wrong)
    assert found.parity.agree is True
    assert not any("torch" in line for line in found.parity.sentences)


def test_parity_runs_are_not_timed() -> None:
    slow = parity_run("tensorflow", 90, values={"training_time_s": 1e6})
    others = (parity_run("jax", 91), parity_run("theano", 92))
    found, without = compare(slow, *others), compare()
    assert found.contrasts == without.contrasts
    assert found.groups == without.groups


def test_runs_of_another_seed_or_plan_are_judged_separately() -> None:
    """The order in which they ran does not matter."""
    other = (0.9, 0.8, 0.7)
    longer = {"params": {"training.epochs": "4"}}
    found = compare(
        *(parity_run(backend, 90 + at) for at, backend in enumerate(THREE)),
        *(replace(parity_run(backend, 95 + at, other), seed=1) for at, backend in enumerate(THREE)),
        *(parity_run(backend, 98 + at, (*other, 0.6), **longer) for at, backend in enumerate(THREE)),
    )
    assert found.parity.agree is False or found.parity.greatest == 0.0


def test_each_sweep_is_judged_separately() -> None:
    first = sweep_runs({"jax": 1.0, "theano": 1.0}, 5, sweep="a")
    second = moved(sweep_runs({"jax": 1.0, "theano": 1.0}, 5, sweep="b", seed=1), 200)
    found = compare(
        parity_run("jax", 90, sweep="a"),
        parity_run("theano", 91, sweep="a"),
        parity_run("jax", 92, sweep="b"),
        parity_run("theano", 93, (0.7, 0.6, 0.51), sweep="b"),
        timed=[*first, *second],
        by_sweep=True,
    )
    assert withheld(found) == {("theano, a", "theano, b")}


def test_parity_runs_that_did_not_start_equal_are_refused() -> None:
    other = parity_run("jax", 91, tags={"weights_digest": "f" * 36})
    said = re.escape("jax on keras3, seed 0 had different initial weights from")
    with pytest.raises(UserError, match=said):
        compare(parity_run("tensorflow", 90), other)
