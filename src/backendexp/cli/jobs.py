"""The jobs of a sweep, as launchers run them in other processes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backendexp.launchers.tasks import Task

if TYPE_CHECKING:
    pass

_OUR_LAUNCHERS = "hydra_plugins.backendexp_launchers"


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
