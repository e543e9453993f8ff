"""Defines the typed configuration: Hydra composes it, `parse` checks it, and the rest of the code trusts it.

The classes are the schema that Hydra's tree is checked against, so that misspelt keys and wrong types are
found. The values are in `conf/`. The classes are mutable because OmegaConf refuses frozen ones.
"""

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from backendexp import spelling
from backendexp.config import checks
from backendexp.errors import ConfigError, TrackingError
from backendexp.runtimes import catalogue
from backendexp.tracking import addresses, uri_check
from backendexp.worker import data as data_kinds
from backendexp.worker import models
from backendexp.worker.settings import Data, Model, setting

# This is the width of the column that holds the name in MLflow's databases.
_LONGEST_EXPERIMENT_NAME = 256
# This is the greatest seed that NumPy's RandomState accepts.
LAST_SEED = 2**32 - 1


@dataclass
class BackendConfig:
    """Chooses the backend.

    name: the value of KERAS_BACKEND.
    """

    name: str = setting("tensorflow", choices=catalogue.BACKENDS, example="backend=theano")


@dataclass
class RuntimeConfig:
    """Chooses the Python environment that the worker runs in.

    name: keras3, keras2, or auto, which takes the first of these that offers the backend.
    python: the path of an interpreter to use instead of the runtime's own.
    start: how the process of a run is started: fork, spawn, or auto (fork if the system has it).
    """

    name: str = setting("auto", choices=("auto", *catalogue.RUNTIMES), example="runtime=keras3")
    python: str | None = None
    start: str = setting("auto", choices=("auto", "fork", "spawn"), example="runtime.start=spawn")


@dataclass
class TrainingConfig:
    """Describes how the model is trained.

    learning_rate: the learning rate. It is always set, because the defaults of the optimizers differ between
        Keras 2 and Keras 3.
    dtype: float32, float64, or another dtype policy of Keras 3.
    """

    optimizer: str = setting("rmsprop", names="optimizers", example="training.optimizer=rmsprop")
    learning_rate: float = setting(0.001, low=0, high=1e6, above=True, example="training.learning_rate=0.001")
    loss: str = setting("binary_crossentropy", names="losses", example="training.loss=binary_crossentropy")
    epochs: int = setting(20, low=1, high=10**6, example="training.epochs=20")
    batch_size: int = setting(128, low=1, high=10**9, example="training.batch_size=128")
    dtype: str = setting("float32", names="dtypes", example="training.dtype=float32")


@dataclass
class TrackingConfig:
    """Chooses where results are stored.

    kind: mlflow, or none, which leaves the results in the directory of the run only.
    uri: the address of the store. null stands for MLFLOW_TRACKING_URI, or sqlite:///mlflow.db in this
        directory if that is not set.
    experiment: the name of the MLflow experiment. null stands for MLFLOW_EXPERIMENT_NAME, or "backendexp" if
        that is not set.
    run_name: the name of the run in the UI. null names it after backend, runtime and seed.
    log_model: whether to log the trained model, in the format of the runtime's Keras.
    """

    kind: str = setting("mlflow", choices=("mlflow", "none"), example="tracking=mlflow")
    uri: str | None = None
    experiment: str | None = None
    run_name: str | None = None
    log_model: bool = False


@dataclass
class ControlsConfig:
    """Chooses what is made equal for all backends.

    initial_weights: whether numpy draws the initial weights from the seed, so that all backends start from
        the same weights.
    batch_order: whether numpy draws a new order of the samples from the seed for every epoch, so that all
        backends see the same batches.
    """

    initial_weights: bool = True
    batch_order: bool = True


@dataclass
class Config:
    """Holds the whole configuration, except for the settings of the experiments. `config_class` adds them.

    data, model: instances of the class `Settings` of their kinds.
    threads: the number of threads of the engine. null stands for all cores that the process may use.
    seed: the number from which all random values are drawn.
    timeout_s: the longest time that a run may take from its start, in seconds. null stands for no limit.
    """

    backend: BackendConfig = field(default_factory=BackendConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    data: Any = field(default_factory=lambda: data_kinds.kind("random").Settings())
    model: Any = field(default_factory=lambda: models.kind("mlp").Settings())
    training: TrainingConfig = field(default_factory=TrainingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    controls: ControlsConfig = field(default_factory=ControlsConfig)
    threads: int | None = setting(None, low=1, high=4096, example="threads=1")
    seed: int = setting(0, low=0, high=LAST_SEED, example="seed=7")
    timeout_s: float | None = setting(None, low=0, high=1e9, above=True, example="timeout_s=600")

    @property
    def experiment(self) -> str | None:
        """The experiment that is asked for, or None for a single run."""
        return next((name for name in _experiments if self.settings_of(name).enabled), None)

    def settings_of(self, experiment: str) -> Any:
        """Return the settings of an experiment, an instance of the class `Settings` of its module."""
        return getattr(self, experiment)


# These parts of the configuration have a kind, and the kind decides which settings they have.
_KINDS = {"data": data_kinds, "model": models}
# Maps the name of each experiment to the class of its settings.
_experiments: dict[str, type] = {}


def add_experiment(name: str, settings: type) -> None:
    """Make the settings of an experiment a part of the configuration.

    settings: a dataclass with the field `enabled`. If it has a method `check(config)`, this is called after
        the fields have been checked.
    """
    _experiments[name] = settings
    config_class.cache_clear()


@cache
def config_class() -> type[Config]:
    """Return the class of the whole configuration, with a field for each experiment."""
    parts = [(name, settings, field(default_factory=settings)) for name, settings in _experiments.items()]
    made: type[Config] = make_dataclass("Config", parts, bases=(Config,))
    return made


def schema_node() -> Any:
    """Return the schema that Hydra checks its configuration against.

    Hydra accepts all keys under `data` and `model`, because their kind decides which settings they have.
    `parse` checks them.
    """
    from omegaconf import OmegaConf

    node = OmegaConf.structured(config_class())
    for part, kind in (("data", "random"), ("model", "mlp")):
        node[part] = OmegaConf.create({"kind": kind}, flags={"struct": False})
    return node


def conf_dir() -> Path:
    """Return the path of conf/, which is inside an installed package, but at the top of a checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "conf"


def parse(tree: Any) -> Config:
    """Return Hydra's composed tree as a checked configuration.

    A key that the user has added with Hydra's + is accepted if a value of the configuration refers to it.
    Raises ConfigError: a value cannot be used; the message has the key, its value, what was expected and an
        example.
    """
    from omegaconf import OmegaConf

    config = OmegaConf.to_object(_typed(tree))
    if not isinstance(config, Config):
        raise ConfigError(
            "the configuration has no schema: expected a primary file whose defaults begin with schema, "
            "like those of conf/config.yaml"
        )
    for key in _added(config):
        if "." in key or f"${{{key}" not in OmegaConf.to_yaml(tree):
            raise ConfigError(unknown_key(key))
    for part, kinds in _KINDS.items():
        value = getattr(config, part)
        if isinstance(value, dict):
            setattr(config, part, kinds.kind(value["kind"]).Settings.from_json(value))
    check(config)
    addresses.check_configured(OmegaConf.to_container(tree.tracking, resolve=False))
    return config


def _typed(tree: Any) -> Any:
    """Return the tree with the types of the settings of its kinds of data and of model.

    Raises ConfigError: there is no such kind, or the kind has no such setting.
    """
    from omegaconf import DictConfig, OmegaConf, open_dict

    tree = copy.copy(tree)
    for part, kinds in _KINDS.items():
        given = OmegaConf.select(tree, part)
        if not isinstance(given, DictConfig):
            continue
        kind = str(given.kind)
        _check_kind(part, kind)
        settings = kinds.kind(kind).Settings
        if settings.OPEN:
            continue
        known = ["kind", *(field.name for field in fields(settings))]
        for name in given:
            if name not in known:
                raise ConfigError(_foreign(part, kind, str(name)))
        typed = OmegaConf.create({part: OmegaConf.structured(settings)})
        typed.merge_with({part: given})
        with open_dict(tree):
            tree[part] = typed._get_node(part)
    return tree


def _check_kind(part: str, kind: str) -> None:
    known = _KINDS[part].kinds()
    checks.one_of(f"{part}.kind", kind, known, f"{part}={known[-1]}")


def _foreign(part: str, kind: str, name: str) -> str:
    """Return the message about a setting that a kind does not have."""
    kinds = _KINDS[part]
    others = [other for other in kinds.kinds() if name in _settable(kinds.kind(other).Settings)]
    if others:
        owners = " and ".join(f"{part}={other}" for other in others)
        return f"{part}.{name} is set, but {part}={kind} does not have it. It is a setting of {owners}"
    own = [f"{part}.{name}" for name in _settable(kinds.kind(kind).Settings)]
    return (
        f"{part}.{name} is not a setting of {part}={kind}. {spelling.nearest(f'{part}.{name}', own)}"
        f"It has: {', '.join(own)}"
    )


def _settable(settings: Any) -> list[str]:
    names = (field.name for field in fields(settings) if checks.is_settable(field))
    return [name for name in names if name != "kind"]


def _added(node: Any, prefix: str = "") -> list[str]:
    """Return the keys that are not a field of any class in this module."""
    known = {field.name for field in fields(node)}
    found = [prefix + name for name in vars(node) if name not in known]
    for name in known:
        value = getattr(node, name)
        found += _added(value, f"{prefix}{name}.") if is_dataclass(value) else []
    return found


def unknown_key(key: str, groups: Sequence[str] = ()) -> str:
    """Return the message about a key that is not in the configuration. It suggests the nearest known key."""
    return (
        f"{key or repr(key)} is not a key of the configuration. "
        f"{spelling.nearest(key, [*_leaves(config_class()), *groups])}To list all keys: backendexp --help"
    )


def has_key(key: str) -> bool:
    """Return whether the key may exist. An element of a list has a key too, such as model.hidden_units.0.

    All keys under `data` and `model` may exist, because it depends on their kinds which of them do.
    """
    parent, _, last = key.rpartition(".")
    part, _, rest = key.partition(".")
    return (
        kind(key) is not None
        or (last.isdigit() and "list" in str(kind(parent)))
        or bool(part in _KINDS and rest)
    )


def kind(key: str) -> Any:
    """Return the type of a setting, or the class of a part of the configuration.

    Returns None if the key does not exist. If several kinds of data or of model have the setting, the first
    one decides.
    """
    part, _, rest = key.partition(".")
    if part in _KINDS and rest:
        classes = [_KINDS[part].kind(name).Settings for name in _KINDS[part].kinds()]
    else:
        classes, rest = [config_class()], key
    for found in classes:
        for name in rest.split("."):
            found = get_type_hints(found).get(name) if is_dataclass(found) else None
        if found is not None:
            return found
    return None


def _leaves(part: Any, prefix: str = "") -> list[str]:
    found = []
    for name, kind in get_type_hints(part).items():
        if prefix == "" and name in _KINDS:
            of_kinds = map(_KINDS[name].kind, _KINDS[name].kinds())
            found += [f"{name}.{key}" for module in of_kinds for key in _settable(module.Settings)]
        else:
            found += _leaves(kind, f"{prefix}{name}.") if is_dataclass(kind) else [prefix + name]
    return found


def check(config: Config) -> None:
    """Check every value of the configuration.

    Raises ConfigError: a value cannot be used; the first such value is reported.
    """
    checks.check_fields(config.backend, "backend.")
    checks.check_fields(config.runtime, "runtime.")
    if config.runtime.start == "fork" and not hasattr(os, "fork"):
        raise ConfigError("runtime.start is fork, which this system does not have. Use runtime.start=spawn")
    for part in _KINDS:
        _check_kind(part, getattr(config, part).kind)
        checks.check_fields(getattr(config, part), f"{part}.")
    checks.check_fields(config.training, "training.")
    check_tracking(config.tracking)
    checks.check_fields(config, "")
    _check_experiments(config)
    check_memory(config.data, config.model)


def _check_experiments(config: Config) -> None:
    enabled = [name for name in _experiments if config.settings_of(name).enabled]
    if len(enabled) > 1:
        raise ConfigError(
            f"{' and '.join(f'{name}.enabled' for name in enabled)} are both true: expected one experiment "
            f"at a time, e.g. experiment={enabled[-1]}"
        )
    for name in _experiments:
        settings = config.settings_of(name)
        checks.check_fields(settings, f"{name}.")
        if hasattr(settings, "check"):
            settings.check(config)


def check_tracking(tracking: TrackingConfig) -> None:
    """Check the store and the experiment that are configured, or those of the environment if none are.

    Raises ConfigError: one of them cannot be used.
    """
    checks.check_fields(tracking, "tracking.")
    if tracking.kind == "none":
        return
    for key, uri in _first(("tracking.uri", tracking.uri), "MLFLOW_TRACKING_URI"):
        check_store(key, uri)
    for key, name in _first(("tracking.experiment", tracking.experiment), "MLFLOW_EXPERIMENT_NAME"):
        if len(name) > _LONGEST_EXPERIMENT_NAME:
            raise ConfigError(
                f"{key} has {len(name)} characters: expected at most {_LONGEST_EXPERIMENT_NAME}, "
                "e.g. tracking.experiment=optimizers"
            )


def _first(named: tuple[str, str | None], variable: str) -> list[tuple[str, str]]:
    """Return the value that is used, together with the name of its source. The list is empty if none is set.

    named: the key of the configuration and its value. variable: the environment variable to use otherwise.
    """
    key, value = named if named[1] else (variable, os.environ.get(variable))
    return [(key, value)] if value else []


def check_store(key: str, uri: str) -> None:
    """Check that runs can be tracked in a store.

    key: the setting that contains the address, such as tracking.uri.
    Raises ConfigError: nothing can be tracked there.
    """
    try:
        whole = addresses.whole(uri)
    except TrackingError as error:
        raise ConfigError(str(error)) from error
    why = uri_check.fault(whole) or uri_check.missing_driver(whole)
    if why is not None:
        raise ConfigError(f"{key} is {addresses.shown(uri)}: {why}")


def check_memory(
    data: Data,
    model: Model,
    data_keys: str = "data.samples, data.test_samples or data.features",
    width_key: str = "model.hidden_units",
) -> None:
    """Refuse sizes that do not fit into the memory, because the kernel would kill the run after minutes.

    data_keys, width_key: the settings that determine the sizes, for the message.
    Raises ConfigError: the data or the weights would not fit.
    """
    features = getattr(data, "features", None)
    weights = model.weight_count(features) if features else None
    memory = physical_memory_bytes()
    for bytes_, what, keys in (
        (data.size_bytes(), "the data", data_keys),
        (4 * weights if weights else None, "the weights", width_key),
    ):
        if memory and bytes_ and bytes_ > memory:
            raise ConfigError(
                f"{what} would take {bytes_ / 2**30:,.0f} GiB, and this machine has "
                f"{memory / 2**30:,.0f} GiB of memory. Lower {keys}"
            )


def physical_memory_bytes() -> int | None:
    """Return the size of the machine's memory, or None if the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
