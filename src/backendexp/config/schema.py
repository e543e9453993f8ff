"""Defines the typed configuration: Hydra composes it, `parse` checks it, and the rest of the code trusts it.

The classes are the schema that Hydra's tree is checked against, so that misspelt keys and wrong types are
found. The values are in `conf/`. The classes are mutable because OmegaConf refuses frozen ones.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, get_type_hints

from backendexp import spelling
from backendexp.errors import ConfigError, TrackingError
from backendexp.runtimes import catalogue
from backendexp.tracking import addresses, uri_check
from backendexp.worker import data as data_kinds
from backendexp.worker import models

# This is the width of the column that holds the name in MLflow's databases.
_LONGEST_EXPERIMENT_NAME = 256
# This is the greatest seed that NumPy's RandomState accepts.
_LAST_SEED = 2**32 - 1


@dataclass
class BackendConfig:
    """Chooses the backend.

    name: the value of KERAS_BACKEND.
    """

    name: str = "tensorflow"


@dataclass
class RuntimeConfig:
    """Chooses the Python environment that the worker runs in.

    name: keras3, keras2, or auto, which takes the first of these that offers the backend.
    python: the path of an interpreter to use instead of the runtime's own.
    start: how the process of a run is started: fork, spawn, or auto (fork if the system has it).
    """

    name: str = "auto"
    python: str | None = None
    start: str = "auto"


@dataclass
class DataConfig:
    """Chooses the data.

    kind: a module of backendexp.worker.data: random (labels are coin flips), signal (labels follow from x) or
        npz (the user's file).
    samples, test_samples, features: the sizes of data that is drawn. An npz file determines its own sizes.
    noise: the share of the labels of `signal` that is flipped, in [0, 0.5).
    path: the path of the npz file, which contains x_train, y_train, x_test and y_test.
    """

    kind: str = "random"
    samples: int | None = None
    features: int | None = None
    test_samples: int | None = None
    noise: float = 0.0
    path: str | None = None


@dataclass
class ModelConfig:
    """Describes the model.

    kind: a module of backendexp.worker.models.
    hidden_units: the width of each hidden layer.
    activation: the activation of the hidden layers.
    dropout: the share of units that is dropped after each hidden layer.
    output_activation: the activation of the last layer.
    """

    kind: str = "mlp"
    hidden_units: list[int] = field(default_factory=lambda: [64, 64])
    activation: str = "relu"
    dropout: float = 0.5
    output_activation: str = "sigmoid"


@dataclass
class TrainingConfig:
    """Describes how the model is trained.

    learning_rate: the learning rate. It is always set, because the defaults of the optimizers differ between
        Keras 2 and Keras 3.
    dtype: float32, float64, or another dtype policy of Keras 3.
    """

    optimizer: str = "rmsprop"
    learning_rate: float = 0.001
    loss: str = "binary_crossentropy"
    epochs: int = 20
    batch_size: int = 128
    dtype: str = "float32"


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

    kind: str = "mlflow"
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
class ParityConfig:
    """Sets up the experiment `parity`.

    enabled: whether to train on every available backend and runtime, and to compare the loss trajectories.
    probes: the number of extra runs of the reference, whose initial weights are moved by one float32
        rounding. They measure how far apart rounding alone drives the trajectories.
    """

    enabled: bool = False
    probes: int = 2


@dataclass
class CompareConfig:
    """Sets up the experiment `compare`.

    enabled: whether to run every backend in randomised blocks, and to report which is faster.
    blocks: how many times every backend is timed.
    backends: the backends to compare. null stands for all backends that can run on the runtime.
    baseline: the backend that the others are compared with. null stands for tensorflow if it is compared, and
        for the first backend otherwise.
    margin: two times are equivalent if their ratio is between 1/(1+margin) and 1+margin.
    accuracy_margin: two accuracies are equivalent if they differ by no more than this.
    parity: whether to check first that the backends compute the same results.
    """

    enabled: bool = False
    blocks: int = 10
    backends: list[str] | None = None
    baseline: str | None = None
    margin: float = 0.1
    accuracy_margin: float = 0.05
    parity: bool = True


@dataclass
class ScaleConfig:
    """Sets up the experiment `scale`.

    enabled: whether to run every backend with growing data and growing layers, and to report at which sizes
        another backend becomes the faster one.
    samples: the values that data.samples takes, while all layers have the width of the first layer of
        model.hidden_units.
    hidden_units: the widths that all layers take, while data.samples stays as it is.
    repeats: how many times each size is run.
    epochs: the value that experiment=scale gives to training.epochs.
    backends, baseline: the same as in CompareConfig.
    """

    enabled: bool = False
    samples: list[int] = field(default_factory=lambda: [1_000, 10_000, 100_000])
    hidden_units: list[int] = field(default_factory=lambda: [64, 256, 1024])
    repeats: int = 3
    epochs: int = 3
    backends: list[str] | None = None
    baseline: str | None = None


@dataclass
class Config:
    """Holds the whole configuration.

    threads: the number of threads of the engine. null stands for all cores that the process may use.
    seed: the number from which all random values are drawn.
    timeout_s: the longest time that a run may take from its start, in seconds. null stands for no limit.
    """

    backend: BackendConfig = field(default_factory=BackendConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    controls: ControlsConfig = field(default_factory=ControlsConfig)
    parity: ParityConfig = field(default_factory=ParityConfig)
    compare: CompareConfig = field(default_factory=CompareConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    threads: int | None = None
    seed: int = 0
    timeout_s: float | None = None

    @property
    def experiment(self) -> str | None:
        """The experiment that is asked for: parity, compare or scale. None stands for a single run."""
        return next((name for name in experiments() if getattr(self, name).enabled), None)


@cache
def experiments() -> tuple[str, ...]:
    """Return the parts of the configuration that can be enabled, each with the settings of an experiment."""
    return tuple(name for name, part in get_type_hints(Config).items() if hasattr(part, "enabled"))


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

    config = OmegaConf.to_object(tree)
    if not isinstance(config, Config):
        raise ConfigError(
            "the configuration has no schema: expected a primary file whose defaults begin with schema, "
            "like those of conf/config.yaml"
        )
    for key in _added(config):
        if "." in key or f"${{{key}" not in OmegaConf.to_yaml(tree):
            raise ConfigError(unknown_key(key))
    check(config)
    addresses.check_configured(OmegaConf.to_container(tree.tracking, resolve=False))
    return config


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
        f"{spelling.nearest(key, [*_leaves(Config), *groups])}To list all keys: backendexp --help"
    )


def has_key(key: str) -> bool:
    """Return whether the key exists. An element of a list has a key too, such as model.hidden_units.0."""
    parent, _, last = key.rpartition(".")
    return kind(key) is not None or (last.isdigit() and "list" in str(kind(parent)))


def kind(key: str) -> Any:
    """Return the type of a setting, or the class of a part of the configuration.

    Returns None if the key does not exist.
    """
    found: Any = Config
    for name in key.split("."):
        found = get_type_hints(found).get(name) if is_dataclass(found) else None
    return found


def _leaves(part: Any, prefix: str = "") -> list[str]:
    found = []
    for name, kind in get_type_hints(part).items():
        found += _leaves(kind, f"{prefix}{name}.") if is_dataclass(kind) else [prefix + name]
    return found


def check(config: Config) -> None:
    """Check every value of the configuration.

    Raises ConfigError: a value cannot be used; the first such value is reported.
    """
    _one_of("backend.name", config.backend.name, catalogue.BACKENDS, example="backend=theano")
    _one_of("runtime.name", config.runtime.name, ["auto", *catalogue.RUNTIMES], example="runtime=keras3")
    _one_of("runtime.start", config.runtime.start, ["auto", "fork", "spawn"], "runtime.start=spawn")
    if config.runtime.start == "fork" and not hasattr(os, "fork"):
        raise ConfigError("runtime.start is fork, which this system does not have. Use runtime.start=spawn")
    _check_data(config.data)
    _check_model(config.model)
    _check_training(config.training)
    check_tracking(config.tracking)
    _number("parity.probes", config.parity.probes, 1, 20, "parity.probes=2")
    _number("seed", config.seed, 0, _LAST_SEED, "seed=7")
    if config.threads is not None:
        _number("threads", config.threads, 1, 4096, "threads=1")
    if config.timeout_s is not None:
        _number("timeout_s", config.timeout_s, 0, 1e9, "timeout_s=600", above=True)
    _check_experiments(config)
    if data_kinds.kind(config.data.kind).DRAWN:
        _check_memory(config)


def check_tracking(tracking: TrackingConfig) -> None:
    """Check the store and the experiment that are configured, or those of the environment if none are.

    Raises ConfigError: one of them cannot be used.
    """
    _one_of("tracking.kind", tracking.kind, ["mlflow", "none"], "tracking=mlflow")
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


def _check_experiments(config: Config) -> None:
    enabled = [name for name in experiments() if getattr(config, name).enabled]
    if len(enabled) > 1:
        raise ConfigError(
            f"{' and '.join(f'{name}.enabled' for name in enabled)} are both true: expected one experiment "
            f"at a time, e.g. experiment={enabled[-1]}"
        )
    compare, scale = config.compare, config.scale
    # Fewer than three blocks are not enough for a verdict.
    _number("compare.blocks", compare.blocks, 3, 10_000, "compare.blocks=10")
    for margin in ("margin", "accuracy_margin"):
        _number(f"compare.{margin}", getattr(compare, margin), 0, 1, f"compare.{margin}=0.05", above=True)
    _check_backends("compare", compare)
    _number("scale.repeats", scale.repeats, 1, 1_000, "scale.repeats=3")
    _number("scale.epochs", scale.epochs, 1, 10**6, "scale.epochs=3")
    _check_backends("scale", scale)
    for key, sizes, most in (
        ("scale.samples", scale.samples, 10**9),
        ("scale.hidden_units", scale.hidden_units, 10**6),
    ):
        for size in sizes:
            _number(key, size, 1, most, f"{key}=[1000,10000]")
    if scale.enabled:
        _check_scale(config)
    seeds = {"compare": compare.blocks, "scale": scale.repeats}
    for name in enabled:
        if config.seed + seeds.get(name, 0) > _LAST_SEED:
            raise ConfigError(
                f"seed is {config.seed}, and experiment={name} counts up from it {seeds[name]:,} times: "
                f"expected the last seed to be at most {_LAST_SEED:,}, e.g. seed=7"
            )


class _Backends(Protocol):
    @property
    def backends(self) -> list[str] | None: ...
    @property
    def baseline(self) -> str | None: ...


def _check_backends(part: str, asked: _Backends) -> None:
    example = f"{part}.backends=[tensorflow,theano]"
    if asked.backends is not None:
        for name in asked.backends:
            _one_of(f"{part}.backends", name, catalogue.BACKENDS, example)
        if len(set(asked.backends)) < max(2, len(asked.backends)):
            raise ConfigError(
                f"{part}.backends is [{', '.join(asked.backends)}]: expected two or more different ones, "
                f"e.g. {example}, or null for all that can run here"
            )
    if asked.baseline is not None:
        among = asked.backends or catalogue.BACKENDS
        _one_of(f"{part}.baseline", asked.baseline, among, f"{part}.baseline={among[0]}")


def _check_scale(config: Config) -> None:
    scale = config.scale
    if not data_kinds.kind(config.data.kind).DRAWN and scale.samples:
        raise ConfigError(
            f"scale.samples is set, but data={config.data.kind} has as many samples as its file. "
            "Use scale.samples=[] to vary only the width, or use data=random"
        )
    if max(len(set(scale.samples)), len(set(scale.hidden_units))) < 2:
        raise ConfigError(
            f"scale.samples is {scale.samples} and scale.hidden_units is {scale.hidden_units}: expected two "
            "or more sizes of one of them, e.g. scale.samples=[1000,10000,100000]"
        )


def _check_data(data: DataConfig) -> None:
    _one_of("data.kind", data.kind, data_kinds.kinds(), "data=signal")
    sizes = ("samples", "test_samples", "features")
    if not data_kinds.kind(data.kind).DRAWN:
        if not data.path:
            raise ConfigError(
                f"data.path is not set, but data={data.kind} needs a file, e.g. data.path=my-data.npz"
            )
        for name in sizes:
            if getattr(data, name) is not None:
                raise ConfigError(
                    f"data.{name} is set, but data={data.kind} takes its sizes from the file. Leave it out"
                )
    else:
        if data.path:
            raise ConfigError(f"data.path is set, but data={data.kind} reads no file. Use data=npz")
        for name in sizes:
            _number(f"data.{name}", getattr(data, name), 1, 10**9, f"data.{name}=100")
    _number("data.noise", data.noise, 0, 0.5, "data.noise=0.1", below=True)


def _check_model(model: ModelConfig) -> None:
    _one_of("model.kind", model.kind, models.kinds(), "model=mlp")
    if not model.hidden_units:
        raise ConfigError(
            "model.hidden_units is empty: expected the width of at least one layer, "
            "e.g. model.hidden_units=[64,64]"
        )
    if len(model.hidden_units) > 1000:
        raise ConfigError(f"model.hidden_units has {len(model.hidden_units)} layers: expected at most 1000")
    for units in model.hidden_units:
        _number("model.hidden_units", units, 1, 10**6, "model.hidden_units=[64,64]")
    _number("model.dropout", model.dropout, 0, 1, "model.dropout=0.5", below=True)
    known = catalogue.KERAS3.activations
    _one_of("model.activation", model.activation, known, "model.activation=relu")
    _one_of("model.output_activation", model.output_activation, known, "model.output_activation=sigmoid")


def _check_training(training: TrainingConfig) -> None:
    known = catalogue.KERAS3
    _one_of("training.optimizer", training.optimizer, known.optimizers, "training.optimizer=rmsprop")
    _one_of("training.loss", training.loss, known.losses, "training.loss=binary_crossentropy")
    _one_of("training.dtype", training.dtype, known.dtypes, "training.dtype=float32")
    _number(
        "training.learning_rate", training.learning_rate, 0, 1e6, "training.learning_rate=0.001", above=True
    )
    _number("training.epochs", training.epochs, 1, 10**6, "training.epochs=20")
    _number("training.batch_size", training.batch_size, 1, 10**9, "training.batch_size=128")


class _Network(Protocol):
    @property
    def activation(self) -> str: ...
    @property
    def output_activation(self) -> str: ...


class _Training(Protocol):
    @property
    def optimizer(self) -> str: ...
    @property
    def loss(self) -> str: ...
    @property
    def dtype(self) -> str: ...


def check_names(model: _Network, training: _Training, runtime: catalogue.RuntimeFacts) -> None:
    """Check the names in a configuration or a plan against a runtime.

    Raises ConfigError: Keras 3 knows a name, but this runtime's Keras does not.
    """
    for key, value, known in (
        ("training.optimizer", training.optimizer, runtime.optimizers),
        ("training.loss", training.loss, runtime.losses),
        ("training.dtype", training.dtype, runtime.dtypes),
        ("model.activation", model.activation, runtime.activations),
        ("model.output_activation", model.output_activation, runtime.activations),
    ):
        if value not in known:
            raise ConfigError(
                f"{key} is {value!r}, which runtime {runtime.name!r} (Keras {runtime.generation}) "
                f"does not have. Expected one of: {', '.join(sorted(known))}"
            )


def _check_memory(config: Config) -> None:
    """Refuse sizes that do not fit into the memory, because the kernel would kill the run after minutes.

    Raises ConfigError: the data or the weights would not fit.
    """
    data, scale = config.data, config.scale
    assert data.samples is not None
    assert data.test_samples is not None
    assert data.features is not None
    samples, hidden_units = data.samples, config.model.hidden_units
    data_keys, width_key = "data.samples, data.test_samples or data.features", "model.hidden_units"
    if scale.enabled and max(scale.samples, default=0) > samples:
        samples, data_keys = max(scale.samples), "scale.samples, data.test_samples or data.features"
    if scale.enabled and max(scale.hidden_units, default=0) > max(hidden_units):
        hidden_units, width_key = [max(scale.hidden_units)] * len(hidden_units), "scale.hidden_units"
    arrays = 4 * (samples + data.test_samples) * (data.features + 1)
    widths = [data.features, *hidden_units, 1]
    weights = 4 * sum((inner + 1) * outer for inner, outer in pairwise(widths))
    memory = physical_memory_bytes()
    for bytes_, what, keys in ((arrays, "the data", data_keys), (weights, "the weights", width_key)):
        if memory and bytes_ > memory:
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


def _one_of(key: str, value: str, choices: Any, example: str) -> None:
    if value not in choices:
        raise ConfigError(
            f"{key} is {value!r}, which is not known. {spelling.nearest(value, choices)}"
            f"Expected one of: {', '.join(sorted(choices))}, e.g. {example}"
        )


def _number(
    key: str,
    value: float | None,
    low: float,
    high: float,
    example: str,
    above: bool = False,
    below: bool = False,
) -> None:
    """Check that a number is in the range from `low` to `high`.

    above: whether `low` itself is excluded. below: whether `high` itself is excluded.
    """
    too_low: Callable[[float], bool] = (lambda v: v <= low) if above else (lambda v: v < low)
    too_high: Callable[[float], bool] = (lambda v: v >= high) if below else (lambda v: v > high)
    if value is None or not math.isfinite(value) or too_low(value) or too_high(value):
        raise ConfigError(
            f"{key} is {'not set' if value is None else value}: expected a number "
            f"{'above' if above else 'from'} {low:,} {'to below' if below else 'to'} {high:,}, "
            f"e.g. {example}"
        )
