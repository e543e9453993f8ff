"""Runs tasks on a Ray cluster, or on a Ray that is started for them on this machine (https://docs.ray.io)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from backendexp.errors import ConfigError, UserError
from backendexp.launchers import tasks as job
from backendexp.launchers.tasks import Outcome, Task


class Ray:
    """init: the arguments of ray.init, of which `address` names an existing cluster.
    remote: the options of each task, such as num_cpus and max_retries.
    """

    poll_s = 0.5

    def __init__(self, init: Mapping[str, Any], remote: Mapping[str, Any]) -> None:
        self._init = dict(init)
        self._remote = dict(remote)
        self._under_way: dict[Any, int] = {}

    def submit(self, tasks: Sequence[Task]) -> None:
        import ray

        quiet = {"log_to_driver": False, "logging_level": "error", "include_dashboard": False}
        if self._init.get("address"):
            quiet.pop("include_dashboard")
        try:
            ray.init(**{**quiet, **self._init})
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"Ray cannot be reached or started: {' '.join(str(error).split())}") from error
        run = ray.remote(job.execute).options(**self._remote)
        # Ray starts processes with the environment of the cluster. The variables stay in memory.
        passed_on = job.passed_on()
        self._under_way = {run.remote(replace(task, environment=passed_on)): task.number for task in tasks}

    def ended(self) -> Iterable[tuple[int, Outcome]]:
        import ray

        left = list(self._under_way)
        done, _ = ray.wait(left, num_returns=len(left), timeout=0) if left else ([], [])
        for reference in done:
            yield self._under_way.pop(reference), _outcome(reference)

    def cancel(self) -> None:
        import ray

        for reference in self._under_way:
            ray.cancel(reference)

    def close(self) -> None:
        import ray

        for reference in self._under_way:
            ray.cancel(reference, force=True)
        self._under_way = {}
        if ray.is_initialized():
            ray.shutdown()


def _outcome(reference: Any) -> Outcome:
    import ray

    try:
        outcome: Outcome = ray.get(reference)
        return outcome
    except ray.exceptions.TaskCancelledError:
        return Outcome(why="it was cancelled")
    except ray.exceptions.OutOfMemoryError:
        return Outcome(why="Ray ended it because the machine was running out of memory")
    except ray.exceptions.WorkerCrashedError:
        return Outcome(why="the process that ran it was killed")
    except ray.exceptions.RayError as error:
        return Outcome(why=str(error).strip())


def check() -> None:
    """Raises ConfigError: this machine has no Ray."""
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise ConfigError("hydra/launcher=ray needs Ray. Install it with: pip install 'backendexp[ray]'")
