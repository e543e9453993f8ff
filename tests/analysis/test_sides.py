"""Which sides of a comparison are compared with each other."""

from dataclasses import replace

import pytest

from backendexp.analysis import sides
from backendexp.analysis.findings import TrackedRun
from backendexp.analysis.sides import Side
from backendexp.errors import ComparisonError
from support.tracked import changed, moved, run_of, sweep_runs

KERAS2 = {"runtime": "keras2", "tags": {"keras_version": "2.3.1"}}


def both_runtimes() -> list[TrackedRun]:
    new = sweep_runs({"tensorflow": 1.0, "jax": 1.0, "theano": 1.0}, 3)
    return [*new, *moved(sweep_runs({"tensorflow": 1.0, "theano": 1.0}, 3, **KERAS2), 100)]


def labels(found: list[Side]) -> list[str]:
    return [side.label for side in found]


def pairs_of(runs: list[TrackedRun], baseline: str | None = None) -> list[tuple[str, str]]:
    found = sides.split(runs, by_sweep=False)
    return [pair.labels for pair in sides.pair_up(found, sides.choose_baselines(found, baseline))]


# -- sides and their labels --------------------------------------------------------------------------


def test_backend_alone_is_the_label_on_one_runtime() -> None:
    assert labels(sides.split(sweep_runs({"theano": 1.0, "jax": 1.0}, 2), False)) == ["jax", "theano"]


def test_runtime_is_reported_where_there_are_two() -> None:
    assert labels(sides.split(both_runtimes(), False)) == [
        "jax (keras3)",
        "tensorflow (keras2)",
        "tensorflow (keras3)",
        "theano (keras2)",
        "theano (keras3)",
    ]


@pytest.mark.parametrize(
    ("key", "values"), [("python", ["/a/python", "/b/python"]), ("start", ["fork", "spawn"])]
)
def test_backend_can_meet_itself_on_two_interpreters_or_starts(key: str, values: list[str]) -> None:
    runs = [
        run_of("jax", seed, 2 * seed + at, params={f"runtime.{key}": value})
        for seed in range(3)
        for at, value in enumerate(values)
    ]
    found = sides.split(runs, False)
    assert labels(found) == [f"jax ({value})" for value in values]
    (pair,) = sides.pair_up(found, found[:1])
    assert len(pair.blocks) == 3


def test_sweep_is_reported_where_sweeps_are_compared() -> None:
    runs = [*sweep_runs({"jax": 1.0}, 2, sweep="a"), *moved(sweep_runs({"jax": 1.0}, 2, sweep="b"), 10)]
    assert labels(sides.split(runs, by_sweep=True)) == ["jax, a", "jax, b"]


# -- baselines ---------------------------------------------------------------------------------------


def baselines(runs: list[TrackedRun], wanted: str | None = None) -> list[str]:
    return labels(sides.choose_baselines(sides.split(runs, False), wanted))


def test_baseline_is_tensorflow_or_else_the_backend_that_ran_first() -> None:
    assert baselines(sweep_runs({"jax": 1.0, "tensorflow": 1.0, "theano": 1.0}, 2)) == ["tensorflow"]
    assert baselines(sweep_runs({"theano": 1.0, "jax": 1.0}, 2)) == ["theano"]
    assert baselines(sweep_runs({"jax": 1.0, "theano": 1.0}, 2)) == ["jax"]


def test_baseline_is_the_one_that_the_comparison_was_planned_with() -> None:
    planned = {"tags": {"baseline": "theano"}}
    runs = sweep_runs({"jax": 1.0, "tensorflow": 1.0, "theano": 1.0}, 2, **planned)
    assert baselines(runs) == ["theano"]
    assert baselines(runs, "jax") == ["jax"]
    # If plans differ, or some runs have none, no plan decides for all.
    assert baselines([*runs, *moved(sweep_runs({"torch": 1.0}, 2), 50)]) == ["tensorflow"]


def test_baseline_can_be_named_by_backend_or_label() -> None:
    assert baselines(sweep_runs({"jax": 1.0, "tensorflow": 1.0}, 2), "jax") == ["jax"]
    assert baselines(both_runtimes(), "theano (keras2)")[0] == "theano (keras2)"


def test_each_keras_with_two_backends_has_a_baseline() -> None:
    assert baselines(both_runtimes()) == ["tensorflow (keras3)", "tensorflow (keras2)"]
    assert baselines(both_runtimes(), "theano") == ["theano (keras3)", "theano (keras2)"]


def test_keras_with_one_backend_has_none() -> None:
    new = sweep_runs({"tensorflow": 1.0, "jax": 1.0}, 2)
    assert baselines([*new, *moved(sweep_runs({"theano": 1.0}, 2, **KERAS2), 50)]) == ["tensorflow (keras3)"]


def test_unknown_baseline_is_refused_with_the_nearest() -> None:
    with pytest.raises(ComparisonError) as refused:
        baselines(sweep_runs({"jax": 1.0, "tensorflow": 1.0}, 2), "tensorfow")
    assert str(refused.value) == (
        "the baseline is 'tensorfow', of which there are no runs. Did you mean 'tensorflow'? "
        "Expected one of: jax, tensorflow"
    )


# -- pairs -------------------------------------------------------------------------------------------


def test_every_two_sides_are_a_pair_and_those_with_the_baseline_come_first() -> None:
    assert pairs_of(sweep_runs({"theano": 1.0, "tensorflow": 1.0, "jax": 1.0}, 2)) == [
        ("tensorflow", "jax"),
        ("tensorflow", "theano"),
        ("jax", "theano"),
    ]


def test_each_runtime_is_compared_with_its_own_baseline() -> None:
    found = pairs_of(both_runtimes())
    assert len(found) == 5 * 4 / 2
    assert ("tensorflow (keras2)", "theano (keras2)") in found
    assert ("tensorflow (keras3)", "theano (keras2)") in found
    assert [pair for pair in found if pair[0] == "tensorflow (keras2)"] == [
        ("tensorflow (keras2)", "theano (keras2)")
    ]


def test_sweeps_are_compared_backend_by_backend() -> None:
    first = sweep_runs({"jax": 1.0, "theano": 1.0}, 2, sweep="b")
    second = moved(sweep_runs({"jax": 1.0, "theano": 1.0, "torch": 1.0}, 2, sweep="a"), 10)
    found = sides.split([*first, *second], by_sweep=True)
    assert [pair.labels for pair in sides.pair_up_sweeps(found, "b")] == [
        ("jax, b", "jax, a"),
        ("theano, b", "theano, a"),
    ]


def test_first_sweep_is_that_of_the_first_run_or_the_named_one() -> None:
    runs = [run_of(sweep="late", at=9), run_of(sweep="early", at=1)]
    assert sides.choose_sweep(runs, None) == "late"
    assert sides.choose_sweep(runs, "early") == "early"


def test_unknown_sweep_is_refused_with_the_nearest() -> None:
    with pytest.raises(ComparisonError, match=r"not one of the sweeps\. Did you mean 'early'"):
        sides.choose_sweep([run_of(sweep="early")], "erly")


# -- blocks ------------------------------------------------------------------------------------------


def blocks_of(runs: list[TrackedRun], by_sweep: bool = False) -> list[tuple[str, str]]:
    found = sides.split(runs, by_sweep)
    return [(a.run_id, b.run_id) for a, b in sides.Pair(found[0], found[1]).blocks]


def test_seed_pairs_the_runs_where_there_is_no_block() -> None:
    runs = [run_of("jax", 1, 0), run_of("jax", 0, 1), run_of("theano", 0, 2), run_of("theano", 1, 3)]
    assert blocks_of(runs) == [("id0", "id3"), ("id1", "id2")]


def test_block_takes_precedence_over_the_seed() -> None:
    seeds = [7, 8, 8, 7]
    runs = [
        run_of(backend, seeds[at], at, block=at // 2 + 1) for at, backend in enumerate(["jax", "theano"] * 2)
    ]
    assert blocks_of(runs) == [("id0", "id1"), ("id2", "id3")]


def test_block_with_a_failed_run_gives_no_pair() -> None:
    runs = sweep_runs({"jax": 1.0, "theano": 1.0}, 3)
    assert blocks_of(changed(runs, 2, status="FAILED", reason="exception")) == [
        ("id0", "id1"),
        ("id4", "id5"),
    ]


def test_plan_that_is_repeated_is_one_block_of_its_first_runs_that_finished() -> None:
    runs = [run_of(backend, 0, at) for at, backend in enumerate(["jax", "theano", "theano", "jax", "jax"])]
    assert blocks_of(runs) == [("id0", "id1")]
    assert blocks_of(changed(runs, 0, status="FAILED", reason="exception")) == [("id3", "id1")]
    assert [side.repeated for side in sides.split(runs, False)] == [2, 1]


@pytest.mark.parametrize("sweep", ["a", None], ids=["a sweep again", "runs outside of sweeps"])
def test_seeds_that_a_later_sweep_repeats_are_no_more_blocks(sweep: str | None) -> None:
    first = sweep_runs({"jax": 1.0, "theano": 1.0}, 2, sweep=sweep)
    again = moved(sweep_runs({"jax": 1.0, "theano": 1.0}, 3, sweep="b"), 50)
    assert blocks_of([*again, *first]) == [("id0", "id1"), ("id2", "id3"), ("id4+50", "id5+50")]


def test_seed_counts_where_both_finished_it_first() -> None:
    first = changed(sweep_runs({"jax": 1.0, "theano": 1.0}, 1, sweep="a"), 1, status="FAILED")
    again = moved(sweep_runs({"jax": 1.0, "theano": 1.0}, 1, sweep="b"), 50)
    assert blocks_of([*first, *again]) == [("id0+50", "id1+50")]


def test_sweeps_of_one_experiment_share_no_block() -> None:
    runs = [run_of("jax", 0, 0, sweep="a"), run_of("theano", 0, 1, sweep="b")]
    assert blocks_of(runs) == []


def test_sweeps_that_are_compared_share_seeds() -> None:
    first = sweep_runs({"jax": 1.0}, 3, sweep="a", block=1)
    second = [replace(run, block=2) for run in moved(sweep_runs({"jax": 1.0}, 2, sweep="b"), 10)]
    assert blocks_of([*first, *second], by_sweep=True) == [("id0", "id0+10"), ("id1", "id1+10")]
