"""Runs the application in the way that Hydra does."""

from pathlib import Path
from types import SimpleNamespace

from omegaconf import OmegaConf

from backendexp.cli.application import Application
from backendexp.runs.session import Destination
from support.checking import compose_tree

TINY = ("data.samples=256", "data.features=8", "data.test_samples=64", "model.hidden_units=[16]", "threads=1")


HERE = Destination("mlflow", "sqlite:////in/memory.db", "backendexp", None)


IN_MEMORY = f"tracking.uri='{HERE.uri}'"


def run(app: Application, project: Path, *arguments: str, mode: str = "RUN") -> int:
    """Do what Hydra and the command line do for one job, and return the exit code."""
    output_dir = "multirun/2026-01-01/10-00-00/0" if mode == "MULTIRUN" else "outputs/2026-01-01/10-00-00"
    hydra = SimpleNamespace(
        mode=SimpleNamespace(name=mode),
        runtime=SimpleNamespace(output_dir=str(project / output_dir)),
        launcher=OmegaConf.create({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}),
        sweep=SimpleNamespace(dir=str(project / "multirun" / "2026-01-01" / "10-00-00")),
    )
    try:
        app.run_job(compose_tree(*TINY, *arguments), hydra)
    finally:
        code = app.finish()
    return code


PAIR = "compare.backends=[tensorflow,theano]"
COMPARE = ("experiment=compare", PAIR, "compare.blocks=3", "parity.probes=2", IN_MEMORY)
