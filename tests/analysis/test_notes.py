"""Runs whose times are not steady get notes, and steady runs get none."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from backendexp.analysis.findings import TrackedRun
from backendexp.analysis.pipeline import analyse
from support.tracked import changed, moved, sweep_runs

TWO = {"tensorflow": 1.0, "theano": 0.5}
STEADY = 0.01  # noise
Runs = list[TrackedRun]


def said(runs: Runs, **settings: Any) -> list[str]:
    """Return the notes without the one on parity."""
    found = analyse(runs, title="a title", **settings).notes
    return [note for note in found if "parity" not in note]


def with_times(runs: Runs, backend: str, time: Callable[[int], float]) -> Runs:
    """Make the training time of the nth run of a backend time(n) times as long."""
    own = [run for run in runs if run.backend == backend]

    def slowed(run: TrackedRun) -> TrackedRun:
        if run.backend != backend:
            return run
        slower = run.values["training_time_s"] * time(own.index(run))
        return replace(run, values={**run.values, "training_time_s": slower})

    return [slowed(run) for run in runs]


def test_steady_runs_leave_nothing_to_say() -> None:
    assert said(sweep_runs(TWO, 20, STEADY)) == []


def test_repeated_plans_are_reported() -> None:
    runs = [*sweep_runs(TWO, 6, STEADY), *moved(sweep_runs({"theano": 0.5}, 2, STEADY), 20)]
    (note,) = [note for note in said(runs) if "repeated" in note]
    assert note.startswith(
        "2 runs of theano repeated a plan, with its seed: in blocks, the first run of a seed"
    )


def test_wide_spread_is_reported_with_its_size() -> None:
    (note,) = said(
        with_times(sweep_runs(TWO, 20, STEADY), "theano", lambda n: (0.8, 1.0, 1.2, 1.1, 0.9)[n % 5])
    )
    assert note.startswith("training_time_s of theano is unstable: its robust standard deviation is 1")
    assert note.endswith("% of the median.")


@pytest.mark.parametrize(("slope", "word"), [(0.01, "slower"), (-0.01, "faster")])
def test_drift_is_reported_with_its_direction(slope: float, word: str) -> None:
    (note,) = said(with_times(sweep_runs(TWO, 20, STEADY), "theano", lambda n: 1 + slope * n))
    assert note.startswith(f"training_time_s of theano drifted: later runs were {word} (Spearman's rho ")


def test_position_in_the_block_that_matters_is_reported() -> None:
    runs = sweep_runs(TWO, 20, STEADY)
    placed = [replace(run, position=1 + (number // 2 + number) % 2) for number, run in enumerate(runs)]
    later = [run.position == 2 for run in placed if run.backend == "theano"]
    (note,) = said(with_times(placed, "theano", lambda n: 1.06 if later[n] else 1.0))
    assert note.startswith("training_time_s of theano depends on the position in the block: later is slower")


def test_outlier_is_labelled_named_and_kept() -> None:
    runs = with_times(sweep_runs(TWO, 12, STEADY), "theano", lambda n: 2.0 if n == 7 else 1.0)
    found = analyse(runs, title="a title")
    (slow,) = [run for run in runs if run.backend == "theano" and run.seed == 7]
    assert found.group("theano").outliers == {"training_time_s": (slow.run_id,)}
    assert said(runs) == [
        "training_time_s of theano has 1 outlier (theano-keras3-seed7), labelled and kept in every number."
    ]
    contrast = next(c for c in found.contrasts if c.measure.key == "training_time_s")
    assert contrast.blocks == 12
    assert found.group("theano").spreads["training_time_s"].runs == 12


def test_failures_are_rows_and_counted_by_reason() -> None:
    runs = changed(sweep_runs(TWO, 8, STEADY), 1, status="FAILED", reason="deadline", values={})
    runs = changed(
        changed(runs, 3, status="FAILED", reason="exception"), 5, status="FAILED", reason="exception"
    )
    found = analyse(runs, title="a title")
    assert len(found.group("theano").runs) == 8
    assert len(found.group("theano").finished) == 5
    assert said(runs) == ["3 of 8 runs of theano did not finish: deadline (1), exception (2)."]


def test_empty_compile_caches_are_reported() -> None:
    runs = changed(sweep_runs(TWO, 8, STEADY), 1, tags={"compile_cache": "empty"})
    assert said(runs) == [
        "1 run of theano started with an empty compile cache: the first epoch holds compilation that later "
        "runs do not repeat."
    ]


def test_backend_that_ran_entirely_before_the_other_is_reported() -> None:
    runs = [*sweep_runs({"theano": 1.0}, 6, STEADY), *moved(sweep_runs({"jax": 1.0}, 6, STEADY), 50)]
    (note,) = said(runs)
    assert note.startswith("One backend ran wholly before the other")


def test_sweep_that_ran_entirely_before_the_other_is_reported() -> None:
    first = sweep_runs({"theano": 1.0}, 6, STEADY, sweep="a")
    second = moved(
        sweep_runs({"theano": 1.0}, 6, STEADY, sweep="b", seed=1, tags={"backendexp.host": "new"}), 50
    )
    notes = said([*first, *second], by_sweep=True)
    assert notes[0].startswith("One sweep ran wholly before the other")
    assert notes[1] == "The sweeps ran on different hosts: lab, new."


def test_other_work_on_the_machine_is_reported() -> None:
    runs = changed(sweep_runs(TWO, 8, STEADY), 3, load=7.25)
    assert said(runs) == [
        "1 run of 16 began under a load average above the number of cores (up to 7.2): something else was at "
        "work."
    ]


def test_load_of_the_runs_themselves_does_not_count_as_other_work() -> None:
    assert said(sweep_runs(TWO, 8, STEADY, load=2.6)) == []
