"""What the tests share: a project directory of their own, and the command line as a user types it."""

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

# The same examples every time, none slow to be judged by the clock of a shared machine, none kept on disk.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    # What mlflow and its database library deprecate in each other is not ours to mend.
    config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning:(mlflow|sqlalchemy|alembic).*")


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


@pytest.fixture
def make_session() -> Iterator[MakeSession]:
    """make_session("finishes", tracker): a session of such workers, which is closed after the test."""
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
    """start("finishes", tracker): an application whose workers are that script of tests/workers."""
    made: list[Application] = []

    def make(script: str, tracker: MemoryTracker | None = None, **known: Any) -> Application:
        session = Session(_pool=PoolOf(script), _trackers={applications.HERE: tracker} if tracker else {})
        made.append(Application(session, **known))
        return made[-1]

    yield make
    for one in made:
        one.session.close()
