"""The blocks of an experiment, as launchers run them in other processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backendexp.experiments.base import PlannedRun
from backendexp.launchers.tasks import Task
from backendexp.runs.plan import RunSpec
from backendexp.runs.session import Destination
from backendexp.runs.tags import BLOCK


@dataclass(frozen=True)
class Block:
    """A block of an experiment as launchers run it, which other processes can unpickle.

    runs: also those that warm up its backends.
    folder: its runs are in this folder. sweep: the folder of the experiment.
    where: the store. config_yaml: the configuration of the experiment, for the folders of the runs.
    run_name: as the user wants the runs to be named, or None.
    alone: whether the block has its machine to itself.
    run: runs the block. Returns its last loss, and what the process says about the tracking of its runs.
    """

    runs: tuple[PlannedRun, ...]
    folder: Path
    sweep: Path
    where: Destination
    config_yaml: str
    run_name: str | None
    alone: bool
    run: Callable[["Block"], tuple[float, tuple[str, ...]]]

    def __call__(self) -> tuple[float, tuple[str, ...]]:
        return self.run(self)


def of_experiment(
    runs: Sequence[PlannedRun],
    folder: Path,
    where: Destination,
    config_yaml: str,
    run_name: str | None,
    alone: bool,
    run: Callable[[Block], tuple[float, tuple[str, ...]]],
) -> list[Task]:
    """The tasks of an experiment: one for each block, and one for the runs that are not in a block.

    The runs of a block thus share a machine, so differences between machines do not become differences
    between backends.
    folder: of the experiment. For the other parameters see `Block`.
    """
    blocks: dict[str, list[PlannedRun]] = {}
    for one in runs:
        if not one.warm_up:
            blocks.setdefault(one.tags.get(BLOCK, ""), []).append(one)
    warm_ups = [one for one in runs if one.warm_up]
    made = []
    for number, (name, own) in enumerate(blocks.items()):
        plans = {_without_seed(one.spec) for one in own} if name else set()
        needed = [one for one in warm_ups if _without_seed(one.spec) in plans]
        place = folder / (f"block-{name}" if name else "parity")
        call = Block((*needed, *own), place, folder, where, config_yaml, run_name, alone, run)
        made.append(Task(number, own[0].place if name else "parity", place, folder, call))
    return made


def _without_seed(spec: RunSpec) -> RunSpec:
    """What a warm-up shares with the runs that it is for, see `blocks.warm_ups`."""
    return replace(spec, seed=0, log_model=False)
