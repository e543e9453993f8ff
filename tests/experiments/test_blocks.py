"""Which backends take part in a comparison, and in which order they run."""

import importlib.util
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendexp.errors import BackendUnavailable, ConfigError, RuntimeUnavailable
from backendexp.experiments import blocks
from backendexp.experiments.base import PlannedRun
from backendexp.runs import plan
from backendexp.runs.plan import RunSpec
from backendexp.runtimes import catalogue
from support.plans import small_config

MakeSpec = Callable[..., RunSpec]


def on(*backends: str, seed: int = 0) -> list[RunSpec]:
    config = small_config()
    config.seed = seed
    return [replace(plan.plan_run(config), backend=backend) for backend in backends]


def by_block(runs: list[PlannedRun]) -> dict[str, list[PlannedRun]]:
    found: dict[str, list[PlannedRun]] = {}
    for run in runs:
        found.setdefault(run.tags["block"], []).append(run)
    return found


def order(runs: list[PlannedRun]) -> list[str]:
    return [run.spec.backend for run in runs]


# -- blocks ------------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from(catalogue.BACKENDS), min_size=2, unique=True),
    st.integers(1, 12),
    st.integers(0, 2**32 - 20),
)
def test_every_block_holds_every_backend_once_under_one_seed(
    backends: list[str], count: int, seed: int
) -> None:
    runs = blocks.blocks(on(*backends, seed=seed), count)
    found = by_block(runs)
    assert list(found) == [str(number) for number in range(1, count + 1)]
    for number, block in found.items():
        assert sorted(order(block)) == sorted(backends)
        assert {run.spec.seed for run in block} == {seed + int(number)}
        assert [run.tags["position"] for run in block] == [str(n) for n in range(1, len(backends) + 1)]
        assert {run.tags["role"] for run in block} == {"timed"}
        assert {run.place for run in block} == {f"block {number}/{count}"}
    # Blocks follow each other, and the rest of the plan is unchanged.
    assert [run for block in found.values() for run in block] == runs
    assert not any(run.warm_up for run in runs)
    given_specs = {spec.backend: spec for spec in on(*backends)}
    assert all(replace(run.spec, seed=0) == given_specs[run.spec.backend] for run in runs)


def test_order_repeats_for_the_same_seed_and_differs_for_another() -> None:
    specs = on("tensorflow", "theano", "jax", seed=3)
    assert blocks.blocks(specs, 10) == blocks.blocks(specs, 10)
    other = blocks.blocks(on("tensorflow", "theano", "jax", seed=4), 10)
    assert order(blocks.blocks(specs, 10)) != order(other)


def test_order_does_not_depend_on_how_many_blocks_follow() -> None:
    specs = on("tensorflow", "theano", "jax")
    assert order(blocks.blocks(specs, 20))[:15] == order(blocks.blocks(specs, 5))


def test_every_backend_comes_first_about_as_often_as_the_others() -> None:
    backends = ("tensorflow", "theano", "jax")
    firsts = Counter(block[0].spec.backend for block in by_block(blocks.blocks(on(*backends), 3000)).values())
    # Four standard deviations of a binomial count with share 1/3.
    allowed = 4 * (3000 * (1 / 3) * (2 / 3)) ** 0.5
    assert set(firsts) == set(backends)
    assert all(abs(count - 1000) < allowed for count in firsts.values())


def test_warm_up_runs_each_plan_once_and_keeps_no_model() -> None:
    specs = [replace(spec, log_model=True) for spec in on("theano", "jax")]
    warm = blocks.warm_ups(specs)
    assert [(run.spec.backend, run.spec.seed, run.spec.log_model) for run in warm] == [
        ("theano", 0, False),
        ("jax", 0, False),
    ]
    assert all(run.warm_up and not run.tags for run in warm)
    assert [run.place for run in warm] == ["warm-up 1/2", "warm-up 2/2"]


# -- which backends take part ------------------------------------------------------------------------


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function: after without("torch", "jax"), these engines seem not to be installed."""

    def remove(*modules: str) -> None:
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *more: None if name in modules else find_spec(name, *more),
        )

    return remove


def test_all_that_can_run_take_part_and_the_rest_is_named_with_how_to_install_it(
    without: Callable[..., None], make_spec: MakeSpec
) -> None:
    without("torch", "jax")
    who = blocks.entrants(make_spec(), None, None, "compare")
    assert (who.names, who.baseline) == (("tensorflow", "theano"), "tensorflow")
    assert [line.split(" is not")[0] for line in who.missing] == ["backend 'jax'", "backend 'torch'"]
    assert all("Install it with: pip install " in line for line in who.missing)


def test_baseline_goes_first_and_the_others_keep_their_order(make_spec: MakeSpec) -> None:
    names = ["jax", "theano", "tensorflow"]
    spec = make_spec()
    assert blocks.entrants(spec, names, None, "compare").names == ("tensorflow", "jax", "theano")
    assert blocks.entrants(spec, names, "theano", "compare").names == ("theano", "jax", "tensorflow")
    assert blocks.entrants(spec, names[:2], None, "compare").baseline == "jax"


def test_the_plans_differ_in_the_backend_alone(make_spec: MakeSpec) -> None:
    spec = make_spec(threads=2, training__epochs=7)
    who = blocks.entrants(spec, ["theano", "jax"], None, "compare")
    assert [replace(one, backend=spec.backend) for one in who.specs] == [spec, spec]


@pytest.mark.parametrize(
    ("missing", "there"),
    [(("torch", "jax", "pytensor"), "only tensorflow"), (("torch", "jax", "pytensor", "tensorflow"), "none")],
)
def test_fewer_than_two_backends_are_refused_with_how_to_install_the_others(
    missing: tuple[str, ...], there: str, without: Callable[..., None], make_spec: MakeSpec
) -> None:
    without(*missing)
    with pytest.raises(BackendUnavailable) as refusal:
        blocks.entrants(make_spec(), None, None, "compare")
    message = str(refusal.value)
    assert message.startswith(
        "experiment=compare needs two backends or more, and of those that runtime 'keras3' offers, this "
        f"machine has {there}.\n"
    )
    for module in missing:
        assert f"no module named {module!r}" in message
    assert message.count("Install it with: ") == len(missing)


@pytest.mark.parametrize(("names", "baseline"), [(["jax", "torch"], None), (None, "torch")])
def test_backend_that_is_asked_for_by_name_and_is_missing_is_refused(
    names: list[str] | None, baseline: str | None, without: Callable[..., None], make_spec: MakeSpec
) -> None:
    without("torch")
    with pytest.raises(BackendUnavailable, match="backend 'torch' is not available in runtime 'keras3'"):
        blocks.entrants(make_spec(), names, baseline, "compare")


@pytest.mark.parametrize(("names", "baseline"), [(["theano", "jax"], None), (None, "jax")])
def test_backend_of_another_runtime_is_refused(
    names: list[str] | None, baseline: str | None, make_spec: MakeSpec
) -> None:
    with pytest.raises(BackendUnavailable, match=r"'jax' is not offered by runtime 'keras2'.*Leave it out; "):
        blocks.entrants(make_spec("theano", "keras2"), names, baseline, "compare")


def test_unusable_interpreter_is_named_as_the_reason(make_spec: MakeSpec, bare_python: str) -> None:
    spec = replace(make_spec(), python=bare_python)
    with pytest.raises((BackendUnavailable, RuntimeUnavailable), match=bare_python):
        blocks.entrants(spec, None, None, "compare")


def test_a_backend_that_lacks_a_setting_of_the_engine_does_not_take_part(make_spec: MakeSpec) -> None:
    spec = make_spec(engine__jit_compile=False)
    who = blocks.entrants(spec, None, None, "compare")
    assert "theano" not in who.names
    assert any("engine.jit_compile is false, but Theano" in why for why in who.missing)
    with pytest.raises(ConfigError, match=r"engine\.jit_compile is false, but Theano"):
        blocks.entrants(spec, ["tensorflow", "theano"], None, "compare")
