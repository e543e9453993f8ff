"""The parent waits for every task, and cancels them all when it is interrupted."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from backendexp.errors import ConfigError
from backendexp.launchers import tasks as job
from backendexp.launchers import waiting
from backendexp.launchers.tasks import Outcome, Task


def call() -> tuple[float, tuple[str, ...]]:
    return 0.5, ("the store was away",)


def refuse() -> tuple[float, tuple[str, ...]]:
    raise ConfigError("seed is -1: expected 0 or more")


def fail() -> tuple[float, tuple[str, ...]]:
    raise ZeroDivisionError("nothing to divide by")


def task(sweep: Path, number: int = 0, what: object = call) -> Task:
    return Task(number, f"seed={number}", sweep / str(number), sweep, what)  # type: ignore[arg-type]


class Immediate:
    """Runs each task when it is asked which have ended. It is interrupted before task `interrupted`."""

    poll_s = 0.0

    def __init__(self, interrupted: int | None = None) -> None:
        self.left: list[Task] = []
        self.interrupted = interrupted
        self.calls: list[str] = []

    def submit(self, tasks: Sequence[Task]) -> None:
        self.left = list(tasks)

    def ended(self) -> Iterable[tuple[int, Outcome]]:
        if not self.left:
            return
        if self.left[0].number == self.interrupted:
            self.interrupted = None
            raise KeyboardInterrupt("SIGTERM")
        first = self.left.pop(0)
        yield first.number, job.execute(first)

    def cancel(self) -> None:
        self.calls.append("cancel")

    def close(self) -> None:
        self.calls.append("close")


def heard_of(scheduler: Immediate, tasks: Sequence[Task]) -> dict[int, Outcome]:
    heard: dict[int, Outcome] = {}
    waiting.run_all(scheduler, tasks, lambda one, outcome: heard.__setitem__(one.number, outcome))
    return heard


def test_every_task_is_waited_for_whatever_becomes_of_one(tmp_path: Path) -> None:
    scheduler = Immediate()
    heard = heard_of(scheduler, [task(tmp_path, 0, refuse), task(tmp_path, 1, fail), task(tmp_path, 2)])
    assert heard[0] == Outcome(why="seed is -1: expected 0 or more")
    assert "ZeroDivisionError: nothing to divide by" in (heard[1].why or "")
    assert heard[2] == Outcome(0.5, None, ("the store was away",))
    assert scheduler.calls == ["close"]


def test_an_interrupt_cancels_what_is_left_and_lets_no_further_task_begin(tmp_path: Path) -> None:
    scheduler = Immediate(interrupted=1)
    heard: dict[int, Outcome] = {}
    tasks = [task(tmp_path, number) for number in range(3)]
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        waiting.run_all(scheduler, tasks, lambda one, outcome: heard.__setitem__(one.number, outcome))
    assert scheduler.calls[0] == "cancel"
    assert heard[0].value == 0.5
    assert [heard[n].why for n in (1, 2)] == ["it was cancelled before it began"] * 2


def test_a_later_start_may_begin_tasks_again(tmp_path: Path) -> None:
    job.allow(tmp_path)
    job.forbid(tmp_path)
    assert job.execute(task(tmp_path)).why == "it was cancelled before it began"
    assert heard_of(Immediate(), [task(tmp_path)])[0].value == 0.5


def test_a_machine_without_the_folder_of_the_sweep_says_so(tmp_path: Path) -> None:
    why = job.execute(task(tmp_path / "elsewhere")).why or ""
    assert f"does not have the folder of the sweep, {tmp_path / 'elsewhere'}" in why
    assert "hydra.sweep.dir" in why


def test_the_process_of_a_task_is_known_while_it_runs(tmp_path: Path) -> None:
    job.allow(tmp_path)
    assert job.process_of(task(tmp_path)) is None
    job.execute(task(tmp_path))
    assert int((job.process_of(task(tmp_path)) or {})["backendexp.pid"]) > 1
