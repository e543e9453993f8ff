"""What the acceptance tests share."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from acceptance.projects import SMALL, Project, reached

_BROWSER_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-component-update "
    "--disable-background-networking --disable-sync --hide-scrollbars --window-size=1600,1200"
)


@pytest.fixture(scope="module")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Project]]:
    """new_project(NAME=VALUE) is an empty project; the variables are of its environment."""
    made: list[Project] = []

    def make(**variables: str) -> Project:
        made.append(Project(tmp_path_factory.mktemp("project"), variables))
        return made[-1]

    yield make
    for project in made:
        for process in project.processes():
            process.kill()


@pytest.fixture
def lab(new_project: Callable[..., Project]) -> Project:
    """An empty project of one test."""
    return new_project()


@pytest.fixture(scope="module")
def swept(new_project: Callable[..., Project]) -> tuple[Project, str]:
    """A project with a sweep of two seeds on two backends, and what the sweep printed."""
    project = new_project()
    answer = project.run("-m", *SMALL, "seed=range(2)", "backend=jax,theano")
    assert answer.returncode == 0, answer.stderr
    return project, answer.stdout


@pytest.fixture
def serve(new_project: Callable[..., Project]) -> Iterator[Callable[..., str]]:
    """serve(project) starts `mlflow server` on the project's store and returns its address."""
    servers = Servers()
    yield servers
    servers.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium without a window. It logs what its pages complain of and what they ask of the network."""
    from selenium import webdriver

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        missing = "chromium" if chromium is None else "chromedriver"
        pytest.fail(f"a test of what a browser shows needs {missing}: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in [*_BROWSER_FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield opened
    opened.quit()


class Servers:
    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def __call__(self, project: Project, port: int | None = None) -> str:
        port = port or free_port()
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", project.store]
        address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        log = (project.folder / "server.log").open("ab")
        with log:
            server = subprocess.Popen(
                [*command, *address],
                cwd=project.folder,
                env={**project.environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=log,
                stderr=log,
            )
        self._running.append(server)
        up = reached(lambda: is_open(port) or server.poll() is not None, within=120)
        assert up, "mlflow server did not start within two minutes"
        assert server.poll() is None, (project.folder / "server.log").read_text()
        return f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        """Ask each to leave, with the worker processes that it has."""
        while self._running:
            server = self._running.pop()
            server.terminate()
            server.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def places() -> list[tuple[str, str]]:
    """(runtime, backend) of everything that `backendexp doctor` says can run here."""
    command = [sys.executable, "-m", "backendexp", "doctor", "--json"]
    findings = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return [(f["runtime"], f["backend"]) for f in findings if f["state"] != "missing"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `runtime` and `backend` is run for everything that can run here."""
    if {"runtime", "backend"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("runtime", "backend"), places())
