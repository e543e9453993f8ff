"""What the tests share: a project directory of their own, and the command line as a user types it."""

import os
import signal
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from backendexp import cache, plan
from backendexp.config import Config
from backendexp.plan import RunSpec
from backendexp.runtime import build
from backendexp.tracking import addresses
from backendexp.tracking.mlflow_tracker import MlflowTracker

REPOSITORY = Path(__file__).parents[1]

# The same examples every time, none slow to be judged by the clock of a shared machine, none kept on disk.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    # What mlflow and its database library deprecate in each other is not ours to mend.
    config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning:(mlflow|sqlalchemy|alembic).*")


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def shared_cache() -> Path:
    """The cache of all tests: it holds the keras2 runtime and compiled code, which take minutes to make."""
    return cache.folder()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory. Neither the user's MLflow settings reach a test, nor the variable that
    TensorFlow 2 sets when a test imports it, which changes TensorFlow 1.14.
    """
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", addresses.KEPT, "TF2_BEHAVIOR")):
            monkeypatch.delenv(name)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def backendexp(project: Path) -> Command:
    """Run `python -m backendexp ARGUMENTS` in the project directory, and return how it ended."""

    def run(
        *arguments: str, env: dict[str, str] | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "backendexp", *arguments],
            cwd=project,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT interrupts this process and those that it starts, and SIGHUP ends them, even if pytest was
    started in the background of a shell or by nohup, which have them ignored.
    """
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with MLflow's tables, which take seconds to make."""
    folder = tmp_path_factory.mktemp("store")
    MlflowTracker(f"sqlite:///{folder}/mlflow.db", "first", None, folder)
    return (folder / "mlflow.db").read_bytes()


@pytest.fixture(scope="session")
def keras2_python(shared_cache: Path) -> str:
    """The interpreter of the keras2 runtime, which is built when it is not there."""
    return build.ensure_built("keras2", print)


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has no packages."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    return str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


@pytest.fixture
def make_spec() -> Callable[..., RunSpec]:
    """A small plan: make_spec(backend="jax", training__epochs=2) sets fields of the configuration."""

    return small_plan


def small_plan(backend: str = "tensorflow", runtime: str = "auto", **fields: object) -> RunSpec:
    """fields: of the configuration, such as training__epochs=2."""
    config = small_config()
    config.backend.name, config.runtime.name = backend, runtime
    for path, value in fields.items():
        *parents, last = path.split("__")
        node: object = config
        for parent in parents:
            node = getattr(node, parent)
        setattr(node, last, value)
    return plan.plan_run(config)


def small_config() -> Config:
    """A configuration that trains in milliseconds once the engine is there."""
    config = Config()
    config.data.samples, config.data.test_samples, config.data.features = 256, 64, 8
    config.model.hidden_units = [16, 8]
    config.training.epochs = 3
    config.threads = 1
    return config
