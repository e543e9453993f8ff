"""Checks everything that the command line asks for before anything starts.

A mistake in the last job of a sweep is thus reported within a second, not after the other jobs have run.
"""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from backendexp import experiments
from backendexp.cli import overrides
from backendexp.config import composition, schema
from backendexp.config.composition import Composition
from backendexp.config.schema import Config, TrackingConfig
from backendexp.errors import ConfigError
from backendexp.runs.plan import RunSpec, plan_run
from backendexp.runtimes.prepare import check_available


@dataclass(frozen=True)
class Job:
    """A job that has been checked.

    config: its configuration.
    spec: the plan of its run, or the first plan that its experiment needs a worker for.
    """

    config: Config
    spec: RunSpec


@dataclass(frozen=True)
class Checked:
    """Holds the result of a successful check.

    jobs: all jobs that the command line asks for, by the text of their configurations (see `text_of`).
        It is empty if the command line asks for help or the like, or if the sweeper chooses its jobs as it
        goes.
    count: the number of these jobs. Jobs with equal configurations count separately.
    alone: whether the command line asks for a single run, not for a sweep.
    """

    jobs: Mapping[str, Job]
    count: int
    alone: bool

    @property
    def specs(self) -> list[RunSpec]:
        """The plans of all jobs, each plan once."""
        return [job.spec for job in self.jobs.values()]

    @property
    def is_experiment(self) -> bool:
        """Whether a job is an experiment, which makes its own runs."""
        return any(job.config.experiment for job in self.jobs.values())

    @property
    def tracking(self) -> TrackingConfig | None:
        """The tracking settings of the first job."""
        return next((job.config.tracking for job in self.jobs.values()), None)


def text_of(tree: Any) -> str:
    """Return a job's configuration as text, with its interpolations resolved.

    When the job runs, this finds the plan that was checked, so that what was checked is what runs.
    """
    from omegaconf import OmegaConf

    return json.dumps(OmegaConf.to_container(tree, resolve=True), default=repr)


def check(arguments: list[str], conf: Path) -> Checked:
    """Check the command line without running or creating anything.

    Raises UserError: something cannot be run; the first such problem is reported.
    """
    from omegaconf.errors import OmegaConfBaseException

    asked = _parse_arguments(arguments)
    if asked.shell_completion:
        _check_completion(asked.overrides)
        return Checked({}, 0, alone=False)
    with composition.own_refusals(), composition.opened(asked, conf) as composed:
        sweep = composed.is_sweep
        given = [] if asked.experimental_rerun else overrides.read(asked.overrides, composed, sweep)
        check_choice = partial(_check_choice, composed=composed)
        for override in given:
            check_choice(override)
        try:
            if asked.help or asked.hydra_help or asked.info or asked.cfg:
                composed.show()
                return Checked({}, 0, alone=bool(asked.cfg))
            configs: dict[str, Config] = {}
            count = 0
            with closing(composed.jobs(check_choice)) as trees:
                for tree in trees:
                    count += 1
                    checked = schema.parse(tree)
                    configs.setdefault(text_of(tree), checked)
        except (ConfigError, OmegaConfBaseException):
            for override in given:
                _check_name(override, asked.overrides, composed, sweep)
            raise
        for checked in configs.values():
            _check_chooses_backends(checked, given)
        alone = not sweep and not any(c.experiment for c in configs.values())
        jobs = {text: Job(config, check_job(config, sweep)) for text, config in configs.items()}
        return Checked(jobs, count, alone)


def _parse_arguments(arguments: list[str]) -> Any:
    """Parse the command line with the parser that hydra.main itself uses."""
    from hydra._internal.utils import get_args_parser

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"{message}. To list all options: backendexp --hydra-help")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    asked, unknown = parser.parse_known_args(arguments)
    options = [word for word in unknown if word.startswith("-")]
    if options:
        raise ConfigError(
            f"{options[0]} is not an option. Settings are written KEY=VALUE, e.g. backend=theano; "
            "to list all of them: backendexp --help"
        )
    if unknown:
        raise ConfigError(
            f"{unknown[0]!r} is separated from the other settings: write the options first, then all settings"
        )
    commands = [f"--{name}" for name in ("run", "multirun", "cfg", "info", "shell_completion")]
    given = [name for name in commands if getattr(asked, name[2:])]
    if len(given) > 1 and not asked.help and not asked.hydra_help:
        raise ConfigError(f"{' and '.join(given)} cannot be combined: expected one of {', '.join(commands)}")
    if asked.resolve and not asked.cfg and not asked.help:
        raise ConfigError("--resolve changes how --cfg and --help show the configuration: add one of them")
    return asked


def _check_completion(words: list[str]) -> None:
    given = [word for word in words if word.partition("=")[0] in ("install", "uninstall", "query")]
    shells = ("bash", "fish", "zsh")
    if len(given) != 1 or given[0].partition("=")[2] not in shells:
        raise ConfigError(
            "--shell-completion expects one of install=SHELL, uninstall=SHELL and query=SHELL, where SHELL "
            f"is one of {', '.join(shells)}: e.g. --shell-completion install=bash"
        )


def check_job(checked: Config, multirun: bool) -> RunSpec:
    """Return the plan of a checked configuration, after making sure that this machine can run it.

    multirun: whether the job is one of several.
    """
    spec = plan_run(checked)
    name = checked.experiment
    if name is None:
        check_available(spec)
        return spec
    design = experiments.design(name)
    if design.CHOOSES_BACKENDS and multirun:
        raise ConfigError(
            f"experiment={name} makes its own runs, so it cannot be a job of a sweep. Leave out -m, and "
            "start the experiments one after the other"
        )
    return design.first(spec, checked)


def _check_chooses_backends(checked: Config, given: list[Any]) -> None:
    """Refuse a setting of one backend if the experiment runs several, because it would silently be ignored.

    Raises ConfigError: the command line names a single backend.
    """
    name = checked.experiment
    if name is None or not experiments.design(name).CHOOSES_BACKENDS:
        return
    chooses = getattr(experiments.design(name), "chooses_backends", None)
    if chooses is not None and not chooses(checked):
        return
    for override in given:
        if override.key_or_group in ("backend", "backend.name"):
            raise ConfigError(
                f"{override.input_line} names one backend, but experiment={name} runs several. Leave it out, "
                f"or choose the backends with {name}.backends=[tensorflow,theano] and "
                f"{name}.baseline=tensorflow"
            )


def _check_choice(override: Any, composed: Composition) -> None:
    """Refuse choices of a group that Hydra would silently accept, although the user cannot mean them.

    If a list of choices is given, Hydra silently takes the last one or merges them all. If the group is
    optional, Hydra silently ignores a choice that does not exist.
    """
    key = override.key_or_group
    if override.is_hydra_override() or override.is_delete() or not (options := composed.options(key)):
        return
    chosen = list(override.sweep_iterator()) if override.is_discrete_sweep() else [override.value()]
    for choice in chosen:
        name = getattr(choice, "text", choice)
        if isinstance(name, list) and len(name) != 1:
            raise ConfigError(_list_of_choices(override, name))
        name = str(getattr(name[0], "text", name[0])) if isinstance(name, list) else name
        if name is None:
            raise ConfigError(
                f"{key}=null chooses nothing, which Hydra does not accept. Leave it out, or choose one of: "
                f"{', '.join(options)}"
            )
        if not isinstance(name, dict) and "${" not in str(name) and not composed.has(key, str(name)):
            raise ConfigError(overrides.unknown_choice(key, str(name), options))


def _list_of_choices(override: Any, choices: list[Any]) -> str:
    line, key = override.input_line, override.get_key_element()
    if not choices:
        return f"{line} chooses nothing: expected one choice, or leave it out"
    joined = ",".join(str(getattr(choice, "text", choice)) for choice in choices)
    ways = [overrides.for_shell(f"{key}={values}") for values in (joined, f"choice({joined})")]
    return (
        f"{line} is a list, but a job has only one {override.key_or_group}. To sweep over the list, write "
        f"it as -m {ways[0]} or as -m {ways[1]}"
    )


def _check_name(override: Any, words: list[str], composed: Composition, sweep: bool) -> None:
    """Explain better than Hydra does why Hydra may have refused an override.

    Raises ConfigError: the key does not exist, a sweep is given without -m, or a list is given where text is
    expected.
    """
    key = override.key_or_group
    if override.is_hydra_override() or override.is_delete():
        return
    if unknown := overrides.unknown_key(key, words, composed):
        raise ConfigError(unknown)
    line = override.input_line
    as_text = overrides.quoted(line, composed.parse) if overrides.takes_text(key) else None
    if override.is_sweep_override() and not sweep:
        ways = [f"to sweep over it, add -m: -m {overrides.for_shell(line)}"]
        if overrides.takes_list(key):
            value = line.partition("=")[2]
            ways.append(f"as a list, write {overrides.for_shell(f'{override.get_key_element()}=[{value}]')}")
        if as_text:
            ways.append(f"as text, write {as_text}")
        raise ConfigError(f"Ambiguous value for argument {line!r}: {'; '.join(ways)}")
    if as_text and not override.is_sweep_override() and isinstance(override.value(), (list, dict)):
        kind = "list" if isinstance(override.value(), list) else "dictionary"
        raise ConfigError(f"{line!r} is a {kind}: expected text. If it is text, write {as_text}")
