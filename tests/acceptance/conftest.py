"""Fixtures for the acceptance tests."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.projects import Project
from support.servers import Servers, places

_BROWSER_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-component-update "
    "--disable-background-networking --disable-sync --hide-scrollbars --window-size=1600,1200"
)


@pytest.fixture(scope="module")
def new_project(
    tmp_path_factory: pytest.TempPathFactory, empty_store: bytes
) -> Iterator[Callable[..., Project]]:
    """A function that makes a project with a store that holds no run: new_project(NAME=VALUE) sets variables
    of its environment, and new_project(store=False) makes an empty folder.
    """
    made: list[Project] = []

    def make(*, store: bool = True, **variables: str) -> Project:
        project = Project(tmp_path_factory.mktemp("project"), variables)
        made.append(project)
        if store:
            (project.folder / "mlflow.db").write_bytes(empty_store)
        return project

    yield make
    for project in made:
        for process in project.processes():
            process.kill()


@pytest.fixture
def lab(new_project: Callable[..., Project]) -> Project:
    """A project for one test, whose store holds no run."""
    return new_project()


@pytest.fixture
def empty_lab(new_project: Callable[..., Project]) -> Project:
    """An empty folder as the project of one test: what is in it afterwards was made by the test."""
    return new_project(store=False)


@pytest.fixture
def serve(new_project: Callable[..., Project]) -> Iterator[Callable[..., str]]:
    """A function: serve(project) starts `mlflow server` on the project's store and returns its address."""
    servers = Servers()
    yield servers
    servers.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium without a window. It logs the errors of its pages and their requests to the network."""
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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes `runtime` and `backend` once for every backend that can run here."""
    if {"runtime", "backend"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("runtime", "backend"), places())
