"""Waits for all tasks, whatever becomes of each, and cancels them if this process is interrupted."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from backendexp.launchers import tasks as job
from backendexp.launchers.tasks import Outcome, Task

# A cancelled job has this many seconds to record its run.
_GRACE_S = 45.0


class Scheduler(Protocol):
    """Hands tasks to whatever runs them.

    poll_s: how many seconds to wait before asking it again which tasks have ended.
    """

    poll_s: float

    def submit(self, tasks: Sequence[Task]) -> None:
        """Hand over all tasks. Returns before they have ended.

        Raises UserError: the scheduler does not take them.
        """

    def ended(self) -> Iterable[tuple[int, Outcome]]:
        """The numbers of the tasks that have ended since the last call, and what became of them."""

    def cancel(self) -> None:
        """Ask all tasks to end. Those that run record what they have done."""

    def close(self) -> None:
        """End what is left, and release the scheduler."""


def run_all(scheduler: Scheduler, tasks: Sequence[Task], hear: Callable[[Task, Outcome], None]) -> None:
    """Run all tasks.

    hear: is called once for each task when it has ended.
    Raises KeyboardInterrupt after all tasks have ended.
    """
    left = {task.number: task for task in tasks}

    def listen() -> None:
        for number, outcome in scheduler.ended():
            if number in left:
                hear(left.pop(number), outcome)

    try:
        job.allow(tasks[0].sweep)
        scheduler.submit(tasks)
        while left:
            listen()
            if left:
                time.sleep(scheduler.poll_s)
    except KeyboardInterrupt:
        job.forbid(tasks[0].sweep)
        scheduler.cancel()
        last = time.monotonic() + _GRACE_S
        while left and time.monotonic() < last:
            listen()
            time.sleep(min(0.2, scheduler.poll_s))
        scheduler.close()
        for task in left.values():
            hear(task, Outcome(why="it was cancelled"))
        raise
    finally:
        scheduler.close()
