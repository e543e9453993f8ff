"""The jobs that launchers run in other processes, and what is checked before they are started."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backendexp.errors import ConfigError
from backendexp.launchers import tasks as job
from backendexp.launchers import waiting
from backendexp.launchers.tasks import Outcome, Task
from backendexp.launchers.waiting import Scheduler

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

    from backendexp.cli.application import Application


@dataclass(frozen=True)
class _HydraJob:
    """A job of a sweep as Hydra's launchers run it, which other processes can unpickle.

    config: of the job. function: what the application runs for each job. singletons: Hydra's own state.
    alone: whether the job has its machine to itself.
    """

    config: Any
    function: Any
    callbacks: Any
    singletons: Any
    alone: bool

    def __call__(self) -> tuple[float, tuple[str, ...]]:
        from hydra.core.hydra_config import HydraConfig
        from hydra.core.singleton import Singleton
        from hydra.core.utils import run_job, setup_globals
        from hydra.types import HydraContext

        from backendexp.cli import application

        setup_globals()
        Singleton.set_state(self.singletons)
        HydraConfig.instance().set_config(self.config)
        with application.current().as_job(self.alone) as notes:
            # The loader is not needed: the configuration has been composed.
            context = HydraContext(config_loader=None, callbacks=self.callbacks)  # type: ignore[arg-type]
            done = run_job(
                hydra_context=context,
                config=self.config,
                task_function=self.function,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            return float(done.return_value), tuple(notes())


def of_sweep(
    context: Any, function: Any, config: Any, overrides: Sequence[Sequence[str]], first: int, alone: bool
) -> list[Task]:
    """The tasks of a sweep.

    config: of the sweep, as Hydra gives it to a launcher. overrides: those of each job.
    first: the number of the first job. alone: whether each job has its machine to itself.
    """
    import copy

    from hydra.core.singleton import Singleton
    from hydra.core.utils import filter_overrides, setup_globals
    from omegaconf import OmegaConf, open_dict

    setup_globals()
    sweep = Path(str(config.hydra.sweep.dir)).absolute()
    sweep.mkdir(parents=True, exist_ok=True)
    shared = set.intersection(*map(set, overrides)) if len(overrides) > 1 else set()
    made = []
    for number, words in enumerate(overrides, first):
        one = copy.deepcopy(context.config_loader.load_sweep_config(config, list(words)))
        with open_dict(one):
            one.hydra.job.id = f"{one.hydra.job.name}_{number}"
            one.hydra.job.num = number
            one.hydra.sweep.dir = str(sweep)
        with _as_current(one):
            folder = Path(sweep, str(OmegaConf.select(one, "hydra.sweep.subdir")))
        call = _HydraJob(one, function, context.callbacks, Singleton.get_state(), alone)
        title = " ".join(word for word in filter_overrides(words) if word not in shared)
        made.append(Task(number, title, folder, sweep, call))
    return made


@contextmanager
def _as_current(config: Any) -> Iterator[None]:
    from hydra.core.hydra_config import HydraConfig

    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def launch(
    app: "Application", scheduler: Scheduler, tasks: Sequence[Task], detach: bool
) -> list["JobReturn"]:
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


def check_threads(app: "Application") -> None:
    """Raises ConfigError: the number of threads is left to the machine, which on a cluster may be any."""
    if any(one.config.threads is None for one in app.jobs.values()):
        raise ConfigError(
            "threads is null, which means every core that a job may use, and machines of a cluster differ in "
            "that. Say how many each job has, e.g. threads=4"
        )


def most_threads(app: "Application") -> int:
    return max((one.config.threads or 1 for one in app.jobs.values()), default=1)


def check_store(app: "Application", machines: set[str]) -> None:
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
