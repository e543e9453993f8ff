"""Hydra's launchers `joblib`, `slurm` and `ray`, which conf/hydra/launcher configures.

They differ from Hydra's plugins of these names in what they do when a job is lost: they wait for all the
other jobs, close its run and say why it ended. They also cancel the jobs if this process is interrupted, and
the jobs start in the working directory of this process. This module is in the namespace package
`hydra_plugins` because Hydra finds launchers only there.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

# Hydra imports this module whenever it looks for plugins, and that must not import our application.
if TYPE_CHECKING:
    from backendexp.launchers.waiting import Scheduler


class _OurLauncher(Launcher):
    """settings: the fields of the configuration.

    ALONE: whether a job has its machine to itself.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings: dict[str, Any] = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in settings.items()
        }

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from backendexp.cli import application

        self._context, self._function, self._config = hydra_context, task_function, config
        self.check(application.current())

    def check(self, app: Any) -> None:
        """Raises ConfigError: the jobs cannot be run here, or not so."""

    def scheduler(self, app: Any) -> "Scheduler":
        raise NotImplementedError

    @property
    def detach(self) -> bool:
        return bool(self.settings.get("detach"))

    @property
    def alone(self) -> bool:
        """Whether each job has its machine to itself."""
        return False

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from backendexp.cli import application, jobs, launching

        tasks = jobs.of_sweep(
            self._context, self._function, self._config, job_overrides, initial_job_idx, self.alone
        )
        app = application.current()
        return launching.launch(app, self.scheduler(app), tasks, self.detach)


class JoblibLauncher(_OurLauncher):
    def check(self, app: Any) -> None:
        from backendexp.cli import launching

        launching.check_joblib(self.settings["n_jobs"])

    @property
    def alone(self) -> bool:
        return bool(self.settings["n_jobs"] == 1)

    def scheduler(self, app: Any) -> "Scheduler":
        from backendexp.launchers.local import Local

        return Local(self.settings["n_jobs"])


class SlurmLauncher(_OurLauncher):
    def check(self, app: Any) -> None:
        from backendexp.cli import launching
        from backendexp.launchers import slurm

        slurm.check()
        launching.check_threads(app)
        launching.check_store(app, slurm.machines(self.settings.get("partition")))

    @property
    def alone(self) -> bool:
        return bool(self.settings.get("exclusive"))

    def scheduler(self, app: Any) -> "Scheduler":
        from backendexp.cli import launching
        from backendexp.launchers.slurm import Slurm

        settings = {key: value for key, value in self.settings.items() if key != "detach"}
        if settings.get("cpus_per_task") is None:
            settings["cpus_per_task"] = launching.most_threads(app)
        if not settings.get("exclusive"):
            settings["exclusive"] = None
        return Slurm(settings)


class RayLauncher(_OurLauncher):
    def check(self, app: Any) -> None:
        from backendexp.cli import launching
        from backendexp.launchers import ray_cluster

        ray_cluster.check()
        launching.check_threads(app)
        if self.settings["init"].get("address"):
            launching.check_store(app, set())

    def scheduler(self, app: Any) -> "Scheduler":
        from backendexp.launchers.ray_cluster import Ray

        return Ray(self.settings["init"], self.settings["remote"])
