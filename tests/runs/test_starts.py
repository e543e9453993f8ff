"""A later start of a sweep knows what earlier ones have done, and which of two runs of one plan counts."""

from collections.abc import Callable
from pathlib import Path

from backendexp.config.schema import FAILED, REDO, SKIP
from backendexp.runs import starts
from backendexp.runs.plan import RunSpec
from backendexp.runs.record import RunRecord
from backendexp.runs.starts import Earlier, Start
from support import streams

MakeSpec = Callable[..., RunSpec]
BLOCK = {"role": "timed", "block": "1", "position": "1"}


def made(folder: Path, spec: RunSpec, finished: bool = True, start: int = 1, **tags: str) -> RunRecord:
    stream = streams.whole() if finished else streams.killed_in_epoch_3()
    return streams.record_of(folder, spec, stream, tags={**tags, starts.START: str(start)})


def test_starts_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert starts.read(tmp_path) == []
    written = [Start(n, ("-m", "seed=1,2", "data.path='ä b'"), "/a b", 1.5, 2, SKIP) for n in (1, 2)]
    starts.write(tmp_path, written)
    assert starts.read(tmp_path) == written


def test_finished_run_of_the_latest_start_counts(tmp_path: Path, make_spec: MakeSpec) -> None:
    spec = make_spec("jax")
    failed, first = made(tmp_path, spec, False), made(tmp_path, spec)
    again, later_failure = made(tmp_path, spec, start=2), made(tmp_path, spec, False, start=3)
    assert starts.counted_records([failed, first]) == [first]
    assert starts.counted_records([failed, first, again, later_failure]) == [again]


def test_latest_failures_count_if_nothing_has_finished(tmp_path: Path, make_spec: MakeSpec) -> None:
    first, second = (made(tmp_path, make_spec("jax"), False, start=n) for n in (1, 2))
    assert starts.counted_records([first, second]) == [second]


def test_a_plan_that_was_asked_for_twice_counts_twice(tmp_path: Path, make_spec: MakeSpec) -> None:
    twice = [made(tmp_path, make_spec("jax")) for _ in range(2)]
    assert starts.counted_records(twice) == twice


def test_runs_in_other_places_of_the_design_repeat_nothing(tmp_path: Path, make_spec: MakeSpec) -> None:
    spec = make_spec("jax")
    runs = [made(tmp_path, spec, start=n, **{**BLOCK, "block": str(n)}) for n in (1, 2)]
    assert starts.counted_records(runs) == runs


def test_each_finished_run_stands_for_one_planned_run(tmp_path: Path, make_spec: MakeSpec) -> None:
    spec, other = make_spec("jax"), make_spec("jax", seed=1)
    done = made(tmp_path, spec, **BLOCK)
    earlier = Earlier([done, made(tmp_path, other, False)])
    assert earlier.take(spec, {}) is None
    assert earlier.take(spec, BLOCK) is done
    assert earlier.take(spec, BLOCK) is None
    assert earlier.take(other, {}) is None
    assert not earlier.leaves_out(other, {})


def test_rules_choose_what_is_made_again(tmp_path: Path, make_spec: MakeSpec) -> None:
    spec, other, missing = (make_spec("jax", seed=seed) for seed in range(3))
    runs = [made(tmp_path, spec), made(tmp_path, other, False)]
    assert Earlier(runs, REDO).take(spec, {}) is None
    assert Earlier(runs, FAILED).take(spec, {}) is runs[0]
    assert [Earlier(runs, FAILED).leaves_out(each, {}) for each in (other, missing)] == [False, True]
