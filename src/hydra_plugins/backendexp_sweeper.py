"""Hydra's sweeper `cached`, which is the basic sweeper with job configurations from
backendexp.config.job_configs.

conf/config.yaml makes it the default; `hydra/sweeper=basic` switches it off. This module is in the namespace
package `hydra_plugins` because Hydra finds sweepers only there.
"""

from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from backendexp.config.job_configs import Loader


class CachedSweeper(BasicSweeper):
    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        # Hydra imports this module whenever it looks for plugins, and that must not import our application.
        from backendexp.cli import application

        quick = HydraContext(
            config_loader=Loader(hydra_context.config_loader), callbacks=hydra_context.callbacks
        )
        # Callbacks are told of the end of a job from the last to the first, so the user's own come before it.
        quick.callbacks.callbacks.insert(0, _Forgetting())
        super().setup(hydra_context=quick, task_function=task_function, config=config)
        application.current().expect_sweep(config.hydra.sweep.dir)


class _Forgetting(Callback):
    """Drops the configuration of a job that has ended.

    Hydra keeps a tenth of a megabyte for each job until the sweep ends, and nothing reads it.
    """

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        job_return.cfg = job_return.hydra_cfg = None


@dataclass
class CachedSweeperConfig:
    """Has the same settings as Hydra's basic sweeper."""

    _target_: str = "hydra_plugins.backendexp_sweeper.CachedSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


ConfigStore.instance().store(
    group="hydra/sweeper", name="cached", node=CachedSweeperConfig, provider="backendexp"
)
