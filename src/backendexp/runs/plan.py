"""The plan of a run: frozen, written as JSON, with an id that depends on nothing but the plan."""

import copy
import hashlib
import json
import os
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from backendexp.config import bundled, checks, labels, user_functions
from backendexp.config.schema import Config, ControlsConfig, EngineConfig, TrainingConfig
from backendexp.errors import BackendUnavailable, ConfigError
from backendexp.runtimes import catalogue
from backendexp.worker import data as data_kinds
from backendexp.worker import models, tasks, user_code, user_files

# The settings that a model which comes compiled does not use.
_OF_COMPILE = ("optimizer", "learning_rate", "loss", "metrics")
# A parity check trains a model that comes compiled with the model's own loss, but with the check's optimizer.
OWN_LOSS = "own_loss"

# Settings that plans have got since, with the value that all plans had before. With it, a plan keeps its id.
_ADDED: tuple[tuple[str, str, Any], ...] = (
    ("data", "classes", 2),
    ("model", "kind", "mlp"),
    ("training", "metrics", ["accuracy"]),
    ("training", "steps_per_execution", 1),
    ("controls", "dropout", True),
)

# The files of the drivers of NVIDIA, of AMD, and of the former under Windows Subsystem for Linux.
GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


@dataclass(frozen=True)
class RunSpec:
    """The plan of one run, with nothing left to decide.

    backend: the value of KERAS_BACKEND.
    runtime: keras3 or keras2, never auto.
    python: an interpreter that the user named, or None for the runtime's own.
    start: fork or spawn.
    engine: how the engine runs the model. inference: whether the trained model also predicts.
    data, model: the settings of the kinds of data and of model, see `backendexp.worker.settings`.
    training, controls: as in the configuration.
        The plan owns these four objects, and nobody changes them.
    threads: the number of threads that the engine may use.
    timeout_s: the time limit in seconds, or None.
    log_model: whether the trained model is saved.
    probe: 0 for an ordinary run, else the number of the rounding probe of the parity check, see
        `backendexp.analysis.trajectories`.
    """

    backend: str
    runtime: str
    python: str | None
    start: str
    data: Any
    model: Any
    training: TrainingConfig
    controls: ControlsConfig
    threads: int
    seed: int
    timeout_s: float | None
    log_model: bool
    probe: int = 0
    engine: EngineConfig = field(default_factory=EngineConfig)
    inference: bool = True

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits, which are the same for equal plans on any machine and at any time."""
        fields = self.to_json()
        for part, name, value in _ADDED:
            if fields[part].get(name) == value:
                del fields[part][name]
        if self.engine == EngineConfig():
            del fields["engine"]
        if fields["data"]["kind"] in ("random", "signal", "npz"):  # these had settings that they did not use
            fields["data"] = {"noise": 0.0, "path": None, **fields["data"]}
        del fields["inference"]  # the model that is trained does not depend on it
        text = json.dumps(fields, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def title(self) -> str:
        """The run in words."""
        probe = f", rounding probe {self.probe}" if self.probe else ""
        return f"{self.backend} on {self.runtime}, seed {self.seed}{probe}"

    @property
    def name(self) -> str:
        """The run's name in the tracking store, unless the user gives it one."""
        probe = f"-probe{self.probe}" if self.probe else ""
        return f"{self.backend}-{self.runtime}-seed{self.seed}{probe}"

    def to_json(self) -> dict[str, Any]:
        """The plan in the structure of the configuration, as the worker reads it."""
        fields = asdict(self)
        fields["data"], fields["model"] = self.data.to_json(), self.model.to_json()
        fields["backend"] = {"name": fields.pop("backend")}
        fields["runtime"] = {
            "name": fields.pop("runtime"),
            "python": fields.pop("python"),
            "start": fields.pop("start"),
        }
        if self.training.compile == "own":
            for name in _OF_COMPILE:
                del fields["training"][name]
        elif self.training.compile == OWN_LOSS:
            del fields["training"]["loss"], fields["training"]["metrics"]
        else:  # plans keep the ids that they had before there was a choice
            del fields["training"]["compile"]
        fields["tracking"] = {"log_model": fields.pop("log_model")}
        fields["parity"] = {"probe": fields.pop("probe")}
        return fields

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "RunSpec":
        fields = dict(fields)
        runtime = fields.pop("runtime")
        return cls(
            backend=fields.pop("backend")["name"],
            runtime=runtime["name"],
            python=runtime["python"],
            start=runtime["start"],
            data=_settings(data_kinds, fields.pop("data")),
            model=_settings(models, fields.pop("model")),
            training=TrainingConfig(**fields.pop("training")),
            controls=ControlsConfig(**fields.pop("controls")),
            log_model=fields.pop("tracking")["log_model"],
            probe=fields.pop("parity")["probe"],
            engine=EngineConfig(**fields.pop("engine", {})),
            **fields,
        )

    def params(self) -> dict[str, str]:
        """The plan under the dotted names of the configuration: flat text, as MLflow needs it."""
        return dict(sorted(_flatten(self.to_json())))


def _settings(kinds: Any, fields: dict[str, Any]) -> Any:
    """The settings of a kind of data or of model, from a plan that may be older than this program.

    An older plan has settings that the kind never used, and does not name the kind of the model.
    """
    fields = {"kind": "mlp", **fields}
    settings = kinds.kind(fields["kind"]).Settings
    if not settings.OPEN:
        fields = {name: value for name, value in fields.items() if name in settings.__dataclass_fields__}
    return settings.from_json(fields)


def _flatten(tree: dict[str, Any], prefix: str = "") -> Any:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def plan_run(config: Config) -> RunSpec:
    """The one run that a checked configuration describes.

    Raises ConfigError, BackendUnavailable: the runtime does not have what the configuration names.
    """
    python = _expanded(config.runtime.python) if config.runtime.python else None
    runtime = choose_runtime(config.backend.name, config.runtime.name, python)
    checks.check_names(config, runtime)
    checks.check_execution(config, config.backend.name, runtime)
    if config.engine.device == "gpu":
        check_gpu()
    data, model, training = map(copy.deepcopy, (config.data, config.model, config.training))
    if data.kind == "npz":
        outputs = _read_npz(data, model)
        where = f"{_expanded(config.data.path)}: "
    else:
        bundled.file_of(data)  # so that a missing package is told before anything starts
        kind = data_kinds.kind(data.kind)
        task = kind.task(data.to_json())
        outputs = [{"y_train": labels.of_kind(kind, task)}] if task is not None else []
        where = f"data={data.kind}: "
    inputs = data.sample_shape()
    if inputs is not None and (fault := models.input_fault(model, inputs)):
        raise ConfigError(f"{where}{fault}")
    found = [labels.task_of(where, output, training.loss) for output in outputs]
    if len(found) == 1:
        _fill(training, model, found[0])
    if training.loss != tasks.AUTO:
        for name, described in ((name, output[name]) for output in outputs for name in output):
            labels.check(where + name, described, training.loss, getattr(model, "output_activation", None))
    for part, settings, kinds in (("data", data, data_kinds), ("model", model, models)):
        if isinstance(settings, user_code.Function):
            offered = kinds.kind(settings.kind).OFFERED
            sources = user_functions.check(part, settings, offered, str(Path.cwd()))
            settings._source_ = user_files.digest(sources)
            if part == "model":
                model.GENERATIONS = user_functions.generations(sources)
    checks.check_generation(model, runtime)
    start = config.runtime.start
    if start == "auto":
        start = "fork" if hasattr(os, "fork") else "spawn"
    return RunSpec(
        backend=config.backend.name,
        runtime=runtime.name,
        python=os.path.abspath(python) if python else None,
        start=start,
        data=data,
        model=model,
        training=training,
        controls=copy.deepcopy(config.controls),
        engine=copy.deepcopy(config.engine),
        inference=config.inference,
        threads=config.threads or usable_cores(),
        seed=config.seed,
        timeout_s=config.timeout_s,
        log_model=config.tracking.log_model,
    )


def _read_npz(data: Any, model: Any) -> list[dict[str, labels.Labels]]:
    """Write what the user's file holds into the settings, and return the labels of each output.

    Raises ConfigError: the file cannot be used, or it has several inputs or outputs and the model has not.
    """
    from backendexp.config import npz  # numpy costs a tenth of a second that the other kinds need not pay

    given = _expanded(data.path)
    contents = npz.read(given)
    data.path = os.path.abspath(given)
    data.samples, data.test_samples = contents.samples, contents.test_samples
    data.features = contents.features
    shapes = {name: list(shape) for name, shape in contents.shapes.items()}
    several = "" not in shapes
    if data.features is None:
        data.shape = shapes if several else shapes[""]
    if not model.OPEN and (several or len(contents.outputs) > 1):
        what = f"inputs {', '.join(shapes)}" if several else f"outputs {', '.join(contents.labels)}"
        raise ConfigError(
            f"{given} has the {what}, but model={model.kind} takes one of each. Expected x_train, x_test, "
            "y_train and y_test, or a model of your own: model=custom"
        )
    return contents.outputs


def _fill(training: TrainingConfig, model: Any, task: Any) -> None:
    """Replace what the configuration leaves to the labels. The worker does so where nobody knows them yet."""
    if training.loss == tasks.AUTO:
        training.loss = tasks.loss_of(task)
    if training.metrics is None:
        training.metrics = tasks.metrics_of(task)
    if getattr(model, "output_activation", None) == tasks.AUTO:
        model.output_activation = tasks.activation_of(task, training.loss)


def _expanded(path: str) -> str:
    """The path with ~ replaced by the home folder. Shells do that only at the start of a word, not in
    KEY=~/file.
    """
    return os.path.expanduser(path)  # noqa: PTH111 (pathlib's own raises for a user that there is not)


def choose_runtime(backend: str, name: str, python: str | None) -> catalogue.RuntimeFacts:
    """The runtime for a backend.

    name: of the runtime; "auto" chooses the first that offers the backend.
    python: an interpreter that the user named. If `name` is "auto", the Keras that this interpreter has
        decides the runtime.
    Raises BackendUnavailable: the runtime does not offer the backend.
    """
    if name == "auto":
        if python is None:
            return catalogue.offering(backend)[0]
        from backendexp.runtimes.inventory import keras_generation_of

        generation = keras_generation_of(python)
        name = next(n for n, facts in catalogue.RUNTIMES.items() if facts.generation == generation)
    runtime = catalogue.RUNTIMES[name]
    if backend not in runtime.engines:
        instead = ", ".join(f"runtime={facts.name}" for facts in catalogue.offering(backend))
        raise BackendUnavailable(
            f"backend {backend!r} is not offered by runtime {name!r}, which has "
            f"{', '.join(runtime.engines)}. Use {instead}, or runtime=auto"
        )
    return runtime


def with_probe(spec: RunSpec, probe: int) -> RunSpec:
    """The same run from starting weights that are one rounding away."""
    return replace(spec, probe=probe)


def check_gpu() -> None:
    """Refuse engine.device=gpu on a Linux machine without the device file of any GPU's driver.

    Raises ConfigError: there is none. Whether the engine can use a GPU is only known in the worker.
    """
    if sys.platform == "linux" and not any(map(os.path.exists, GPU_DEVICES)):
        raise ConfigError(
            "engine.device is gpu, but this machine has no GPU with a driver: there is none of "
            f"{', '.join(GPU_DEVICES)}. Use engine.device=auto"
        )


def usable_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
