"""A backend against itself, on real runs: whatever comes out faster or slower is a false alarm."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from backendexp.analysis import tracked_runs
from backendexp.analysis.findings import (
    EQUIVALENT,
    FASTER,
    INCONCLUSIVE,
    LESS,
    MORE,
    SLOWER,
    Comparison,
    TrackedRun,
)
from backendexp.analysis.pipeline import analyse
from backendexp.analysis.statistics import LEVEL
from backendexp.runs import record
from support.projects import SMALL, Project

pytestmark = [pytest.mark.slow, pytest.mark.extended, pytest.mark.timeout(1800)]

SEEDS = 24
RESAMPLINGS = 400
ALARMS = (FASTER, SLOWER, LESS, MORE)
WATCHED = ("training_time_s", "time/steady_epoch_s", "time/build_s", "memory/peak_mib")
# A few real runs are resampled, and of some samples Student's test rejects 6% instead of 5: the tolerance is
# that of a rare chance, so that no machine's noise fails the test.
_CHANCE = 1e-6


@pytest.fixture(scope="module")
def twice(new_project: Callable[..., Project]) -> list[list[TrackedRun]]:
    """Theano's runs, two of each seed, one right after the other."""
    project = new_project(OMP_NUM_THREADS="1")
    seeds = ",".join(f"{seed},{seed}" for seed in range(SEEDS))
    answer = project.run("-m", f"seed={seeds}", "backend=theano", "runtime=keras3", *SMALL, timeout=1500)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    made = tracked_runs.of_records([record.load(directory) for directory in project.directories()])
    assert len(made) == 2 * SEEDS
    return [[run for run in made if run.seed == seed] for seed in range(SEEDS)]


def against_itself(blocks: list[list[TrackedRun]], swap: list[bool]) -> Comparison:
    """swap: of each block, whether its first run is of the second side."""
    sides = [
        replace(run, sweep="ab"[number != swapped])
        for block, swapped in zip(blocks, swap, strict=True)
        for number, run in enumerate(block)
    ]
    return analyse(sides, title="theano against itself", by_sweep=True, baseline="a")


def test_backend_is_faster_or_slower_than_itself_no_more_often_than_the_level_allows(
    twice: list[list[TrackedRun]],
) -> None:
    """Split into two sides at random, many times: with all blocks, and with as few as a comparison has."""
    draw = np.random.default_rng()
    most = stats.binom.isf(_CHANCE, RESAMPLINGS, LEVEL)
    for size in (SEEDS, 10):
        alarms = dict.fromkeys(WATCHED, 0)
        for _ in range(RESAMPLINGS):
            chosen = [twice[number] for number in draw.choice(SEEDS, size, replace=False)]
            found = against_itself(chosen, [bool(coin) for coin in draw.integers(2, size=size)])
            verdicts = {c.measure.key: c.verdict for c in found.contrasts}
            assert {verdicts[key] for key in WATCHED} <= {EQUIVALENT, INCONCLUSIVE, *ALARMS}
            for key in WATCHED:
                alarms[key] += verdicts[key] in ALARMS
        assert max(alarms.values()) <= most, f"false alarms of {RESAMPLINGS}, with {size} blocks: {alarms}"


def test_runs_compared_with_themselves_are_equivalent_in_everything(twice: list[list[TrackedRun]]) -> None:
    later = 10**9
    blocks = []
    for run, _ in twice:
        assert run.ended_ms is not None
        again = replace(
            run, run_id=f"{run.run_id} again", began_ms=run.began_ms + later, ended_ms=run.ended_ms + later
        )
        blocks.append([run, again])
    found = against_itself(blocks, [False] * SEEDS)
    told = {c.measure.key: (c.verdict, c.ratio) for c in found.contrasts if c.measure.key in WATCHED}
    assert told == dict.fromkeys(WATCHED, (EQUIVALENT, 1.0))
    assert {q.verdict for q in found.qualities} == {EQUIVALENT}


def test_equal_seeds_train_equally_so_that_only_time_can_differ(twice: list[list[TrackedRun]]) -> None:
    found = against_itself(twice, [False] * SEEDS)
    assert {(q.measure.key, q.verdict) for q in found.qualities} == {
        ("loss", EQUIVALENT),
        ("accuracy", EQUIVALENT),
    }
    assert not any("beside others" in note for note in found.notes)
