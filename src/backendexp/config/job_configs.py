"""Composes the configurations of a sweep's jobs without reading conf/ for each of them.

Hydra composes each job of a sweep from its files, and does so twice. Each time takes a tenth of a second,
which may be longer than the job trains. But the jobs of a sweep mostly differ in plain values (seed=3), which
Hydra sets last, on top of everything that it has composed. The composed configuration is therefore kept for
each choice of groups, and the plain values are set on a copy of it. The result is the same.

`hydra_plugins/backendexp_sweeper.py` makes Hydra use this.
"""

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf


class JobConfigs:
    """Returns configurations quickly by reusing those that it has composed.

    compose: a function that composes the configuration of a list of overrides, which is slow.
    """

    def __init__(self, compose: Callable[[list[str]], DictConfig]) -> None:
        self._compose = compose
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def of(self, overrides: list[str]) -> DictConfig:
        """Return the configuration of these overrides. The caller may change it.

        Raises what composing raises: HydraException, OmegaConfBaseException.
        """
        base = self._composed_for([o for o in overrides if not _may_be_value(o)])
        values = [o for o in overrides if _may_be_value(o)]
        plain = [o for o in values if _is_plain_value(base, _parse(o))]
        if len(plain) < len(values):  # one of them chooses from a group
            base = self._composed_for([o for o in overrides if o not in plain])
        config = copy.deepcopy(base)
        for override in map(_parse, plain):
            OmegaConf.update(config, override.key_or_group, override.value(), merge=False)
        return config

    def _composed_for(self, overrides: list[str]) -> DictConfig:
        key = tuple(overrides)
        if key not in self._composed:
            self._composed[key] = self._compose(overrides)
        return self._composed[key]


@lru_cache(maxsize=10_000)
def _parse(override: str) -> Override:
    (parsed,) = OverridesParser.create().parse_overrides([override])
    return parsed


def _may_be_value(override: str) -> bool:
    parsed = _parse(override)
    key = parsed.key_or_group
    special = parsed.is_add() or parsed.is_force_add() or parsed.is_delete() or parsed.package is not None
    return not special and key.split(".")[0].split("/")[0] != "hydra"


def _is_plain_value(config: DictConfig, override: Override) -> bool:
    """Return whether the override replaces one scalar of the configuration with another.

    It must not choose from a group, and its value must not be a list, a dictionary or an interpolation.
    """
    key, value = override.key_or_group, override.value()
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    if not isinstance(node, DictConfig) or name not in node:
        return False
    held = None if OmegaConf.is_missing(node, name) else node[name]
    interpolated = isinstance(value, str) and "${" in value
    return not OmegaConf.is_config(held) and not isinstance(value, (dict, list)) and not interpolated


# Since Hydra 1.4, a resolver computes the name from the overrides.
_overrides_dirname = getattr(config_loader_impl, "get_overrides_dirname", None)


class Loader(ConfigLoaderImpl):
    """Does what Hydra's loader does, but takes the jobs of a sweep from `JobConfigs`."""

    def __init__(self, hydras: Any) -> None:
        super().__init__(hydras.config_search_path)
        self._jobs: JobConfigs | None = None

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        if self._jobs is None:
            compose = super().load_sweep_config
            self._jobs = JobConfigs(lambda overrides: compose(master_config, overrides))
        config = self._jobs.of(sweep_overrides)
        config.hydra.overrides.task = sweep_overrides
        if _overrides_dirname is not None:
            dirname = config.hydra.job.config.override_dirname
            config.hydra.job.override_dirname = _overrides_dirname(
                overrides=[_parse(o) for o in sweep_overrides],
                kv_sep=dirname.kv_sep,
                item_sep=dirname.item_sep,
                exclude_keys=dirname.exclude_keys,
            )
        OmegaConf.copy_cache(from_config=master_config, to_config=config)
        return config
