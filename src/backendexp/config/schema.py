"""Defines the typed configuration: Hydra composes it, `parse` checks it, and the rest of the code trusts it.

The classes are the schema that Hydra's tree is checked against, so that misspelt keys and wrong types are
found. The values are in `conf/`. The classes are mutable because OmegaConf refuses frozen ones.
"""

import copy
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

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
# OmegaConf's mark of a setting that must be given.
MISSING = "???"
# What a start of a sweep does with the plans of an earlier start in the same folder. SKIP: it runs those that
# have not finished. FAILED: the same, without those that were never begun. REDO: it runs all again.
SKIP, FAILED, REDO = RESUME_RULES = ("skip", "failed", "redo")
# The settings of data that determine how large they are.
_SIZES = ("samples", "test_samples", "features", "steps")
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
    loss: the loss, or auto, which follows from the labels: binary_crossentropy for two classes,
        sparse_categorical_crossentropy or categorical_crossentropy for more, mean_squared_error for amounts.
    metrics: the metrics. null stands for accuracy if there are classes, and for mean_absolute_error
        otherwise.
    dtype: float32, float64, or another dtype policy of Keras 3.
    compile: auto compiles every model with the settings above. own keeps the optimizer, the loss and the
        metrics of a model that the user's own function has compiled.
    steps_per_execution: how many batches Keras 3 hands to the engine at a time.
    """

    optimizer: str = setting("rmsprop", names="optimizers", example="training.optimizer=rmsprop")
    learning_rate: float = setting(0.001, low=0, high=1e6, above=True, example="training.learning_rate=0.001")
    loss: str = setting("auto", names="losses", automatic=True, example="training.loss=binary_crossentropy")
    metrics: list[str] | None = setting(None, names="metrics", example="training.metrics=[accuracy]")
    epochs: int = setting(20, low=1, high=10**6, example="training.epochs=20")
    batch_size: int = setting(128, low=1, high=10**9, example="training.batch_size=128")
    dtype: str = setting("float32", names="dtypes", example="training.dtype=float32")
    compile: str = setting("auto", choices=("auto", "own"), example="training.compile=own")
    steps_per_execution: int = setting(1, low=1, high=10**6, example="training.steps_per_execution=8")


@dataclass
class EngineConfig:
    """Chooses how the engine runs the model.

    jit_compile: whether XLA, or torch.compile on torch, compiles the steps. null leaves it to Keras.
    run_eagerly: whether each operation is run on its own, for which no graph is made.
    device: cpu, gpu, or auto, which takes a GPU if the engine finds one.
    precision: how products of float32 matrices are computed on a GPU: highest, or tf32 for TensorFloat-32.
        null leaves it to the engine.
    """

    jit_compile: bool | None = None
    run_eagerly: bool = False
    device: str = setting("auto", choices=("auto", "cpu", "gpu"), example="engine.device=cpu")
    precision: str | None = setting(None, choices=("highest", "tf32"), example="engine.precision=highest")


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
    dropout: whether layers that drop or add noise at random do so. Each backend draws other random numbers.
    """

    initial_weights: bool = True
    batch_order: bool = True
    dropout: bool = True


@dataclass
class Config:
    """Holds the whole configuration.

    data, model: instances of the class `Settings` of their kinds.
    engine: how the engine runs the model.
    inference: whether the trained model also predicts, to measure how fast it does.
    threads: the number of threads of the engine. null stands for all cores that the process may use.
    seed: the number from which all random values are drawn.
    timeout_s: the longest time that a run may take from its start, in seconds. null stands for no limit.
    resume: which runs a sweep makes again if its folder holds an earlier start of it: skip makes those that
        have not finished, failed makes those that were begun and have not finished, redo makes all.
    experiments: the settings of each experiment, by its name. In Hydra's tree, an experiment is a key beside
        the other parts.
    """

    backend: BackendConfig = field(default_factory=BackendConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    data: Any = field(default_factory=lambda: data_kinds.kind("random").Settings())
    model: Any = field(default_factory=lambda: models.kind("mlp").Settings())
    training: TrainingConfig = field(default_factory=TrainingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    controls: ControlsConfig = field(default_factory=ControlsConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    inference: bool = True
    threads: int | None = setting(None, low=1, high=4096, example="threads=1")
    seed: int = setting(0, low=0, high=LAST_SEED, example="seed=7")
    timeout_s: float | None = setting(None, low=0, high=1e9, above=True, example="timeout_s=600")
    resume: str = setting(SKIP, choices=RESUME_RULES, example="resume=redo")
    experiments: dict[str, Any] = field(
        default_factory=lambda: {name: settings() for name, settings in _experiments.items()}
    )

    @property
    def experiment(self) -> str | None:
        """The experiment that is asked for, or None for a single run."""
        return next((name for name, settings in self.experiments.items() if settings.enabled), None)


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


def schema_node() -> Any:
    """Return the schema that Hydra checks its configuration against.

    Hydra accepts all keys under `data` and `model`, because their kind decides which settings they have.
    `parse` checks them.
    """
    return tree_of(Config(data=_open_node("random"), model=_open_node("mlp")))


def _open_node(kind: str) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.create({"kind": kind}, flags={"struct": False})


def tree_of(config: Config) -> Any:
    """Return a configuration as Hydra composes it. `parse` does the opposite."""
    from omegaconf import OmegaConf, open_dict

    tree = OmegaConf.structured(config)
    with open_dict(tree):
        del tree["experiments"]
        for name, settings in config.experiments.items():
            tree[name] = OmegaConf.structured(settings)
    return tree


def _parts() -> dict[str, Any]:
    """Return the types of the settings at the top of Hydra's tree, by their names."""
    parts = {**get_type_hints(Config), **_experiments}
    del parts["experiments"]
    return parts


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

    if OmegaConf.get_type(tree) is not Config:
        raise ConfigError(
            "the configuration has no schema: expected a primary file whose defaults begin with schema, "
            "like those of conf/config.yaml"
        )
    values = {name: _value(str(name), tree[name]) for name in tree}
    experiments = {name: values.pop(name) for name in _experiments}
    added = [name for name in values if name not in Config.__dataclass_fields__]
    config = Config(**{name: values[name] for name in values if name not in added}, experiments=experiments)
    added += [key for name, settings in experiments.items() for key in _added(settings, f"{name}.")]
    for key in [*added, *_added(config)]:
        if "." in key or f"${{{key}" not in OmegaConf.to_yaml(tree):
            raise ConfigError(unknown_key(key))
    check(config)
    addresses.check_configured(OmegaConf.to_container(tree.tracking, resolve=False))
    return config


def _value(name: str, given: Any) -> Any:
    """Return what a key at the top of Hydra's tree holds, as an instance of its class if it has one."""
    from omegaconf import OmegaConf

    if name in _KINDS:
        return _settings_of_kind(name, given)
    return OmegaConf.to_object(given) if OmegaConf.is_config(given) else given


def _settings_of_kind(part: str, given: Any) -> Any:
    """Return the settings of `data` or `model`, with the types that their kind gives them.

    given: the part of Hydra's tree.
    Raises ConfigError: there is no such kind, or the kind has no such setting.
    """
    from omegaconf import OmegaConf

    values: Any = OmegaConf.to_container(given, resolve=True)
    kind = str(values["kind"])
    _check_kind(part, kind)
    settings = _KINDS[part].kind(kind).Settings
    known = ["kind", *(field.name for field in fields(settings))]
    if settings.OPEN:
        # What is missing becomes null, and `checks.check_fields` then says what is needed.
        missing = {name: None for name in known if values.get(name) == MISSING}
        return settings.from_json({**values, **missing})
    for name, value in values.items():
        if name not in known:
            raise ConfigError(_foreign(part, kind, str(name)))
        _check_form(f"{part}.{name}", value, settings, str(name))
    text = json.dumps(values)
    # In a plain value, OmegaConf would take ${ for an interpolation, even if the tree had it escaped.
    return _typed(part, settings, given) if "${" in text else copy.deepcopy(_remembered(part, settings, text))


@lru_cache(maxsize=1000)
def _remembered(part: str, settings: Any, text: str) -> Any:
    """Return the same as `_typed`. Most jobs of a sweep have the same values, and OmegaConf is slow.

    text: the values as JSON.
    """
    return _typed(part, settings, json.loads(text))


def _typed(part: str, settings: Any, values: Any) -> Any:
    """Return an instance of the class `settings`, whose fields have the types that the class gives them."""
    from omegaconf import OmegaConf

    # The part is inside a tree, so that OmegaConf's messages name the whole key.
    typed = OmegaConf.create({part: OmegaConf.structured(settings)})
    typed.merge_with({part: values})
    return OmegaConf.to_object(typed[part])


def _check_form(key: str, value: Any, settings: Any, name: str) -> None:
    """Refuse null and a single value where OmegaConf's own message would not say what was expected.

    settings: the class with the field `name`.
    """
    about = settings.__dataclass_fields__[name].metadata
    declared = get_type_hints(settings)[name]
    if value is None and type(None) not in get_args(declared) and "high" in about:
        checks.check_value(key, None, about)
    if "List" in str(declared) and not isinstance(value, list) and value != MISSING:
        raise ConfigError(f"{key} is {value!r}: expected a list, e.g. {about['example']}")


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
        f"{spelling.nearest(key, [*_leaves(), *groups])}To list all keys: backendexp --help"
    )


def open_parts(words: Sequence[str]) -> set[str]:
    """Return the parts of the configuration, `data` or `model`, that may have any setting.

    words: the overrides of the command line. A choice that is no kind is a file of the user's, which may
        name an open kind.
    """
    found = set()
    for word in words:
        part, _, choices = word.lstrip("+").partition("=")
        part = part.removesuffix(".kind")
        if part in _KINDS:
            kinds = _KINDS[part]
            closed = {name for name in kinds.kinds() if not kinds.kind(name).Settings.OPEN}
            found |= {part} if set(choices.split(",")) - closed else set()
    return found


def has_key(key: str, words: Sequence[str] = ()) -> bool:
    """Return whether the key exists. An element of a list has a key too, such as model.hidden_units.0.

    words: the overrides of the command line, see `open_parts`.
    """
    parent, _, last = key.rpartition(".")
    if kind(key) is not None or (last.isdigit() and "list" in str(kind(parent)).lower()):
        return True
    part, _, rest = key.partition(".")
    return bool(rest) and part in open_parts(words)


def kind(key: str) -> Any:
    """Return the type of a setting, or the class of a part of the configuration.

    Returns None if the key does not exist. If several kinds of data or of model have the setting, the first
    one decides.
    """
    part, *names = key.split(".")
    if part in _KINDS and names:
        classes = [_KINDS[part].kind(name).Settings for name in _KINDS[part].kinds()]
    else:
        classes = [_parts().get(part)]
    for found in classes:
        for name in names:
            found = get_type_hints(found).get(name) if is_dataclass(found) else None
        if found is not None:
            return found
    return None


def _leaves() -> list[str]:
    found = []
    for name, part in _parts().items():
        if name in _KINDS:
            classes = [_KINDS[name].kind(kind).Settings for kind in _KINDS[name].kinds()]
        else:
            classes = [part] if is_dataclass(part) else []
        found += [f"{name}.{key}" for settings in classes for key in _settable(settings)] or [name]
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
    if fault := config.data.fault():
        raise ConfigError(fault)
    checks.check_fields(config.training, "training.")
    checks.check_fields(config.engine, "engine.")
    if config.engine.jit_compile and config.engine.run_eagerly:
        raise ConfigError(
            "engine.jit_compile and engine.run_eagerly are both true: expected one of them, because what "
            "runs eagerly is not compiled, e.g. engine.jit_compile=true engine.run_eagerly=false"
        )
    check_tracking(config.tracking)
    checks.check_fields(config, "")
    _check_experiments(config)
    check_memory(config.data, config.model)


def _check_experiments(config: Config) -> None:
    enabled = [name for name, settings in config.experiments.items() if settings.enabled]
    if len(enabled) > 1:
        raise ConfigError(
            f"{' and '.join(f'{name}.enabled' for name in enabled)} are both true: expected one experiment "
            f"at a time, e.g. experiment={enabled[-1]}"
        )
    for name, settings in config.experiments.items():
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
    data_keys: str | None = None,
    width_key: str | None = None,
) -> None:
    """Refuse sizes that do not fit into the memory, because the kernel would kill the run after minutes.

    data_keys, width_key: the settings that determine the sizes, for the message. None stands for those of
        the kind of data and of the kind of model.
    Raises ConfigError: the data or the weights would not fit.
    """
    shape = data.sample_shape()
    if data_keys is None:
        *others, last = [f"data.{name}" for name in _SIZES if hasattr(data, name)] or [
            "the sizes of the data"
        ]
        data_keys = f"{', '.join(others)} or {last}" if others else last
    fits = isinstance(shape, tuple) and model.input_fault(shape) is None
    weights = model.weight_count(shape) if fits else None
    memory = physical_memory_bytes()
    for bytes_, what, keys in (
        (data.size_bytes(), "the data", data_keys),
        (4 * weights if weights else None, "the weights", width_key or f"model.{model.WIDTH}"),
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
