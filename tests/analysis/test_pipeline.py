"""Runs with known effects lead to the right verdicts, which irrelevant changes do not affect."""

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backendexp.analysis import numbers
from backendexp.analysis.findings import (
    DIFFERENT,
    EQUIVALENT,
    FASTER,
    INCONCLUSIVE,
    LESS,
    MORE,
    SLOWER,
    Comparison,
    Contrast,
    QualityContrast,
    TrackedRun,
)
from backendexp.analysis.pipeline import analyse
from backendexp.analysis.statistics import LEVEL
from backendexp.errors import ComparisonError
from support.chance import most
from support.tracked import MEASURES, MEMORY, QUALITIES, TIMES, moved, sweep_runs


def compare(runs: list[TrackedRun], **settings: Any) -> Comparison:
    return analyse(runs, title="a title", **settings)


def training(found: Comparison) -> Contrast:
    return next(c for c in found.contrasts if c.measure.key == "training_time_s")


def quality(found: Comparison, key: str) -> QualityContrast:
    return next(q for q in found.qualities if q.measure.key == key)


# -- verdicts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "noise", "verdict"),
    [
        (0.5, 0.02, FASTER),
        (2.0, 0.02, SLOWER),
        (1.0, 0.02, EQUIVALENT),
        (1.04, 0.01, EQUIVALENT),
        (1.1, 0.2, INCONCLUSIVE),
    ],
)
def test_known_effect_gets_its_verdict_in_every_time(factor: float, noise: float, verdict: str) -> None:
    found = compare(sweep_runs({"tensorflow": 1.0, "theano": factor}, 10, noise, seed=1))
    times = [c for c in found.contrasts if c.measure in TIMES]
    assert [c.measure for c in times] == list(TIMES)
    assert {c.verdict for c in times} == {verdict}


@pytest.mark.parametrize(("factor", "verdict"), [(0.5, LESS), (2.0, MORE), (1.0, EQUIVALENT)])
def test_memory_is_less_or_more(factor: float, verdict: str) -> None:
    found = compare(sweep_runs({"tensorflow": 1.0, "theano": factor}))
    (memory,) = [c for c in found.contrasts if c.measure == MEMORY]
    assert memory.verdict == verdict
    claim = (
        "are equivalent in peak memory" if verdict == EQUIVALENT else f"theano takes {verdict} memory than"
    )
    assert claim in memory.sentence
    assert "times as much" in memory.sentence


def test_sentence_of_a_difference_has_its_numbers() -> None:
    contrast = training(compare(sweep_runs({"tensorflow": 1.0, "theano": 0.5}, 10)))
    assert contrast.ratio == pytest.approx(0.5, rel=0.03)
    assert contrast.sentence == (
        f"theano is faster than tensorflow in training_time_s: {contrast.ratio:.3f} times as long (95% "
        f"interval {contrast.low:.3f} to {contrast.high:.3f}), faster in 100% of 10 blocks, Holm's p < 0.001."
    )


def test_small_real_difference_is_equivalent_and_reported() -> None:
    contrast = training(compare(sweep_runs({"tensorflow": 1.0, "theano": 1.04}, 20, 0.01)))
    assert contrast.verdict == EQUIVALENT
    assert contrast.p_holm is not None
    assert contrast.p_holm < LEVEL
    assert "theano takes 1.04 times as long (95% interval 1.0" in contrast.sentence
    assert contrast.sentence.endswith("and 0.909 to 1.10 counts as equal.")


def test_same_difference_with_a_smaller_margin_is_a_difference() -> None:
    assert (
        training(compare(sweep_runs({"tensorflow": 1.0, "theano": 1.04}, 20, 0.01), margin=0.02)).verdict
        == SLOWER
    )


def test_inconclusive_verdict_says_how_many_more_blocks_would_decide() -> None:
    contrast = training(compare(sweep_runs({"tensorflow": 1.0, "theano": 1.15}, 5, 0.2)))
    assert contrast.verdict == INCONCLUSIVE
    assert contrast.more_blocks is not None
    assert f"after 5 blocks: {numbers.significant(contrast.ratio)} times as long" in contrast.sentence
    assert contrast.sentence.endswith(f"About {contrast.more_blocks} more blocks would decide.")


def test_inconclusive_verdict_that_no_number_of_blocks_would_decide_says_so() -> None:
    """The difference equals the margin."""
    runs = sweep_runs({"tensorflow": 1.0, "theano": 1.0}, 4, 0.0)
    swing = (30.0, 1 / 30, 25.0, 1 / 25)
    noisy = [
        replace(r, values={**r.values, "training_time_s": 2.0 * swing[r.seed]})
        if r.backend == "theano"
        else r
        for r in runs
    ]
    contrast = training(compare(noisy))
    assert (contrast.verdict, contrast.more_blocks) == (INCONCLUSIVE, None)
    assert contrast.sentence.endswith("No feasible number of blocks would decide.")


def test_failures_of_both_sides_leave_the_blocks_that_both_finished() -> None:
    runs = [
        replace(r, status="FAILED") if (r.backend, r.seed) in (("theano", 0), ("tensorflow", 5)) else r
        for r in sweep_runs({"tensorflow": 1.0, "theano": 0.5})
    ]
    contrast = training(compare(runs))
    assert (contrast.blocks, contrast.verdict) == (8, FASTER)


# -- quality -----------------------------------------------------------------------------------------


def test_equal_quality_is_equivalent_within_the_margin() -> None:
    found = quality(compare(sweep_runs({"tensorflow": 1.0, "theano": 0.5}, 20)), "accuracy")
    assert found.verdict == EQUIVALENT
    assert found.margin == 0.05
    assert found.sentence.startswith("theano and tensorflow are equivalent in accuracy: the difference is ")
    assert found.sentence.endswith("within 0.05 either way.")


def test_other_quality_is_different() -> None:
    runs = sweep_runs({"tensorflow": 1.0, "theano": 0.5}, 10, quality={"theano": 0.2})
    for key, sign in (("accuracy", 1), ("loss", -1)):
        found = quality(compare(runs), key)
        assert found.verdict == DIFFERENT
        assert found.difference == pytest.approx(sign * 0.2, abs=0.03)
        assert found.sentence.startswith(f"theano and tensorflow differ in {key}: by ")


def test_quality_that_a_smaller_margin_cannot_tell_is_inconclusive() -> None:
    found = quality(
        compare(sweep_runs({"tensorflow": 1.0, "theano": 0.5}, 4), accuracy_margin=0.001), "accuracy"
    )
    assert found.verdict == INCONCLUSIVE
    assert found.sentence.endswith("and 0.001 either way counts as equal.")


def test_identical_quality_is_equivalent() -> None:
    same = {"values": {"loss": 0.6931, "accuracy": 0.5}}
    found = [quality(compare(sweep_runs({"jax": 1.0, "theano": 1.0}, 3, **same)), m.key) for m in QUALITIES]
    assert all(q is not None for q in found)
    runs = [
        replace(r, values={**r.values, "loss": 0.69 + r.seed / 100, "accuracy": 0.5 + r.seed / 100})
        for r in sweep_runs({"jax": 1.0, "theano": 1.0}, 3)
    ]
    for key in ("loss", "accuracy"):
        identical = quality(compare(runs), key)
        assert (identical.verdict, identical.difference) == (EQUIVALENT, 0.0)
        assert (identical.p_equivalent, identical.p_different) == (0.0, 1.0)


# -- accuracy by chance ------------------------------------------------------------------------------


def coins(accuracy: float, blocks: int = 10, **fields: Any) -> list[TrackedRun]:
    runs = sweep_runs({"jax": 1.0, "theano": 1.0}, blocks, **fields)
    return [replace(r, values={**r.values, "accuracy": accuracy}) for r in runs]


def test_accuracy_on_coin_flips_is_luck() -> None:
    found = compare(coins(0.52)).group("theano").chance
    assert found is not None
    assert (found.correct, found.guesses) == (520, 1000)
    assert found.low < 0.5 < found.high
    assert found.sentence.startswith("theano got 520 of 1,000 coin flips right: 0.520 (95% interval 0.4")
    assert found.sentence.endswith("That is luck.")


def test_accuracy_that_no_luck_explains_points_to_a_leak() -> None:
    found = compare(coins(0.6)).group("theano").chance
    assert found is not None
    assert found.p < 0.001
    assert found.sentence.endswith("look for test labels that the training could see.")


def test_learnable_labels_are_not_compared_with_chance() -> None:
    found = compare(coins(0.6, params={"data.kind": "signal"}))
    assert [group.chance for group in found.groups] == [None, None]


def test_labels_that_were_guessed_twice_count_once() -> None:
    again = moved(coins(0.52, 5), 100)
    found = compare([*coins(0.52, 5), *again]).group("theano").chance
    assert found is not None
    assert found.guesses == 500


# -- groups ------------------------------------------------------------------------------------------


def test_groups_have_medians_and_quartiles_of_what_finished_and_their_engine() -> None:
    runs = sweep_runs({"tensorflow": 1.0, "theano": 0.5}, 9)
    runs = [replace(r, status="KILLED") if (r.backend, r.seed) == ("theano", 8) else r for r in runs]
    group = compare(runs).group("theano")
    times = [r.values["training_time_s"] for r in runs if r.backend == "theano" and r.seed < 8]
    spread = group.spreads["training_time_s"]
    assert spread.median == pytest.approx(np.median(times))
    assert (spread.low, spread.high) == pytest.approx(tuple(np.quantile(times, (0.25, 0.75))))
    assert spread.runs == 8
    assert set(group.spreads) == {m.key for m in MEASURES}
    assert group.engine == "Theano 1.0"


def test_baseline_is_the_first_group_and_what_is_shared_is_reported() -> None:
    found = compare(sweep_runs({"jax": 1.0, "tensorflow": 1.0, "theano": 1.0}))
    assert found.baselines == ("tensorflow",)
    assert [group.label for group in found.groups] == ["tensorflow", "jax", "theano"]
    assert found.common["training.epochs"] == "20"
    assert "backend.name" not in found.common
    assert "seed" not in found.common
    assert found.versions == {"Keras": "3.15.1", "Python": "3.11.7", "CPU": "AMD EPYC 7B13", "cores": "2"}


def test_headlines_are_about_the_pairs_with_the_baseline() -> None:
    found = compare(sweep_runs({"jax": 1.0, "tensorflow": 1.0, "theano": 0.5}))
    assert len(found.headlines()) == 2 * 3
    assert all("tensorflow" in line for line in found.headlines())


def test_sweeps_are_compared_backend_by_backend() -> None:
    first = sweep_runs({"jax": 1.0, "theano": 1.0}, sweep="old")
    second = moved(sweep_runs({"jax": 1.0, "theano": 2.0}, sweep="new", seed=1), 100)
    found = compare([*first, *second], by_sweep=True)
    assert found.baselines == ("jax, old", "theano, old")
    verdicts = {
        (c.baseline, c.candidate): c.verdict for c in found.contrasts if c.measure.key == "training_time_s"
    }
    assert verdicts == {("jax, old", "jax, new"): EQUIVALENT, ("theano, old", "theano, new"): SLOWER}
    assert compare([*first, *second], by_sweep=True, baseline="new").baselines == ("jax, new", "theano, new")


# -- what must not change a verdict ------------------------------------------------------------------

MIRRORED = {FASTER: SLOWER, SLOWER: FASTER, LESS: MORE, MORE: LESS}
effects = st.floats(0.3, 3.0)
noises = st.sampled_from([0.01, 0.1, 0.5])
few = settings(max_examples=15)


@few
@given(effects, noises, st.integers(3, 8))
def test_swapped_baseline_inverts_ratio_and_interval_and_mirrors_the_verdict(
    factor: float, noise: float, blocks: int
) -> None:
    runs = sweep_runs({"jax": 1.0, "theano": factor}, blocks, noise)
    one, other = compare(runs, baseline="jax"), compare(runs, baseline="theano")
    for a, b in zip(one.contrasts, other.contrasts, strict=True):
        assert (a.baseline, a.candidate) == (b.candidate, b.baseline)
        assert (a.ratio, a.low, a.high) == pytest.approx((1 / b.ratio, 1 / b.high, 1 / b.low))  # type: ignore[operator]
        mirrored = 1 / b.bootstrap_high, 1 / b.bootstrap_low  # type: ignore[operator]
        assert (a.bootstrap_low, a.bootstrap_high) == pytest.approx(mirrored)
        assert a.faster_share == pytest.approx(1 - (b.faster_share or 0.0))
        assert b.verdict == MIRRORED.get(a.verdict, a.verdict)
        assert a.more_blocks == b.more_blocks


@few
@given(effects, noises, st.floats(1e-3, 1e3))
def test_unit_of_time_changes_nothing(factor: float, noise: float, unit: float) -> None:
    runs = sweep_runs({"jax": 1.0, "theano": factor}, 5, noise)
    keys = [m.key for m in TIMES]
    scaled = [replace(r, values={k: v * unit if k in keys else v for k, v in r.values.items()}) for r in runs]
    for a, b in zip(compare(runs).contrasts, compare(scaled).contrasts, strict=True):
        assert b.verdict == a.verdict
        assert (b.ratio, b.low, b.high) == pytest.approx((a.ratio, a.low, a.high))
        assert (b.bootstrap_low, b.bootstrap_high) == pytest.approx((a.bootstrap_low, a.bootstrap_high))
        assert b.p == pytest.approx(a.p, abs=1e-9)


@few
@given(st.randoms(use_true_random=False))
def test_order_of_the_runs_changes_nothing(shuffle: random.Random) -> None:
    runs = sweep_runs({"jax": 1.0, "theano": 0.8, "tensorflow": 1.1}, 4, 0.1)
    shuffled = runs.copy()
    shuffle.shuffle(shuffled)
    assert compare(shuffled) == compare(runs)


def test_numbers_of_a_comparison_are_finite_or_none() -> None:
    for noise in (0.0, 0.1):
        found = compare(sweep_runs({"jax": 1.0, "theano": 1.0, "torch": 2.0}, 3, noise))
        for contrast in found.contrasts:
            values = (contrast.ratio, contrast.low, contrast.high, contrast.p, contrast.p_holm)
            if contrast.withheld is None:
                assert all(value is not None and math.isfinite(value) for value in values)
        assert {c.measure.key for c in found.contrasts if c.withheld} <= {"time/import_s"}


def test_what_is_not_finite_is_left_out() -> None:
    runs = sweep_runs({"jax": 1.0, "theano": 1.0}, 5)
    spoilt = [replace(r, values={**r.values, "loss": math.nan}) if r.seed == 2 else r for r in runs]
    assert quality(compare(spoilt), "loss").blocks == 4
    assert compare(spoilt).group("jax").spreads["loss"].runs == 4


# -- rates over many comparisons ---------------------------------------------------------------------


def rate_of(verdicts: tuple[str, ...], factors: dict[str, float], blocks: int, simulations: int) -> float:
    """Return the share of comparisons in which any pair gets one of these verdicts on its training time."""
    hits = 0
    for seed in range(simulations):
        found = compare(sweep_runs(factors, blocks, 0.05, seed=seed))
        hits += any(c.verdict in verdicts for c in found.contrasts if c.measure.key == "training_time_s")
    return hits / simulations


@pytest.mark.slow
@pytest.mark.parametrize("sides", [2, pytest.param(4, marks=pytest.mark.extended)])
def test_equal_backends_are_called_faster_or_slower_no_more_often_than_the_level_allows(sides: int) -> None:
    factors = dict.fromkeys(["jax", "tensorflow", "theano", "torch"][:sides], 1.0)
    assert rate_of((FASTER, SLOWER), factors, 5, 300) <= most(LEVEL, 300)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.1, pytest.param(1 / 1.1, marks=pytest.mark.extended)])
def test_difference_as_large_as_the_margin_is_called_equivalent_no_more_often_than_the_level_allows(
    factor: float,
) -> None:
    factors = {"tensorflow": 1.0, "theano": factor}
    assert rate_of((EQUIVALENT,), factors, 10, 300) <= most(LEVEL, 300)


# -- size --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [40, 1000])
def test_hundreds_and_thousands_of_runs_are_compared(blocks: int) -> None:
    """Compare 200 and 5,000 runs of five backends. benchmarks/comparison.py measures how long that takes."""
    backends = ("jax", "tensorflow", "theano", "torch", "other")
    found = compare(sweep_runs(dict.fromkeys(backends, 1.0), blocks, 0.5))
    assert sum(len(group.runs) for group in found.groups) == 5 * blocks
    assert {contrast.blocks for contrast in found.contrasts if contrast.withheld is None} == {blocks}


# -- metrics other than accuracy ---------------------------------------------------------------------


def regression_of(errors: dict[str, float], blocks: int = 6) -> list[TrackedRun]:
    """A sweep whose runs have no accuracy, but an error in the unit of the labels."""
    found = []
    for run in sweep_runs(dict.fromkeys(errors, 1.0), blocks):
        error = errors[run.backend] * (1 + run.seed / 1000)
        values = {key: value for key, value in run.values.items() if key != "accuracy"}
        values |= {"test/mean_absolute_error": error, "test/r2_score": 0.9, "loss": error**2}
        params = {**run.params, "training.loss": "mean_squared_error"}
        found.append(replace(run, values=values, params=params))
    return found


def test_every_metric_of_the_runs_is_judged_and_the_first_is_a_headline() -> None:
    found = compare(regression_of({"tensorflow": 1000.0, "theano": 1001.0}))
    assert [q.measure.title for q in found.qualities] == ["loss", "mean absolute error", "r2 score"]
    assert {q.verdict for q in found.qualities} == {"equivalent"}
    assert found.headlines()[-1] == quality(found, "test/mean_absolute_error").sentence
    assert found.quality is not None
    assert found.quality.key == "test/mean_absolute_error"
    assert "accuracy" not in found.groups[0].spreads


def test_the_margin_of_an_error_is_a_share_of_the_baseline() -> None:
    found = compare(regression_of({"tensorflow": 1000.0, "theano": 1100.0}))
    error = quality(found, "test/mean_absolute_error")
    assert error.margin == pytest.approx(50, rel=0.01)
    assert (error.verdict, round(error.difference or 0)) == ("different", 100)
    # The loss is the square of the error, so it has a margin of its own kind.
    assert quality(found, "loss").margin == pytest.approx(50_000, rel=0.01)
    steady = next(c for c in found.contrasts if c.measure.key == "training_time_s")
    assert steady.withheld == "not of one quality: different loss and mean absolute error"


def test_accuracy_of_each_output_has_the_margin_that_the_user_names() -> None:
    runs = [
        replace(run, values={**run.values, "test/left_accuracy": 0.5})
        for run in sweep_runs({"tensorflow": 1.0, "theano": 1.0}, 4)
    ]
    found = compare(runs, accuracy_margin=0.02)
    assert [quality(found, key).margin for key in ("accuracy", "test/left_accuracy")] == [0.02, 0.02]


def test_chance_is_one_over_the_number_of_classes() -> None:
    runs = [
        replace(run, params={**run.params, "data.classes": "10"}, values={**run.values, "accuracy": 0.1})
        for run in sweep_runs({"tensorflow": 1.0, "theano": 1.0}, 4)
    ]
    chance = compare(runs).groups[0].chance
    assert chance is not None
    assert (chance.expected, chance.correct) == (0.1, 40)
    assert "random labels of 10 classes right" in chance.sentence
    assert chance.sentence.endswith("That is luck.")


# -- the values of a setting -------------------------------------------------------------------------


def by_threads(**of_the_second: Any) -> list[TrackedRun]:
    """A sweep on one backend over two numbers of threads, of which the second takes half the time."""
    found = []
    for run in sweep_runs({"one": 1.0, "two": 0.5}, 10):
        second = run.backend == "two"
        params = {**run.params, "backend.name": "jax", "threads": "2" if second else "1"}
        tags = {**run.tags, "engine": "Jax"}
        changes = of_the_second if second else {}
        found.append(replace(run, backend="jax", params=params, tags=tags, **changes))
    return found


def test_values_of_a_setting_are_compared_on_one_backend() -> None:
    found = compare(by_threads(), by="threads")
    assert [group.label for group in found.groups] == ["threads=1", "threads=2"]
    assert (training(found).candidate, training(found).verdict) == ("threads=2", FASTER)
    assert found.by == "threads"


def test_a_value_can_be_the_baseline() -> None:
    for word in ("2", "threads=2"):
        assert compare(by_threads(), by="threads", baseline=word).baselines == ("threads=2",)
    with pytest.raises(ComparisonError, match=r"Expected one of: 1, 2, threads=1, threads=2"):
        compare(by_threads(), by="threads", baseline="3")


def test_runs_that_differ_in_a_setting_are_no_comparison_of_backends() -> None:
    with pytest.raises(ComparisonError, match=r"threads is 1 in .* or compare the values .* --by threads"):
        compare(by_threads())


def test_values_of_a_setting_are_not_compared_across_backends() -> None:
    with pytest.raises(
        ComparisonError, match=r"the backend is tensorflow in .* on one backend of one runtime"
    ):
        compare(sweep_runs({"tensorflow": 1.0, "jax": 1.0}, 4), by="threads")


def test_times_are_judged_where_a_setting_changes_what_is_computed() -> None:
    def of(by: str) -> Contrast:
        runs = [
            replace(
                run,
                params={**run.params, "threads": "2", by: run.params["threads"]},
                values={**run.values, "loss": run.values["loss"] + float(run.params["threads"])},
            )
            for run in by_threads()
        ]
        return training(compare(runs, by=by))

    assert of("training.batch_size").verdict == FASTER
    assert of("engine.jit_compile").withheld == "not of one quality: different loss"


def test_parity_runs_of_each_value_belong_to_its_side() -> None:
    runs = by_threads()
    checked = [
        replace(
            run,
            run_id=f"parity {number}",
            role="parity",
            seed=0,
            loss_by_epoch=(0.7, 0.69 + (0.1 if run.params["threads"] == "2" else 0.0)),
            tags={**run.tags, "data_digest": "d", "weights_digest": "w"},
            params={**run.params, "parity.probe": str(max(0, number - 1))},
        )
        for number, run in enumerate([runs[0], runs[1], runs[0], runs[0]])
    ]
    found = compare([*runs, *moved(checked, 100)], by="threads")
    assert found.parity.agree is False
    assert list(found.parity.distances) == ["threads=2"]
    assert training(found).withheld == "parity: threads=2 computed something else"
