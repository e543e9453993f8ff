"""Hydra's sweeper `cached`: the basic one, with the jobs' configurations from backendexp.config.job_configs.

It is the default of conf/config.yaml; `hydra/sweeper=basic` does without it. Hydra finds sweepers only in
modules of the namespace package `hydra_plugins`.
"""

from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from backendexp.config.job_configs import Loader


class CachedSweeper(BasicSweeper):
    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        # Hydra imports this module whenever it looks for plugins, which is no time to import our application.
        from backendexp.cli import application

        quick = HydraContext(
            config_loader=Loader(hydra_context.config_loader), callbacks=hydra_context.callbacks
        )
        super().setup(hydra_context=quick, task_function=task_function, config=config)
        application.current().expect_sweep(config.hydra.sweep.dir)


@dataclass
class CachedSweeperConfig:
    """The settings of Hydra's basic sweeper."""

    _target_: str = "hydra_plugins.backendexp_sweeper.CachedSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


ConfigStore.instance().store(
    group="hydra/sweeper", name="cached", node=CachedSweeperConfig, provider="backendexp"
)
