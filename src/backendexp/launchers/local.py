"""Runs tasks in several processes of this machine, with joblib's pool of processes (loky).

A process runs many tasks, one after the other, so that Keras is imported once for all of them.
"""

import contextlib
import os
import signal
from collections.abc import Iterable, Sequence
from typing import Any

from backendexp.launchers import tasks as job
from backendexp.launchers.tasks import Outcome, Task
from backendexp.runs import machine
from backendexp.runs.machine import Fate

_KILLED = "the process that ran it was killed"


class Local:
    """n_jobs: the number of processes; -1 means one for each core that this process may use."""

    poll_s = 0.1

    def __init__(self, n_jobs: int) -> None:
        self._n_jobs = n_jobs
        self._pool: Any = None
        self._under_way: dict[Any, Task] = {}
        self._cancelled = False

    def submit(self, tasks: Sequence[Task]) -> None:
        from joblib import effective_n_jobs
        from joblib.externals.loky import ProcessPoolExecutor

        count = min(effective_n_jobs(self._n_jobs), len(tasks))
        self._pool = ProcessPoolExecutor(max_workers=count, timeout=None)
        self._under_way = {self._pool.submit(job.execute, task): task for task in tasks}

    def ended(self) -> Iterable[tuple[int, Outcome]]:
        done = [future for future in self._under_way if future.done()]
        lost: list[Task] = []
        for future in done:
            task = self._under_way.pop(future)
            outcome = self._outcome(future)
            # If one process is killed, the pool gives up all its tasks, also those that have not begun.
            if outcome.why == _KILLED and job.process_of(task) is None and not self._cancelled:
                lost.append(task)
            else:
                yield task.number, outcome
        if lost:
            rest = [*lost, *self._under_way.values()]
            self.close()
            self.submit(rest)

    def _outcome(self, future: Any) -> Outcome:
        from concurrent.futures.process import BrokenProcessPool

        if future.cancelled():
            return Outcome(why="it was cancelled before it began")
        try:
            outcome: Outcome = future.result()
            return outcome
        except BrokenProcessPool:
            return Outcome(why="it was cancelled" if self._cancelled else _KILLED)
        except KeyboardInterrupt as interrupt:
            return Outcome(why=f"it was ended by {interrupt}" if str(interrupt) else "it was ended")

    def cancel(self) -> None:
        self._cancelled = True
        running = [task for future, task in self._under_way.items() if not future.cancel()]
        for task in running:
            tags = job.process_of(task)
            if tags is not None and machine.fate(tags) is Fate.LIVES:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(tags["backendexp.pid"]), signal.SIGTERM)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(kill_workers=True)
            self._pool = None
