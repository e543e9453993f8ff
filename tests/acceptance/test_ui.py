"""What a person sees in the browser: the links that a sweep prints open pages that show its runs."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backendexp.tracking.links import run_link
from support.projects import Project, after_sweep, reached, trained
from support.servers import free_port, is_open

pytestmark = pytest.mark.slow

PATIENCE_S = 60


@pytest.fixture(scope="module")
def swept(new_project: Callable[..., Project]) -> tuple[Project, str]:
    """A project with a sweep of four runs, and the output of the sweep."""
    return after_sweep(new_project(), "seed=range(4)", "backend=theano")


@pytest.fixture(scope="module")
def links(swept: tuple[Project, str]) -> Iterator[dict[str, str]]:
    """The links of the sweep by what they are called, on a `backendexp ui` that runs."""
    project, printed = swept
    port = free_port()
    server = project.start_anew("ui", f"port={port}")
    try:
        assert reached(lambda: is_open(port) or server.poll() is not None, 120)
        assert server.poll() is None, server.communicate()[1]
        told = dict(re.findall(r"^  (experiment|compare)  (\S+)$", printed, flags=re.MULTILINE))
        assert set(told) == {"experiment", "compare"}
        yield {name: link.replace(":5000", f":{port}", 1) for name, link in told.items()}
    finally:
        server.terminate()
        server.communicate(timeout=30)


def test_the_experiment_link_shows_the_runs_of_the_sweep(
    swept: tuple[Project, str], links: dict[str, str], browser: Any
) -> None:
    shown = open_until(browser, links["experiment"], names(swept[0]))
    keep_screenshot(browser, "experiment")
    for name in names(swept[0]):
        assert name in shown


def test_the_charts_have_a_section_for_each_group_of_metrics(links: dict[str, str], browser: Any) -> None:
    open_until(browser, f"{links['experiment']}&compareRunsMode=CHART", [])
    wanted = {"time", "train", "test", "memory"}
    reached(lambda: wanted <= first_words(browser) and charts(browser), PATIENCE_S)
    keep_screenshot(browser, "charts")
    assert wanted <= first_words(browser), page_text(browser)
    assert charts(browser)


def test_the_page_of_a_run_shows_its_metrics(
    swept: tuple[Project, str], links: dict[str, str], browser: Any
) -> None:
    run = trained(swept[0].tracked())[0]
    server, _, _ = links["experiment"].partition("/#/")
    link = run_link(server, run.info.experiment_id, run.info.run_id)
    metrics = ["training_time_s", "test/accuracy", "memory/peak_mib"]
    shown = open_until(browser, link, metrics)
    keep_screenshot(browser, "run")
    assert run.info.run_name in shown
    for metric in metrics:
        assert metric in shown


def test_the_compare_link_shows_the_runs_side_by_side(
    swept: tuple[Project, str], links: dict[str, str], browser: Any
) -> None:
    shown = open_until(browser, links["compare"], ["Comparing 4 Runs"])
    keep_screenshot(browser, "compare")
    assert "Comparing 4 Runs" in shown
    for run in trained(swept[0].tracked()):
        assert run.info.run_name in shown or run.info.run_id in shown


def names(project: Project) -> list[str]:
    return [run.info.run_name for run in project.tracked()]


def open_until(browser: Any, link: str, texts: list[str]) -> str:
    """The text of the page, once it holds all of `texts`, or when the patience is over."""
    browser.get("about:blank")  # else a link that differs after the # alone keeps the old page
    browser.get(link)
    reached(lambda: all(text in page_text(browser) for text in texts), PATIENCE_S)
    return page_text(browser)


def page_text(browser: Any) -> str:
    return str(browser.execute_script("return document.body ? document.body.innerText : ''"))


def first_words(browser: Any) -> set[str]:
    """Of every line: the title of a section stands before the number of its charts."""
    return {line.split()[0] for line in page_text(browser).splitlines() if line.strip()}


def charts(browser: Any) -> list[Any]:
    return list(browser.find_elements("css selector", ".js-plotly-plot"))


def keep_screenshot(browser: Any, name: str) -> None:
    """Save what the browser shows in the folder that BACKENDEXP_SCREENSHOTS names, for a person to see."""
    folder = os.environ.get("BACKENDEXP_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        assert browser.save_screenshot(str(Path(folder) / f"{name}.png"))
