"""Everything the command line asks for is checked before anything starts: a mistake in the last job of a
sweep is told within a second, not after the others have run.
"""

import os
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from backendexp import catalog, config
from backendexp.blocks import entrants
from backendexp.commands import COMMANDS
from backendexp.config import Config, TrackingConfig
from backendexp.errors import ConfigError
from backendexp.plan import RunSpec, plan_run
from backendexp.runtime.prepare import check_available

# Their jobs are known before they run.
_FORESEEABLE_SWEEPERS = (
    "hydra_plugins.backendexp_sweeper.CachedSweeper",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
)


@dataclass(frozen=True)
class Checked:
    """specs: the plans of all the jobs that the command line asks for; none when it asks for help and the
    like, or when the sweeper makes up its jobs as it goes. alone: it is one run, and no sweep. tracking: of
    the first job.
    """

    specs: list[RunSpec]
    alone: bool
    tracking: TrackingConfig | None = None


def check(arguments: list[str], conf: Path) -> Checked:
    """
    Raises UserError: for the first thing that cannot be run. Runs nothing, makes nothing.
    """
    # The parser that hydra.main itself uses.
    from hydra._internal.utils import get_args_parser

    asked, unknown = get_args_parser().parse_known_args(arguments)
    options = [word for word in unknown if word.startswith("--")]
    if options:
        raise ConfigError(
            f"{options[0]} is not an option. Settings are written KEY=VALUE, e.g. backend=theano; "
            "for all of them: backendexp --help"
        )
    if asked.help or asked.hydra_help or asked.info or asked.shell_completion:
        return Checked([], alone=False)
    with _CompactErrors():
        overrides = _parse(asked.overrides)
        if not asked.config_dir and not asked.config_path:
            for override in overrides:
                _check_name(override, conf)
        trees = _jobs(overrides, asked, conf)
        configs = [] if asked.cfg else [config.parse(tree) for tree in trees]
        for checked in configs:
            _check_chooses_backends(checked, overrides)
        alone = not asked.multirun and not any(c.experiment for c in configs)
        tracking = configs[0].tracking if configs else None
        return Checked([check_job(c, asked.multirun) for c in configs], alone, tracking)


def check_job(checked: Config, multirun: bool) -> RunSpec:
    """The plan of a checked configuration, once it is known that this machine can run it.

    multirun: it is one of several.
    """
    spec = plan_run(checked)
    name = checked.experiment
    if name in ("compare", "scale"):
        if multirun:
            raise ConfigError(
                f"experiment={name} makes its own runs, so it cannot be a job of a sweep. Leave -m out, and "
                "start one after the other"
            )
        asked = getattr(checked, name)
        return entrants(spec, asked.backends, asked.baseline, name).specs[0]
    if name is None:
        check_available(spec)
    return spec


def _check_chooses_backends(checked: Config, overrides: list[Any]) -> None:
    """One backend, given where several are run, would be left out of account without a word."""
    name = checked.experiment
    if name not in ("compare", "scale"):
        return
    for override in overrides:
        if override.key_or_group in ("backend", "backend.name"):
            raise ConfigError(
                f"{override.input_line} names one backend, and experiment={name} runs several. Leave it out, "
                f"or choose them with {name}.backends=[tensorflow,theano] and {name}.baseline=tensorflow"
            )


def _parse(words: list[str]) -> list[Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    parsed = []
    for word in words:
        if "=" not in word and not word.startswith("~"):
            raise ConfigError(
                f"{word!r} is neither a setting nor a command. {catalog.nearest(word, COMMANDS)}"
                f"Settings are written KEY=VALUE, e.g. backend=theano; commands are {', '.join(COMMANDS)}"
            )
        try:
            parsed += parser.parse_overrides([word])
        except HydraException as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            raise ConfigError(f"{word!r} cannot be read as KEY=VALUE: {reason}") from error
    return parsed


def _jobs(overrides: list[Any], asked: Any, conf: Path) -> list[Any]:
    """The composed configuration of every job that these overrides make."""
    from hydra import compose, initialize_config_dir
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    from backendexp import job_configs

    name = asked.config_name or "config"
    with initialize_config_dir(os.path.abspath(asked.config_path or conf), version_base="1.3"):
        more = (
            [f"hydra.searchpath=['file://{os.path.abspath(asked.config_dir)}']"] if asked.config_dir else []
        )
        if not asked.multirun:
            return [compose(name, [*more, *(o.input_line for o in overrides)])]
        single = [o.input_line for o in overrides if not o.is_sweep_override()]
        sweeper = compose(name, [*more, *single], return_hydra_config=True).hydra.sweeper
        if sweeper._target_ not in _FORESEEABLE_SWEEPERS:
            return []  # such a sweeper makes up its jobs as it goes; each is checked when it starts
        in_config = _parse([f"{key}={value}" for key, value in (sweeper.params or {}).items()])
        (jobs,) = BasicSweeper.split_arguments([*in_config, *overrides], None)
        configs = job_configs.JobConfigs(lambda job: compose(name, [*more, *job]))
        return [configs.of(job) for job in jobs]


def _check_name(override: Any, conf: Path) -> None:
    """A key or a choice that is not there, with the nearest one that is."""
    key = override.key_or_group
    if key.split(".")[0].split("/")[0] == "hydra" or override.is_delete():
        return
    groups = sorted(path.name for path in conf.iterdir() if path.is_dir())
    if key in groups:
        options = sorted(path.stem for path in (conf / key).glob("*.yaml"))
        chosen = override.sweep_string_iterator() if override.is_sweep_override() else [override.value()]
        for choice in chosen:
            if isinstance(choice, str) and choice not in options:
                raise ConfigError(
                    f"{key}={choice} is not known. {catalog.nearest(choice, options)}"
                    f"Expected one of: {', '.join(options)}"
                )
        return
    keys = [*_leaves(Config()), *groups]
    if key not in keys and not any(known.startswith(key + ".") for known in keys):
        raise ConfigError(
            f"{key} is not a key of the configuration. {catalog.nearest(key, keys)}"
            "For all of them: backendexp --help"
        )


def _leaves(node: Any, prefix: str = "") -> list[str]:
    found = []
    for field in fields(node):
        value = getattr(node, field.name)
        name = prefix + field.name
        found += _leaves(value, name + ".") if is_dataclass(value) else [name]
    return found


class _CompactErrors:
    """What Hydra and OmegaConf raise for a bad configuration comes out as ConfigError."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> Literal[False]:
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        if isinstance(error, (HydraException, OmegaConfBaseException)):
            raise ConfigError(_sentence(error)) from error
        return False


def _sentence(error: BaseException) -> str:
    """The first words of an error and of its cause, without the lines that speak of Hydra's insides."""
    cause = error.__cause__ if error.__cause__ is not None else error
    key = getattr(cause, "full_key", None)
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("full_key:", "object_type=", "reference_type="))]
    return f"{key}: {' '.join(kept)}" if key and key not in kept[0] else " ".join(kept)
