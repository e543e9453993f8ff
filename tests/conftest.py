"""Fixtures for all tests, such as an empty project directory and the command line."""

import os
import signal
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from backendexp import cache
from backendexp.cli.application import Application
from backendexp.runs.plan import RunSpec
from backendexp.runs.session import Session
from backendexp.runtimes import build
from backendexp.tracking import addresses
from backendexp.tracking.mlflow_tracker import MlflowTracker
from support import applications
from support.command import Command
from support.memory import MemoryTracker
from support.plans import small_plan
from support.sessions import HERE, MakeSession, PoolOf

# Use the same examples every time, set no deadline because the machine may be shared, and keep no database on
# disk.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    # We cannot fix what mlflow and its database library use of each other although it is deprecated.
    config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning:(mlflow|sqlalchemy|alembic).*")


@pytest.fixture(scope="session")
def shared_cache() -> Path:
    """The cache of all tests, which holds the keras2 runtime and compiled code, because these take minutes
    to make.
    """
    return cache.folder()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's MLflow settings from the tests, and the variable that TensorFlow 2 sets when a test
    imports it, because it changes TensorFlow 1.14.
    """
    for name in list(os.environ):
        if name.startswith((*addresses.MLFLOW_VARIABLES, addresses.KEPT, "TF2_BEHAVIOR")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def project(clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def backendexp(project: Path) -> Command:
    """Run `python -m backendexp ARGUMENTS` in the project directory, and return the ended process."""

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
    """Let SIGINT interrupt this process and its children, and SIGHUP end them, even if pytest was started in
    the background of a shell or by nohup, where these signals are ignored.
    """
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with MLflow's tables. It is created once, because that takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    MlflowTracker(f"sqlite:///{folder}/mlflow.db", "first", None, folder)
    return (folder / "mlflow.db").read_bytes()


@pytest.fixture(scope="session")
def keras2_python(shared_cache: Path) -> str:
    """The interpreter of the keras2 runtime, which is built if it does not exist."""
    return build.ensure_built("keras2", print)


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter without packages."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    return str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


@pytest.fixture
def make_spec() -> Callable[..., RunSpec]:
    """A function that makes a small plan. make_spec(backend="jax", training__epochs=2) sets these fields."""

    return small_plan


@pytest.fixture
def make_session() -> Iterator[MakeSession]:
    """A function that makes a session: make_session("finishes", tracker) uses the worker script finishes.py.
    The session is closed after the test.
    """
    made: list[Session] = []

    def make(script: str, tracker: MemoryTracker | None = None, joined: str | None = None) -> Session:
        trackers = {HERE: tracker} if tracker is not None else {}
        made.append(Session(joined=joined, _pool=PoolOf(script), _trackers=dict(trackers)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Application]]:
    """A function that makes an application: start("finishes", tracker) uses the worker script finishes.py."""
    made: list[Application] = []

    def make(script: str, tracker: MemoryTracker | None = None, **known: Any) -> Application:
        session = Session(_pool=PoolOf(script), _trackers={applications.HERE: tracker} if tracker else {})
        made.append(Application(session, **known))
        return made[-1]

    yield make
    for one in made:
        one.session.close()
