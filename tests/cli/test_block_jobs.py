"""The runs of an experiment become jobs: one for each block, with the warm-up runs that it needs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from backendexp.cli import block_jobs
from backendexp.cli.block_jobs import Block
from backendexp.experiments import blocks
from backendexp.experiments.base import PlannedRun
from backendexp.launchers.tasks import Task
from backendexp.runs.plan import RunSpec
from backendexp.runs.session import Destination
from backendexp.runs.tags import PARITY, ROLE


def nothing(block: Block) -> tuple[float, tuple[str, ...]]:
    return len(block.runs), (block.folder.name,)


def tasks_of(runs: list[PlannedRun]) -> list[Task]:
    where = Destination("none", "", "", None)
    return block_jobs.of_experiment(runs, Path("/experiment"), where, "", None, True, nothing)


def test_each_block_is_a_job_and_so_is_the_parity_part(make_spec: Callable[..., RunSpec]) -> None:
    specs = [make_spec("theano"), make_spec("jax")]
    parity = [PlannedRun(spec, {ROLE: PARITY}, f"parity {n}/2") for n, spec in enumerate(specs, 1)]
    timed = blocks.blocks(specs, 3)
    tasks = tasks_of([*blocks.warm_ups(specs), *parity, *timed])
    assert [task.title for task in tasks] == ["parity", "block 1/3", "block 2/3", "block 3/3"]
    assert [task.folder.name for task in tasks] == ["parity", "block-1", "block-2", "block-3"]
    assert [task.number for task in tasks] == [0, 1, 2, 3]
    assert tasks[0].call.runs == tuple(parity)  # type: ignore[attr-defined]
    # Each block warms up both backends, and then runs in its own order.
    assert tasks[2].call() == (4.0, ("block-2",))
    assert tasks[2].call.runs[2:] == tuple(timed[2:4])  # type: ignore[attr-defined]


def test_a_block_warms_up_only_what_it_runs(make_spec: Callable[..., RunSpec]) -> None:
    small = make_spec("theano")
    large = replace(small, data=replace(small.data, samples=4000))
    draw = blocks.generator(0)
    timed = [
        run
        for n, spec in enumerate([large, small], 1)
        for run in blocks.shuffled_block([spec], draw, n, 5, "")
    ]
    first, second = tasks_of([*blocks.warm_ups([small, large]), *timed])
    samples = [[run.spec.data.samples for run in task.call.runs] for task in (first, second)]  # type: ignore[attr-defined]
    assert samples == [[4000, 4000], [small.data.samples] * 2]
    assert [run.warm_up for run in first.call.runs] == [True, False]  # type: ignore[attr-defined]
