"""Everything the command line asks for is checked before anything starts: a mistake in the last job of a
sweep is told within a second, not after the others have run.
"""

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn

from backendexp import experiments
from backendexp.cli import overrides
from backendexp.config import composition, schema
from backendexp.config.composition import Composition
from backendexp.config.schema import Config, TrackingConfig
from backendexp.errors import ConfigError
from backendexp.runs.plan import RunSpec, plan_run
from backendexp.runtimes.prepare import check_available


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
    from omegaconf.errors import OmegaConfBaseException

    asked = _parse_arguments(arguments)
    if asked.shell_completion:
        _check_completion(asked.overrides)
        return Checked([], alone=False)
    with _CompactErrors(), composition.opened(asked, conf) as composed:
        sweep = composed.is_sweep
        given = [] if asked.experimental_rerun else overrides.read(asked.overrides, composed, sweep)
        check_choice = partial(_check_choice, composed=composed)
        for override in given:
            check_choice(override)
        try:
            if asked.help or asked.hydra_help or asked.info or asked.cfg:
                composed.show()
                return Checked([], alone=bool(asked.cfg))
            with closing(composed.jobs(check_choice)) as trees:
                configs = [schema.parse(tree) for tree in trees]
        except (ConfigError, OmegaConfBaseException):
            for override in given:
                _check_name(override, composed, sweep)
            raise
        for checked in configs:
            _check_chooses_backends(checked, given)
        alone = not sweep and not any(c.experiment for c in configs)
        tracking = configs[0].tracking if configs else None
        return Checked([check_job(c, sweep) for c in configs], alone, tracking)


def _parse_arguments(arguments: list[str]) -> Any:
    """By the parser that hydra.main itself uses."""
    from hydra._internal.utils import get_args_parser

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"{message}. For all the options: backendexp --hydra-help")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    asked, unknown = parser.parse_known_args(arguments)
    options = [word for word in unknown if word.startswith("-")]
    if options:
        raise ConfigError(
            f"{options[0]} is not an option. Settings are written KEY=VALUE, e.g. backend=theano; "
            "for all of them: backendexp --help"
        )
    if unknown:
        raise ConfigError(
            f"{unknown[0]!r} stands apart from the other settings: write the options first, then all settings"
        )
    commands = [f"--{name}" for name in ("run", "multirun", "cfg", "info", "shell_completion")]
    given = [name for name in commands if getattr(asked, name[2:])]
    if len(given) > 1 and not asked.help and not asked.hydra_help:
        raise ConfigError(f"{' and '.join(given)} exclude each other: expected one of {', '.join(commands)}")
    if asked.resolve and not asked.cfg and not asked.help:
        raise ConfigError("--resolve says how --cfg and --help show the configuration: add one of them")
    return asked


def _check_completion(words: list[str]) -> None:
    given = [word for word in words if word.partition("=")[0] in ("install", "uninstall", "query")]
    shells = ("bash", "fish", "zsh")
    if len(given) != 1 or given[0].partition("=")[2] not in shells:
        raise ConfigError(
            "--shell-completion wants one of install=SHELL, uninstall=SHELL and query=SHELL, where SHELL "
            f"is one of {', '.join(shells)}: e.g. --shell-completion install=bash"
        )


def check_job(checked: Config, multirun: bool) -> RunSpec:
    """The plan of a checked configuration, once it is known that this machine can run it.

    multirun: it is one of several.
    """
    spec = plan_run(checked)
    name = checked.experiment
    if name is None:
        check_available(spec)
        return spec
    design = experiments.design(name)
    if design.CHOOSES_BACKENDS and multirun:
        raise ConfigError(
            f"experiment={name} makes its own runs, so it cannot be a job of a sweep. Leave -m out, and "
            "start one after the other"
        )
    return design.first(spec, checked)


def _check_chooses_backends(checked: Config, given: list[Any]) -> None:
    """One backend, given where several are run, would be left out of account without a word."""
    name = checked.experiment
    if name is None or not experiments.design(name).CHOOSES_BACKENDS:
        return
    for override in given:
        if override.key_or_group in ("backend", "backend.name"):
            raise ConfigError(
                f"{override.input_line} names one backend, and experiment={name} runs several. Leave it out, "
                f"or choose them with {name}.backends=[tensorflow,theano] and {name}.baseline=tensorflow"
            )


def _check_choice(override: Any, composed: Composition) -> None:
    """Of a list of choices Hydra takes the last, or merges them all, without a word. So it does with a choice
    that is not there, where the group is optional.
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
                f"{key}=null chooses nothing, which Hydra does not take. Leave it out, or choose one of: "
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
        f"{line} is a list, and a job has one {override.key_or_group}. Write a sweep over it, as "
        f"-m {ways[0]} or as -m {ways[1]}"
    )


def _check_name(override: Any, composed: Composition, sweep: bool) -> None:
    """Why Hydra may have refused it: a key that is not there; a sweep without -m; a list for a text."""
    key = override.key_or_group
    if override.is_hydra_override() or override.is_delete():
        return
    if unknown := overrides.unknown_key(key, composed):
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


class _CompactErrors:
    """What Hydra and OmegaConf raise for a bad configuration comes out as ConfigError."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> Literal[False]:
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        if isinstance(error, (HydraException, OmegaConfBaseException)):
            raise ConfigError(composition.sentence(error)) from error
        return False
