"""experiment=compare has the right plan, and announces it before it starts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backendexp.config import schema
from backendexp.config.schema import Config
from backendexp.errors import ConfigError
from backendexp.experiments import compare
from backendexp.experiments.blocks import Entrants
from backendexp.experiments.compare import BackendComparison, Settings
from backendexp.runs.plan import RunSpec, plan_run
from support import streams
from support.plans import small_config


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


# -- the values of a setting -------------------------------------------------------------------------


def asking(**settings: object) -> Config:
    config = small_config()
    config.backend.name = "jax"
    config.experiments["compare"] = Settings(enabled=True, **settings)  # type: ignore[arg-type]
    return config


@pytest.mark.parametrize(
    ("by", "values", "names"),
    [
        ("threads", [1, 2], ("threads=1", "threads=2")),
        ("engine.jit_compile", [None, False], ("engine.jit_compile=null", "engine.jit_compile=false")),
        ("training.dtype", ["float32", "float64"], ("training.dtype=float32", "training.dtype=float64")),
    ],
)
def test_sides_are_the_values_of_a_setting(by: str, values: list[object], names: tuple[str, ...]) -> None:
    config = asking(by=by, values=values, blocks=3)
    schema.check(config)
    spec = plan_run(config)
    made = compare.plan(spec, config, print)
    assert made.who.names == names
    assert {one.backend for one in made.who.specs} == {"jax"}
    assert made.opening[0].startswith(f"{names[1]} against {names[0]} on jax, keras3, ")
    # The dtype changes what is computed, so there is nothing to agree on.
    assert made.checks_parity == (by != "training.dtype")
    assert {run.tags.get("baseline") for run in made.runs if not run.warm_up} == {names[0]}
    assert compare.first(spec, config) == made.who.specs[0]
    in_a_block = [run for run in made.runs if run.tags.get("block") == "1"]
    assert {run.name for run in in_a_block} == {f"jax-keras3-seed1-{name}" for name in names}


def test_the_baseline_is_one_of_the_values() -> None:
    config = asking(by="threads", values=[1, 2], baseline="2")
    schema.check(config)
    assert compare.plan(plan_run(config), config, print).who.baseline == "threads=2"


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"values": [1, 2]}, "compare.values is set, but compare.by names no setting"),
        ({"by": "thread", "values": [1, 2]}, "Did you mean 'threads'"),
        ({"by": "data.samples", "values": [1, 2]}, "compare.by is 'data.samples', whose values cannot be"),
        ({"by": "seed", "values": [1, 2]}, "compare.by is 'seed', whose values cannot be compared"),
        ({"by": "threads", "values": [1]}, r"compare.values is \[1\]: expected two or more different values"),
        ({"by": "threads"}, "compare.values is None: expected two or more"),
        ({"by": "threads", "values": [1, 2], "backends": ["jax", "torch"]}, "are both set"),
        ({"by": "threads", "values": [1, 2], "baseline": "3"}, "compare.baseline is '3', which is not one"),
    ],
)
def test_values_that_cannot_be_compared_are_refused(settings: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        schema.check(asking(**settings))


def test_a_value_that_the_setting_does_not_take_is_refused() -> None:
    config = asking(by="training.batch_size", values=[32, -1])
    with pytest.raises(ConfigError, match=r"training\.batch_size is -1: expected a number from 1"):
        compare.plan(plan_run(config), config, print)
