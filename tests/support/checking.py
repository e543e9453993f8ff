"""Passes a command line to the check that runs before anything starts."""

from typing import Any

import pytest

from backendexp.cli import application, preflight
from backendexp.config import schema
from backendexp.config.composition import version_base
from backendexp.config.schema import Config, conf_dir
from backendexp.errors import UserError
from backendexp.runs.plan import RunSpec


def check(*arguments: str) -> list[RunSpec]:
    return check_all(*arguments).specs


def check_all(*arguments: str) -> preflight.Checked:
    application.register_schema()
    return preflight.check(list(arguments), conf_dir())


def compose_tree(*arguments: str) -> Any:
    """Return the configuration that Hydra composes from the arguments of one job."""
    from hydra import compose, initialize_config_dir

    application.register_schema()
    with initialize_config_dir(str(conf_dir()), version_base=version_base()):
        return compose("config", list(arguments))


def check_config(*arguments: str) -> Config:
    return schema.parse(compose_tree(*arguments))


def refusal(*arguments: str) -> str:
    with pytest.raises(UserError) as refused:
        check(*arguments)
    return str(refused.value)
