"""Small plans and configurations, which train within milliseconds once the engine is imported."""

from backendexp import experiments
from backendexp.config.schema import Config
from backendexp.runs import plan
from backendexp.runs.plan import RunSpec
from backendexp.worker import data


def small_plan(backend: str = "tensorflow", runtime: str = "auto", **fields: object) -> RunSpec:
    """Return a small plan with these fields of the configuration, such as training__epochs=2."""
    config = small_config()
    config.backend.name, config.runtime.name = backend, runtime
    if "data__kind" in fields:
        config.data = data.kind(fields.pop("data__kind")).Settings()
    for path, value in fields.items():
        *parents, last = path.split("__")
        node: object = config
        for parent in parents:
            node = getattr(node, parent)
        setattr(node, last, value)
    return plan.plan_run(config)


def default_config() -> Config:
    """Return the configuration with the default values of its classes, and with all experiments."""
    experiments.add_settings()
    return Config()


def small_config() -> Config:
    """Return a configuration that trains within milliseconds once the engine is imported."""
    config = default_config()
    config.data.samples, config.data.test_samples, config.data.features = 256, 64, 8
    config.model.hidden_units = [16, 8]
    config.training.epochs = 3
    config.threads = 1
    return config
