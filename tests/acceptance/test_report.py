"""The pages of experiment=compare and experiment=scale as a person sees them: light, dark, and on a phone."""

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backendexp.experiments.blocks import Entrants
from backendexp.experiments.scale import ScaleStudy, Settings
from backendexp.reporting import artifacts, figures, report
from support import streams
from support.pictured import pictured
from support.stores import spec_of

pytestmark = pytest.mark.slow

PHONE = 390
VIEWS = {
    "light": ("light", 1280),
    "dark": ("dark", 1280),
    "phone": ("light", PHONE),
    "phone-dark": ("dark", PHONE),
}

# Every piece of text with its colour and what is behind it, as [text, colour, background].
TEXTS = """
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
  if (!text || ['STYLE', 'style', 'title', 'desc'].includes(element.tagName)) continue;
  const style = getComputedStyle(element), isDrawn = element.tagName === 'text';
  let behind = element;
  while (behind && ['rgba(0, 0, 0, 0)', 'transparent'].includes(getComputedStyle(behind).backgroundColor))
    behind = behind.parentElement;
  const ground = getComputedStyle(behind || document.body).backgroundColor;
  found.push([text, isDrawn ? style.fill : style.color, ground]);
}
return found;
"""
# Of every figure: its box, and of its text [text, height in pixels of the screen, does it stick out].
FIGURES = """
return [...document.querySelectorAll('svg.figure')].map(svg => {
  const box = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll('text')].map(text => {
    const own = text.getBoundingClientRect();
    const size = parseFloat(getComputedStyle(text).fontSize) * svg.getScreenCTM().a;
    return [text.textContent, size, own.left < box.left - 1 || own.right > box.right + 1
      || own.top < box.top - 1 || own.bottom > box.bottom + 1 || own.left < 0 || own.right > innerWidth];
  });
  return {name: svg.getAttribute('aria-labelledby'), width: box.width, height: box.height, texts};
});
"""


@dataclass(frozen=True)
class Page:
    """figures: their names, in their order. texts: at least so many pieces of text stand on it."""

    file: Path
    figures: list[str]
    texts: int


def report_page(folder: Path) -> Page:
    file = folder / "report.html"
    file.write_text(report.html(pictured()), encoding="utf-8")
    return Page(file, [figure.name for figure in figures.of(pictured())], 200)


def scale_page(folder: Path) -> Page:
    """Of three backends, of which two cross, with a run that failed."""
    specs = tuple(spec_of(backend, data__samples=1000) for backend in ("tensorflow", "jax", "theano"))
    study = ScaleStudy(
        Entrants(specs, ()), Settings(samples=[1000, 10_000, 100_000], hidden_units=[16, 64], repeats=2)
    )
    fixed = {"tensorflow": 1.0, "jax": 0.6, "theano": 0.05}
    records = []
    for run in (run for run in study.runs if not run.warm_up):
        growth = run.spec.data.samples * run.spec.model.hidden_units[0] * (1e-6 + 1e-7 * run.spec.seed)
        taken = streams.whole(training_time_s=fixed[run.spec.backend] + growth / fixed[run.spec.backend])
        stream = taken if records else streams.killed_in_epoch_3()
        records.append(streams.record_of(folder / "runs", run.spec, stream, tags=dict(run.tags)))
    concluded = study.conclude("2026-11-22/10-00-00", folder, records)
    assert concluded.report is not None
    measures = ("training_time_s", "time-steady_epoch_s", "memory-peak_mib")
    sizes = ("samples", "units-a-layer")
    return Page(concluded.report, [f"scaling-{m}-{size}" for size in sizes for m in measures], 150)


@pytest.fixture(scope="module", params=[report_page, scale_page], ids=["compare", "scale"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Page:
    made: Page = request.param(tmp_path_factory.mktemp("page"))
    return made


@pytest.fixture(params=VIEWS)
def view(request: pytest.FixtureRequest, browser: Any, page: Page) -> Any:
    """The browser, with the page open in one of VIEWS."""
    open_in(browser, page, request.param)
    return browser


def open_in(browser: Any, page: Page, view: str) -> None:
    scheme, width = VIEWS[view]
    scheme_of_view = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme_of_view})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # What was there before is not this page's.
    browser.get(page.file.as_uri())
    keep_screenshot(browser, f"{page.file.stem}-{view}", width)


def keep_screenshot(browser: Any, name: str, width: int) -> None:
    """The whole page, where BACKENDEXP_SCREENSHOTS says."""
    folder = os.environ.get("BACKENDEXP_SCREENSHOTS")
    if folder:
        height = browser.execute_script("return document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = browser.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


def test_all_figures_are_seen_and_can_be_read(view: Any, page: Page) -> None:
    drawn = view.execute_script(FIGURES)
    assert [figure["name"].split("-title")[0] for figure in drawn] == page.figures
    for figure in drawn:
        assert figure["width"] > 300
        assert figure["height"] > 100
        assert len(figure["texts"]) > 3
        for text, size, sticks_out in figure["texts"]:
            assert size >= 11, text
            assert not sticks_out, text


def test_page_is_no_wider_than_the_screen(view: Any) -> None:
    assert view.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_wide_tables_scroll_in_their_own_box(browser: Any, page: Page) -> None:
    open_in(browser, page, "phone")
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('.wide')]"
        ".map(box => [box.scrollWidth > box.clientWidth, box.clientWidth])"
    )
    assert any(scrolls for scrolls, _ in boxes)
    assert all(width <= PHONE for _, width in boxes)


def test_all_text_has_the_contrast_that_wcag_asks_for(view: Any, page: Page) -> None:
    texts = view.execute_script(TEXTS)
    assert len(texts) > page.texts
    for text, colour, behind in texts:
        assert contrast(colour, behind) >= 4.5, (text, colour, behind)


def test_dark_page_is_dark_and_light_page_is_light(browser: Any, page: Page) -> None:
    grounds = []
    for name in ("light", "dark"):
        open_in(browser, page, name)
        grounds.append(
            browser.execute_script(
                "return [document.body, document.querySelector('svg.figure path')]"
                ".map((e, n) => getComputedStyle(e)[n ? 'fill' : 'backgroundColor'])"
            )
        )
    (light, light_figure), (dark, dark_figure) = grounds
    assert (light, dark) == (light_figure, dark_figure)
    assert luminance(light) > 0.9
    assert luminance(dark) < 0.05


def test_nothing_is_asked_of_the_network_and_nothing_complains(view: Any, page: Page) -> None:
    sent = [json.loads(entry["message"])["message"] for entry in view.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert page.file.as_uri() in asked
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert [url for url in asked if url.startswith("file")] == [page.file.as_uri()]
    assert view.get_log("browser") == []


def test_figures_that_stand_alone_are_drawn_too(browser: Any, tmp_path: Path) -> None:
    folder = artifacts.write(pictured(), tmp_path / "comparison").folder
    files = sorted((folder / "figures").iterdir())
    assert len(files) == 6
    for file in files:
        browser.get(file.as_uri())
        width, height = browser.execute_script(
            "const box = document.documentElement.getBoundingClientRect(); return [box.width, box.height]"
        )
        assert (width, height > 100) == (400, True), file.name


def luminance(colour: str) -> float:
    """WCAG's relative luminance of rgb(r, g, b)."""
    encoded = [int(part) / 255 for part in colour.strip("rgba()").split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in encoded]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)
