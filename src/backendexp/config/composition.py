"""Composes the configurations of a command line exactly as `hydra.main` does, without running a job.

Hydra's own code decides what is accepted and what is refused. It uses the same search path, the same run
mode, the same jobs of the sweeper and, for `${hydra:...}`, the same settings of the job as when the job runs
(hydra/_internal/utils.py, `_run_hydra`; hydra/core/utils.py, `run_job`).
"""

import os
import pickle
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cached_property
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any

from backendexp.errors import ConfigError, UserError

# The jobs of these sweepers are known before they run.
_FORESEEABLE_SWEEPERS = (
    "hydra_plugins.backendexp_sweeper.CachedSweeper",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
)
# The module of the function that hydra.main runs. A relative --config-path starts from it.
_MODULE = "backendexp.cli.main"


class Composition:
    """Composes the configurations of one command line.

    asked: the parsed command line. hydra: Hydra, with the search path that the command line asks for.
    Every method raises ConfigError if Hydra refuses something.
    """

    def __init__(self, asked: Any, hydra: Any) -> None:
        self._asked = asked
        self._hydra = hydra
        self._name = asked.config_name or "config"

    @cached_property
    def _files(self) -> Any:
        """Hydra's repository, which finds the files of the configuration wherever they are."""
        loader = self._hydra.config_loader
        if not self._speaks_of_hydra:
            return loader.repository
        words = [word for word in self._asked.overrides if word.startswith("hydra.searchpath=")]
        with refusals():
            _, files = loader._parse_overrides_and_create_caching_repo(self._name, words)
        return files

    @property
    def _speaks_of_hydra(self) -> bool:
        """Whether the command line may change Hydra's own settings, which are otherwise ours."""
        asked = self._asked
        users = asked.config_dir or asked.config_path or asked.config_name
        return bool(users) or any("hydra" in word for word in asked.overrides)

    def options(self, group: str) -> list[str]:
        """Return the choices of a group. The list is empty if the group does not exist."""
        found: list[str] = self._files.get_group_options(group) if group else []
        return found

    def has(self, group: str, choice: str) -> bool:
        return bool(self._files.config_exists(f"{group}/{choice}"))

    def groups(self) -> list[str]:
        """Return the groups of the configuration, without Hydra's own."""
        from hydra.core.object_type import ObjectType

        return [name for name in self._files.get_group_options("", ObjectType.GROUP) if name != "hydra"]

    def parse(self, words: list[str]) -> list[Any]:
        """Parse words of the command line as overrides.

        Raises HydraException: one of the words cannot be read.
        """
        from hydra.core.override_parser.overrides_parser import OverridesParser

        # The parser needs the loader because glob(*) asks it which choices exist.
        return OverridesParser.create(config_loader=self._hydra.config_loader).parse_overrides(words)

    @cached_property
    def is_sweep(self) -> bool:
        """Whether the command line asks for a sweep, by -m or by hydra.mode, wherever that is set."""
        from hydra.types import RunMode

        if self._asked.multirun or not self._speaks_of_hydra:
            return bool(self._asked.multirun)
        words = self._asked.overrides
        parsed = [] if _is_hydra_1_3() else [self.parse(words)]
        return bool(self._hydra.get_mode(self._name, words, *parsed) == RunMode.MULTIRUN)

    def jobs(self, check: Callable[[Any], None]) -> Generator[Any]:
        """Yield the configuration of each job.

        Meanwhile Hydra's settings and the environment are what they will be when that job runs. Nothing is
        yielded if the sweeper chooses its jobs as it goes.
        check: a function that is called with each override of a sweep, including those in the configuration's
            own `hydra.sweeper.params`.
        """
        if self._asked.experimental_rerun is not None:
            return self._rerun()
        return self._sweep(check) if self.is_sweep else self._run()

    def _run(self) -> Generator[Any]:
        from hydra.types import RunMode

        with refusals():
            words = [*self._asked.overrides, "hydra.mode=RUN"]
            tree = self._hydra.compose_config(self._name, words, RunMode.RUN)
            with _as_in_its_job(tree, "hydra.run.dir", None):
                yield tree

    def _sweep(self, check: Callable[[Any], None]) -> Generator[Any]:
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
        from hydra.core.plugins import Plugins
        from hydra.types import RunMode
        from omegaconf import open_dict

        from backendexp.config.job_configs import Loader

        with refusals():
            words = [*self._asked.overrides, "hydra.mode=MULTIRUN"]
            whole = self._hydra.compose_config(self._name, words, RunMode.MULTIRUN)
            for plugin in (whole.hydra.launcher, whole.hydra.sweeper):
                # The plugin is only created here; it is set up when the sweep runs.
                Plugins.instance()._instantiate(plugin)
            sweeper = whole.hydra.sweeper
            if sweeper._target_ not in _FORESEEABLE_SWEEPERS:
                return
            words = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
            words += list(whole.hydra.overrides.task._iter_ex(resolve=False))
            overrides = self.parse(words)
            for override in overrides:
                check(override)
            jobs = list(chain.from_iterable(BasicSweeper.split_arguments(overrides, sweeper.max_batch_size)))
            if not jobs:
                raise ConfigError(f"{_empty(overrides)} has no values, so the sweep has no jobs")
            loader = Loader(self._hydra.config_loader)
            plain = _PlainJobs(self._hydra.config_loader, whole)
            for number, job in enumerate(jobs):
                tree = plain.of(job) if number else None
                if tree is not None:
                    yield tree
                    continue
                tree = loader.load_sweep_config(whole, job)
                with open_dict(tree):
                    tree.hydra.job.id, tree.hydra.job.num = str(number), number
                with _as_in_its_job(tree, "hydra.sweep.dir", "hydra.sweep.subdir"):
                    yield tree

    def _rerun(self) -> Generator[Any]:
        from hydra.main import _get_rerun_conf

        with refusals(), _hydra_config_restored():
            yield _get_rerun_conf(self._asked.experimental_rerun, self._asked.overrides)

    def show(self) -> None:
        """Compose what --cfg, --info or a help option would show."""
        from hydra.types import RunMode

        asked = self._asked
        with refusals(), _hydra_config_restored():
            if asked.cfg:
                said = StringIO()
                try:
                    with redirect_stdout(StringIO()), redirect_stderr(said):
                        self._hydra.show_cfg(
                            self._name, asked.overrides, asked.cfg, asked.package, asked.resolve
                        )
                except SystemExit:
                    raise ConfigError(said.getvalue().strip()) from None
            else:
                name = None if asked.hydra_help else self._name
                self._hydra.compose_config(name, asked.overrides, RunMode.RUN)


class _PlainJobs:
    """Composes the jobs that read nothing from Hydra or the environment.

    This is several times faster, because nothing has to be set up around such a job. Only an interpolation
    can read from Hydra or the environment.
    """

    def __init__(self, loader: Any, whole: Any) -> None:
        from backendexp.config.job_configs import JobConfigs

        self._loader = loader
        self._whole = whole
        self._configs = JobConfigs(self._compose)
        self._interpolates = False

    def of(self, job: list[str]) -> Any | None:
        """Return the configuration of a job, or None if this job or an earlier one has an interpolation."""
        if self._interpolates or any("${" in word for word in job):
            return None
        tree = self._configs.of(job)
        return None if self._interpolates else tree

    def _compose(self, words: list[str]) -> Any:
        from omegaconf import OmegaConf, open_dict

        tree = self._loader.load_sweep_config(self._whole, words)
        with open_dict(tree):
            del tree["hydra"]
        self._interpolates |= "${" in OmegaConf.to_yaml(tree)
        return tree


def _empty(overrides: list[Any]) -> str:
    return next(
        (o.input_line for o in overrides if o.is_sweep_override() and not list(o.sweep_iterator())), "a key"
    )


def prefer_own_launchers(conf: Path) -> None:
    """Hide the launchers of installed plugins that have the names of our own, such as joblib.

    Otherwise Hydra would check our configurations against their fields.
    conf: the folder of our configuration.
    """
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()  # imports the plugins, which add their configurations
    theirs = ConfigStore.instance().repo.get("hydra", {}).get("launcher", {})
    for file in (conf / "hydra" / "launcher").glob("*.yaml"):
        theirs.pop(file.name, None)


def version_base() -> Any:
    """The version as which Hydra is to behave. Hydra 1.3 asks for it; since 1.4, naming it is deprecated."""
    from hydra import version

    return "1.3" if _is_hydra_1_3() else version._UNSPECIFIED_


def _is_hydra_1_3() -> bool:
    from hydra import __version__

    return bool(__version__.startswith("1.3."))


@contextmanager
def opened(asked: Any, conf: Path) -> Iterator[Composition]:
    """Set Hydra up for this command line.

    conf: the folder of the configuration, which is used unless --config-path names another.
    """
    from hydra import version
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_automatic_config_search_path
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.utils import validate_config_path

    version.setbase(version_base())
    GlobalHydra.instance().clear()
    with refusals():
        validate_config_path(asked.config_path)
        path = create_automatic_config_search_path(None, _MODULE, asked.config_path or str(conf))
        if asked.config_dir is not None:
            folder = os.path.abspath(asked.config_dir)
            if not os.path.isdir(folder):
                raise ConfigError(f"--config-dir is {asked.config_dir!r}: no such folder")
            path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
        hydra = Hydra.create_main_hydra2("backendexp", path)
    try:
        yield Composition(asked, hydra)
    finally:
        GlobalHydra.instance().clear()


@contextmanager
def _as_in_its_job(tree: Any, directory: str, subdirectory: str | None) -> Iterator[None]:
    """Give Hydra's own settings and the environment the values that the job will find.

    The settings are removed from `tree`, as they will be when the job runs.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.utils import env_override
    from omegaconf import OmegaConf, open_dict, read_write

    with _hydra_config_restored():
        HydraConfig.instance().set_config(tree)
        output = str(OmegaConf.select(tree, directory))
        if subdirectory is not None:
            output = str(Path(output, str(OmegaConf.select(tree, subdirectory))))
        with read_write(tree.hydra.runtime), open_dict(tree.hydra.runtime):
            tree.hydra.runtime.output_dir = os.path.abspath(output)
        HydraConfig.instance().set_config(tree)
        environment = dict(tree.hydra.job.env_set)
        with read_write(tree), open_dict(tree):
            del tree["hydra"]
        with env_override(environment):
            yield


@contextmanager
def _hydra_config_restored() -> Iterator[None]:
    from hydra.core.hydra_config import HydraConfig

    before = HydraConfig.instance().cfg
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


@contextmanager
def refusals() -> Iterator[None]:
    """Turn whatever Hydra raises into ConfigError, with a message of one sentence.

    Hydra raises its own errors and those of OmegaConf. For some mistakes it raises ValueError,
    AssertionError, KeyError, or an error of the YAML reader.
    """
    try:
        yield
    except (UserError, BrokenPipeError):
        raise
    except Exception as error:
        raise ConfigError(sentence(error)) from error


@contextmanager
def own_refusals() -> Iterator[None]:
    """Turn the errors that Hydra and OmegaConf define into ConfigError. All other errors stay as they are."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(sentence(error)) from error


def sentence(error: BaseException) -> str:
    """Return the message of an error or of its cause, without the lines about Hydra's internals."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    cause = error.__cause__ if error.__cause__ is not None else error
    if isinstance(cause, YAMLError):
        return f"a file of the configuration is not YAML: {' '.join(str(cause).split())}"
    if isinstance(cause, UnicodeDecodeError):
        return f"a file of the configuration is not text in UTF-8: {cause}"
    key = getattr(cause, "full_key", None)
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    inner = ("full_key:", "object_type=", "reference_type=", "See https://hydra.cc")
    kept = [line for line in lines if not line.startswith(inner)]
    if not isinstance(
        cause, (HydraException, OmegaConfBaseException, ValueError, OSError, pickle.PickleError)
    ):
        why = ": ".join([type(cause).__name__, *kept])
        return f"Hydra does not accept this command line ({why})"
    return f"{key}: {' '.join(kept)}" if key and key not in kept[0] else " ".join(kept)
