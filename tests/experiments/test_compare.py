"""experiment=compare has the right plan, and announces it before it starts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backendexp.experiments.blocks import Entrants
from backendexp.experiments.compare import BackendComparison, Settings
from backendexp.runs.plan import RunSpec
from support import streams


@pytest.fixture
def who(make_spec: Callable[..., RunSpec]) -> Entrants:
    spec = make_spec(seed=7)
    backends = ("tensorflow", "jax", "theano")
    return Entrants(tuple(replace(spec, backend=backend) for backend in backends), ())


def test_warm_up_goes_first_then_parity_then_the_blocks(who: Entrants) -> None:
    runs = BackendComparison(who, Settings(blocks=4), 2).runs
    kinds = ["warm-up" if run.warm_up else run.tags["role"] for run in runs]
    assert kinds == ["warm-up"] * 3 + ["parity"] * 5 + ["timed"] * 12
    assert [run.spec.seed for run in runs[:8]] == [7] * 8
    assert sorted({run.spec.seed for run in runs[8:]}) == [8, 9, 10, 11]


def test_parity_is_judged_by_the_baseline(who: Entrants) -> None:
    runs = BackendComparison(who, Settings(), 1).runs
    parity = [run.spec for run in runs if run.tags.get("role") == "parity"]
    assert [(spec.backend, spec.probe) for spec in parity] == [
        ("tensorflow", 0),
        ("jax", 0),
        ("theano", 0),
        ("tensorflow", 1),
    ]


@pytest.mark.parametrize("parity", [True, False])
def test_every_tracked_run_names_the_baseline(who: Entrants, parity: bool) -> None:
    """`backendexp compare` reads it from the runs, because the order in a shuffled block does not show it."""
    named = replace(who, specs=who.specs[1:])
    runs = BackendComparison(named, Settings(parity=parity), 1).runs
    assert {run.tags["baseline"] for run in runs if not run.warm_up} == {"jax"}


def test_equal_settings_plan_equal_runs(who: Entrants) -> None:
    assert BackendComparison(who, Settings(), 2).runs == BackendComparison(who, Settings(), 2).runs


def test_data_of_one_class_is_reported(who: Entrants, tmp_path: Path) -> None:
    plan = BackendComparison(who, Settings(blocks=3, parity=False), 0)
    stream = streams.of_one_class(streams.whole())
    runs = [run for run in plan.runs if not run.warm_up]
    records = [streams.record_of(tmp_path, run.spec, stream, tags=run.tags) for run in runs]
    note = "y_train holds one class only, every label is 1: nothing could be learned."
    assert any(note in str(one) for one in plan.conclude("a/b", tmp_path, records).said)


def test_opening_announces_the_number_and_kinds_of_runs(who: Entrants) -> None:
    missing = replace(who, missing=("backend 'torch' is not available.\nInstall it with: pip",))
    assert BackendComparison(missing, Settings(), 2).opening == [
        "jax and theano against tensorflow on keras3, 38 runs: 3 to warm up, 5 to see that they compute the "
        "same, 30 that are timed, in 10 blocks.",
        "Not here: backend 'torch' is not available.\nInstall it with: pip",
    ]
    pair = replace(who, specs=who.specs[:2])
    assert BackendComparison(pair, Settings(blocks=3, parity=False), 2).opening == [
        "jax against tensorflow on keras3, 8 runs: 2 to warm up, 6 that are timed, in 3 blocks.",
    ]
