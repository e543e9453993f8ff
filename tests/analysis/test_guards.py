"""Comparisons are refused, and verdicts withheld, with messages that say why."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from backendexp.analysis import guards
from backendexp.analysis.findings import (
    WITHHELD,
    Comparison,
    TrackedRun,
)
from backendexp.analysis.pipeline import analyse
from backendexp.errors import ComparisonError, UserError
from support.tracked import MEMORY, STEP_MS, TIMES, changed, moved, run_of, sweep_runs

TWO = {"tensorflow": 1.0, "theano": 0.5}


def compare(runs: list[TrackedRun], **settings: Any) -> Comparison:
    return analyse(runs, title="a title", **settings)


def refused(runs: list[TrackedRun], words: str, **settings: Any) -> None:
    with pytest.raises(ComparisonError, match=re.escape(words)):
        compare(runs, **settings)


def reasons(found: Comparison) -> dict[str, str | None]:
    """Return the reasons why there is no verdict, by measure."""
    return {c.measure.key: c.withheld for c in found.contrasts}


# -- refused -----------------------------------------------------------------------------------------


def test_empty_selection_is_refused() -> None:
    refused([], "there are no timed runs to compare: the selection is empty. Make some with backendexp -m")


def test_parity_runs_alone_are_refused() -> None:
    runs = sweep_runs(TWO, 3, role="parity")
    refused(runs, "there are no timed runs to compare: all 6 of them are parity runs")


def test_summary_runs_are_not_data() -> None:
    summary = run_of("", tags={"kind": "sweep"}, params={"training.epochs": "999"}, at=99)
    assert compare([*sweep_runs(TWO, 3), summary]) == compare(sweep_runs(TWO, 3))
    refused([summary], "the selection is empty")


def test_one_backend_is_refused_and_named() -> None:
    refused(
        sweep_runs({"theano": 1.0}, 12),
        "all runs (12) are of theano, and a comparison needs two backends. Run another with it: backendexp",
    )


def test_runs_that_still_run_are_refused_and_counted() -> None:
    runs = changed(sweep_runs(TWO, 5), 9, status="RUNNING", ended_ms=None)
    refused(runs, "1 of 10 runs are still RUNNING, e.g. theano-keras3-seed4. Wait until they have ended")


def test_runs_of_a_lost_machine_are_refused_with_the_command_that_closes_them() -> None:
    runs = changed(sweep_runs(TWO, 5), 9, status="RUNNING", ended_ms=None)
    refused(
        runs,
        "on that machine. If the machine lab will not come back, close its runs with: backendexp sync "
        "--close lab. If backendexp cannot know that",
    )


@pytest.mark.parametrize(("blocks", "found"), [(2, "2 complete blocks"), (1, "1 complete block")])
def test_too_few_blocks_are_refused_and_counted(blocks: int, found: str) -> None:
    refused(
        sweep_runs(TWO, blocks),
        f"tensorflow and theano have {found} (one run of each that finished, of one seed). A verdict needs 3 "
        "at least. More come with compare.blocks=10, or in a sweep with seed='range(10)'",
    )


def test_blocks_lost_to_failures_are_reported() -> None:
    runs = sweep_runs(TWO, 3)
    refused(
        changed(runs, 0, status="FAILED"),
        "have 2 complete blocks (one run of each that finished, of one "
        "seed); 1 of their 6 runs did not finish. A verdict needs 3",
    )


def test_pair_with_enough_blocks_saves_another_that_has_too_few() -> None:
    runs = sweep_runs({**TWO, "jax": 1.0}, 4)
    lame = [replace(r, status="FAILED") if r.backend == "jax" and r.seed > 1 else r for r in runs]
    found = compare(lame)
    theano, jax = (
        next(c for c in found.contrasts if (c.baseline, c.candidate) == ("tensorflow", backend))
        for backend in ("theano", "jax")
    )
    assert theano.blocks == 4
    assert (jax.verdict, jax.blocks, jax.more_blocks) == ("inconclusive", 2, 1)
    assert "is inconclusive: 2 blocks, and a verdict needs 3." in jax.sentence


def test_runs_of_different_code_of_the_user_are_not_compared() -> None:
    own = {"model._target_": "mine.build", "model._source_": "aa11"}
    runs = [replace(run, params={**run.params, **own}) for run in sweep_runs(TWO, 3)]
    refused(
        changed(runs, 3, params={"model._source_": "bb22"}),
        "these runs are not alike: the digest of the code of model._target_ is aa11 in "
        "tensorflow-keras3-seed0",
    )


@pytest.mark.parametrize(
    ("key", "value"), [("training.epochs", "50"), ("threads", "8"), ("model.dropout", "0.0")]
)
def test_parameter_that_differs_is_named_with_both_values(key: str, value: str) -> None:
    runs = sweep_runs(TWO, 3)
    refused(
        changed(runs, 3, params={key: value}),
        f"these runs are not alike: {key} is {runs[0].params[key]} in tensorflow-keras3-seed0 (of "
        f"2026-11-22/10-00-00) and {value} in theano-keras3-seed1",
    )


def test_parameter_that_differs_between_the_backends_is_refused_too() -> None:
    runs = [
        replace(r, params={**r.params, "training.epochs": "50"}) if r.backend == "theano" else r
        for r in sweep_runs(TWO, 3)
    ]
    refused(runs, "training.epochs is 20 in tensorflow-keras3-seed0")


def test_parameters_that_a_lost_run_never_logged_are_no_difference() -> None:
    runs = changed(sweep_runs(TWO, 4), 7, status="KILLED", values={})
    assert compare([replace(r, params={}) if r.status == "KILLED" else r for r in runs])


@pytest.mark.parametrize(
    ("tag", "title"), [("keras_version", "Keras version"), ("engine_version", "engine version")]
)
def test_version_that_differs_within_a_group_is_refused(tag: str, title: str) -> None:
    refused(
        changed(sweep_runs(TWO, 3), 3, tags={tag: "9.9"}),
        f"not alike: the {title} of theano is {run_of().tags[tag]} in theano-keras3-seed0",
    )


@pytest.mark.parametrize(("tag", "what"), [("data_digest", "data"), ("weights_digest", "initial weights")])
def test_other_data_or_weights_within_a_block_are_refused(tag: str, what: str) -> None:
    refused(
        changed(sweep_runs(TWO, 3), 3, tags={tag: "f" * 36}),
        f"theano-keras3-seed1 had different {what} from tensorflow-keras3-seed1, though both are in one "
        "block (seed 1)",
    )


def test_starts_that_are_the_engines_own_may_differ_and_it_is_reported() -> None:
    own = {"params": {"controls.initial_weights": "False"}}
    runs = changed(sweep_runs(TWO, 5, **own), 3, tags={"weights_digest": "f" * 36})
    assert any(note.startswith("The starts differ:") for note in compare(runs).notes)


@pytest.mark.parametrize("margin", [0.0, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["margin", "accuracy_margin", "loss_margin"])
def test_invalid_margin_is_refused(name: str, margin: float) -> None:
    refused(sweep_runs(TWO, 3), f"{name} is {margin}: expected a number above 0", **{name: margin})


# -- refused between sweeps --------------------------------------------------------------------------


def two_sweeps(first: dict[str, Any], second: dict[str, Any], blocks: int = 5) -> list[TrackedRun]:
    return [
        *sweep_runs({"theano": 1.0}, blocks, sweep="a", **first),
        *moved(sweep_runs({"theano": 1.0}, blocks, sweep="b", seed=1, **second), 100),
    ]


def test_plan_that_differs_between_sweeps_is_refused() -> None:
    runs = two_sweeps({}, {"params": {"training.epochs": "50"}})
    refused(
        runs,
        "training.epochs is 20 in theano-keras3-seed0 (of a) and 50 in theano-keras3-seed0 (of b)",
        by_sweep=True,
    )


def test_versions_that_differ_between_sweeps_are_what_is_compared() -> None:
    runs = two_sweeps({}, {"tags": {"keras_version": "3.15.2", "engine_version": "2.0"}})
    found = compare(runs, by_sweep=True)
    assert set(reasons(found).values()) == {None}
    assert "The Keras version of theano differs: 3.15.1 in a, 3.15.2 in b." in found.notes
    assert "The engine version of theano differs: 1.0 in a, 2.0 in b." in found.notes


def test_times_of_sweeps_on_different_machines_have_no_verdict() -> None:
    found = reasons(compare(two_sweeps({}, {"tags": {"cpu_model": "Xeon"}}), by_sweep=True))
    assert {found[m.key] for m in TIMES} == {"different machines: CPU model AMD EPYC 7B13 and Xeon"}
    assert found[MEMORY.key] is None


def test_sweeps_without_a_seed_in_common_have_no_blocks() -> None:
    runs = two_sweeps({}, {})
    shifted = [replace(r, seed=r.seed + 5) if r.sweep == "b" else r for r in runs]
    refused(shifted, "theano, a and theano, b have 0 complete blocks", by_sweep=True)


def test_sweeps_without_a_backend_in_common_are_refused() -> None:
    runs = [*sweep_runs({"jax": 1.0}, 3, sweep="a"), *moved(sweep_runs({"theano": 1.0}, 3, sweep="b"), 9)]
    refused(runs, "no backend ran in both sweeps (jax, a; theano, b)", by_sweep=True)


# -- withheld ----------------------------------------------------------------------------------------


def test_different_keras_are_shown_but_not_compared() -> None:
    keras2 = {"runtime": "keras2", "tags": {"keras_version": "2.3.1"}}
    runs = [*sweep_runs({"tensorflow": 1.0}, 4), *moved(sweep_runs({"theano": 1.0}, 4, **keras2), 50)]
    found = compare(runs)
    assert set(reasons(found).values()) == {"different Keras: 3.15.1 and 2.3.1; side by side only"}
    assert {c.verdict for c in found.contrasts} == {WITHHELD}
    assert {q.verdict for q in found.qualities} == {WITHHELD}
    assert all(c.p is None and c.p_holm is None for c in found.contrasts)
    assert any("different Keras versions stand side by side" in note for note in found.notes)


def test_other_version_of_keras_on_one_runtime_is_another_keras() -> None:
    runs = [
        replace(r, tags={**r.tags, "keras_version": "3.14.0"}) if r.backend == "theano" else r
        for r in sweep_runs(TWO, 4)
    ]
    assert set(reasons(compare(runs)).values()) == {"different Keras: 3.15.1 and 3.14.0; side by side only"}


def test_backends_that_also_start_differently_are_not_compared() -> None:
    runs = [
        replace(r, params={**r.params, "runtime.start": "fork"}) if r.backend == "theano" else r
        for r in sweep_runs(TWO, 4)
    ]
    assert set(reasons(compare(runs)).values()) == {
        "runtime.start differs too: spawn and fork; side by side only"
    }


def overlapping(runs: list[TrackedRun]) -> list[TrackedRun]:
    """Let the last run begin one millisecond before the previous one ends."""
    before = runs[-2]
    assert before.ended_ms is not None
    return [*runs[:-1], replace(runs[-1], began_ms=before.ended_ms - 1)]


@pytest.mark.parametrize(
    ("spoil", "count"),
    [(lambda runs: changed(runs, 3, parallel=True), 1), (overlapping, 2)],
    ids=["tagged", "overlapping"],
)
def test_times_of_runs_beside_others_have_no_verdict(
    spoil: Callable[[list[TrackedRun]], list[TrackedRun]], count: int
) -> None:
    found = compare(spoil(sweep_runs(TWO, 5)))
    assert {reasons(found)[m.key] for m in TIMES} == {f"{count} of 10 runs ran beside others"}
    assert reasons(found)[MEMORY.key] is None
    assert any(note.startswith(f"{count} of 10 runs ran beside others, so") for note in found.notes)


ELSEWHERE = {"backendexp.host": "elsewhere"}


def test_blocks_of_several_machines_are_judged_as_those_of_one() -> None:
    """Every second block ran on a machine that takes three times as long."""
    here = sweep_runs(TWO, 10)
    there = [
        replace(r, tags={**r.tags, **ELSEWHERE}, values={**r.values, **slower(r, 3.0)}) if r.seed % 2 else r
        for r in here
    ]
    found = compare(there)
    assert set(reasons(found).values()) == {None}
    assert [(c.verdict, c.ratio) for c in found.contrasts] == [
        (c.verdict, pytest.approx(c.ratio)) for c in compare(here).contrasts
    ]
    assert any(note.startswith("The runs are from 2 machines (elsewhere, ") for note in found.notes)


def slower(run: TrackedRun, factor: float) -> dict[str, float]:
    return {measure.key: run.values[measure.key] * factor for measure in TIMES if measure.key in run.values}


@pytest.mark.parametrize(("tag", "value"), [("cpu_model", "Xeon"), ("cores", "64"), *ELSEWHERE.items()])
def test_blocks_whose_runs_were_on_two_machines_do_not_count_for_times(tag: str, value: str) -> None:
    runs = sweep_runs(TWO, 6)
    apart = [
        replace(r, tags={**r.tags, tag: value}, values={**r.values, **slower(r, 100.0)})
        if r.backend == "theano" and r.seed < 2
        else r
        for r in runs
    ]
    found = compare(apart)
    assert set(reasons(found).values()) == {None}
    assert {c.measure.key: c.blocks for c in found.contrasts if c.measure in TIMES} == {
        m.key: 4 for m in TIMES
    }
    assert {q.blocks for q in found.qualities} == {6}
    assert (
        "tensorflow and theano ran on different machines in 2 of 6 blocks, which do not count for times."
        in found.notes
    )


def test_times_have_no_verdict_where_too_few_blocks_shared_a_machine() -> None:
    runs = sweep_runs(TWO, 6)
    apart = [
        replace(r, tags={**r.tags, **ELSEWHERE}) if r.backend == "theano" and r.seed < 4 else r for r in runs
    ]
    found = compare(apart)
    why = "in only 2 of 6 blocks, both runs were on one machine"
    assert {reasons(found)[m.key] for m in TIMES} == {why}
    assert reasons(found)[MEMORY.key] is None
    assert {q.verdict for q in found.qualities} != {WITHHELD}


def test_runs_on_different_machines_do_not_overlap() -> None:
    runs = [run_of(at=0), run_of(at=0, run_id="there", tags={"backendexp.host": "elsewhere"})]
    assert guards.beside_others(runs) == set()


def test_runs_that_follow_immediately_do_not_overlap() -> None:
    runs = [replace(r, ended_ms=r.began_ms + STEP_MS) for r in sweep_runs(TWO, 3)]
    assert guards.beside_others(runs) == set()


def test_long_run_overlaps_with_all_runs_in_the_meantime() -> None:
    runs = [run_of(at=at) for at in range(5)]
    long = replace(runs[1], ended_ms=runs[3].began_ms + 1)
    assert guards.beside_others([runs[0], long, *runs[2:]]) == {"id1", "id2", "id3"}


def test_lost_run_with_an_unknown_end_does_not_overlap() -> None:
    runs = changed(sweep_runs(TWO, 4), 0, status="KILLED", ended_ms=2_000_000_000_000)
    assert guards.beside_others(runs) == set()


def test_times_are_withheld_where_the_quality_differs() -> None:
    found = compare(sweep_runs(TWO, 10, quality={"theano": 0.2}))
    assert {reasons(found)[m.key] for m in TIMES} == {"not of one quality: different loss and accuracy"}
    assert reasons(found)[MEMORY.key] is None


def test_import_that_runs_share_is_one_measurement() -> None:
    runs = sweep_runs(TWO, 6, values={"time/import_s": 4.0})
    found = compare(runs)
    contrast = next(c for c in found.contrasts if c.measure.key == "time/import_s")
    assert contrast.withheld == (
        "tensorflow imported Keras 1 time for 6 runs; runtime.start=spawn imports it for each"
    )
    assert (contrast.ratio, contrast.p, contrast.low) == (None, None, None)
    assert reasons(found)["training_time_s"] is None


def test_time_of_zero_has_no_ratio() -> None:
    runs = changed(sweep_runs(TWO, 6), 5, values={"time/compilation_s": 0.0})
    contrast = next(c for c in compare(runs).contrasts if c.measure.key == "time/compilation_s")
    assert contrast.withheld == "it took theano no measurable time in 1 of 6 runs"
    assert (contrast.verdict, contrast.ratio) == (WITHHELD, None)


def test_what_was_not_measured_has_no_verdict() -> None:
    runs = [
        replace(r, values={k: v for k, v in r.values.items() if k != "time/steady_epoch_s"})
        for r in sweep_runs(TWO, 4)
    ]
    contrast = next(c for c in compare(runs).contrasts if c.measure.key == "time/steady_epoch_s")
    assert contrast.withheld == "tensorflow did not measure it"
    assert contrast.sentence == (
        "theano against tensorflow in steady epoch has no verdict: tensorflow did not measure it."
    )


def test_every_error_is_a_user_error() -> None:
    assert issubclass(ComparisonError, UserError)
