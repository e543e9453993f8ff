"""Hands jobs to launchers, and checks before that whether they can run there."""

import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from backendexp.cli.preflight import Job
from backendexp.config.schema import Config
from backendexp.errors import ConfigError
from backendexp.launchers import tasks as job
from backendexp.launchers import waiting
from backendexp.launchers.tasks import Outcome, Task
from backendexp.launchers.waiting import Scheduler
from backendexp.runs.session import Destination

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

_OUR_LAUNCHERS = "hydra_plugins.backendexp_launchers"


class Launching(Protocol):
    """What launchers need of the application, see `application.Application`."""

    jobs: Mapping[str, Job]
    where: Destination | None

    def job_ended(self, task: Task, outcome: Outcome) -> None: ...

    def detached(self, tasks: Sequence[Task]) -> None: ...


def launcher_of_experiment(app: Launching, hydra_config: Any, config: Config) -> Any:
    """The launcher that runs the blocks of an experiment, or None if this process runs them.

    hydra_config: it chooses the launcher. Without -m, Hydra itself does not use it; with -m, Hydra has used
        it to run the whole experiment.
    Raises ConfigError: the launcher cannot run the experiment.
    """
    import hydra
    from omegaconf import OmegaConf

    chosen = hydra_config.launcher
    target = str(OmegaConf.select(chosen, "_target_"))
    multirun = hydra_config.mode is not None and hydra_config.mode.name == "MULTIRUN"
    if multirun or target.endswith(".BasicLauncher"):
        return None
    if not target.startswith(f"{_OUR_LAUNCHERS}."):
        raise ConfigError(
            f"experiment={config.experiment} cannot use the launcher {target}: expected "
            "hydra/launcher=joblib, slurm or ray, or leave it out"
        )
    if config.experiment == "compare" and config.experiments["compare"].until == "decided":
        raise ConfigError(
            "compare.until=decided looks at each block before it begins the next, so a launcher cannot run "
            "the blocks. Leave out hydra/launcher; or leave out compare.until, and extend the comparison "
            "with: backendexp resume FOLDER compare.blocks=NUMBER"
        )
    launcher = hydra.utils.instantiate(chosen, _recursive_=False)
    launcher.check(app)
    return launcher


def launch(app: Launching, scheduler: Scheduler, tasks: Sequence[Task], detach: bool) -> list["JobReturn"]:
    """Run all tasks, and report each when it ends. If `detach` is set, only hand them over.

    Returns one result for each task. Failures are in the records of the runs, so none is raised here.
    """
    from hydra.core.utils import JobReturn, JobStatus

    values: dict[int, float] = {}

    def hear(task: Task, outcome: Outcome) -> None:
        app.job_ended(task, outcome)
        values[task.number] = float("nan") if outcome.value is None else outcome.value

    if detach:
        job.allow(tasks[0].sweep)
        scheduler.submit(tasks)
        app.detached(tasks)
    else:
        waiting.run_all(scheduler, tasks, hear)
    returned = []
    for task in tasks:
        one = JobReturn(overrides=task.title.split(), status=JobStatus.COMPLETED)
        one.return_value = values.get(task.number, float("nan"))
        returned.append(one)
    return returned


def check_joblib(n_jobs: int) -> None:
    """Raises ConfigError: joblib is not installed, or the number of processes is none."""
    from importlib.util import find_spec

    if find_spec("joblib") is None:
        raise ConfigError(
            "hydra/launcher=joblib needs joblib. Install it with: pip install 'backendexp[joblib]'"
        )
    if not isinstance(n_jobs, int) or n_jobs == 0:
        raise ConfigError(
            f"hydra.launcher.n_jobs is {n_jobs!r}: expected a number of processes, or -1 for one a core"
        )


def check_threads(app: Launching) -> None:
    """Raises ConfigError: the number of threads is left to the machine, which on a cluster may be any."""
    if any(one.config.threads is None for one in app.jobs.values()):
        raise ConfigError(
            "threads is null, which means every core that a job may use, and machines of a cluster differ in "
            "that. Say how many each job has, e.g. threads=4"
        )


def most_threads(app: Launching) -> int:
    return max((one.config.threads or 1 for one in app.jobs.values()), default=1)


def check_store(app: Launching, machines: set[str]) -> None:
    """Raises ConfigError: the store is a file of SQLite, which several machines cannot write.

    machines: those that may run the jobs; empty if they are not known.
    """
    here = socket.gethostname()
    where = app.where
    if where is None or where.kind == "none" or not where.uri.startswith("sqlite:"):
        return
    if machines == {here.partition(".")[0]}:
        return
    raise ConfigError(
        f"the store is a file of SQLite, {where.uri}, which several machines cannot write. Start a server "
        "on a machine that all of them reach, and name it:\n"
        f"  mlflow server --backend-store-uri {where.uri} --host {here} --port 5000\n"
        f"  tracking.uri=http://{here}:5000\n"
        "Or leave the runs on disk with tracking=none"
    )
