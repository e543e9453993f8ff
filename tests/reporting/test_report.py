"""The page of a comparison is complete, is harmless, and loads nothing."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from backendexp.analysis.findings import Comparison, TrackedRun
from backendexp.analysis.pipeline import analyse
from backendexp.reporting import report
from backendexp.reporting.report import MOST_RUNS
from backendexp.runs import measures
from support.pictured import OUT_OF_MEMORY, on_keras2, parity_runs, pictured, timed_runs, with_troubles
from support.tracked import sweep_runs

HOSTILE = '</style><script>alert("1")</script>&amp;<img src=x onerror=alert(1)>\x1b[31m'
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Parses a page, and fails if tags do not match. `elements` has the tag, the attributes and the direct
    text of each element, in order.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[tuple[str, dict[str, str], list[str]]] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        element: tuple[str, dict[str, str], list[str]] = (tag, {k: v or "" for k, v in attrs}, [])
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1][2].append(data)

    def texts(self, *tags: str) -> list[str]:
        return ["".join(text).strip() for tag, _, text in self.elements if tag in tags]

    def has(self, tag: str) -> int:
        return sum(tag == found for found, _, _ in self.elements)


def page_of(comparison: Comparison) -> Page:
    return Page(report.html(comparison))


def of(runs: list[TrackedRun], **settings: Any) -> Comparison:
    return analyse(runs, title="a title", **settings)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return pictured()


@pytest.fixture(scope="module")
def text(comparison: Comparison) -> str:
    return report.html(comparison)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_verdicts_come_before_figures_tables_and_all_else(
    page: Page, text: str, comparison: Comparison
) -> None:
    said = page.texts("p")
    for sentence in comparison.headlines():
        assert sentence in said
    places = [text.index(f">{heading}<") for heading in ("Ratio to the baseline", "Medians and quartiles")]
    assert max(text.index(sentence[:40]) for sentence in comparison.headlines()) < places[0] < places[1]


def test_verdicts_are_words_with_a_mark(page: Page, comparison: Comparison) -> None:
    words = [
        "".join(text).strip()
        for tag, attrs, text in page.elements
        if "verdict" in attrs.get("class", "").split()
    ]
    contrasts = [c.verdict for c in (*comparison.contrasts, *comparison.qualities)]
    assert set(contrasts) <= set(words)
    assert {"same", "luck"} <= set(words)
    # The others are 3 answers for each of the 2 pairs with the baseline, and the two words above.
    assert len(words) == len(contrasts) + 2 * 3 + 2
    marks = [text for tag, attrs, text in page.elements if tag == "i"]
    assert len(marks) == len(words)
    assert all("".join(mark).strip() for mark in marks)


def test_headings_are_in_order(page: Page) -> None:
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_tables_have_headers_and_a_name_for_users_who_scroll_by_keyboard(page: Page) -> None:
    assert page.has("table") == 7
    scopes = {attrs.get("scope") for tag, attrs, _ in page.elements if tag == "th"}
    assert scopes == {"col", "row", "rowgroup"}
    boxes = [attrs for _, attrs, _ in page.elements if attrs.get("class") == "wide"]
    assert len(boxes) == 7
    names = [box["aria-label"] for box in boxes]
    assert len(set(names)) == 7
    assert all(box["tabindex"] == "0" and box["role"] == "region" for box in boxes)


def test_page_has_a_language_a_title_and_a_width(page: Page) -> None:
    assert next(attrs for tag, attrs, _ in page.elements if tag == "html")["lang"] == "en"
    assert page.texts("title")[0] == "tensorflow, jax and theano on keras3, 2026-11-22/10-00-00"
    assert any(attrs.get("name") == "viewport" for _, attrs, _ in page.elements)


def test_page_loads_nothing_and_forbids_loading(text: str, page: Page) -> None:
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert not re.findall(r"url\((?!#)|@import", text)
    assert not {tag for tag, _, _ in page.elements} & {"script", "img", "iframe", "image", "object"}
    links = [attrs[key] for _, attrs, _ in page.elements for key in ("src", "href") if key in attrs]
    assert all(link.startswith("#") or link == "data:," for link in links)
    (policy,) = [attrs["content"] for _, attrs, _ in page.elements if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'")


def test_identifiers_are_unique_and_links_point_to_them(page: Page) -> None:
    identifiers = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(identifiers) == len(set(identifiers))
    links = {attrs["href"][1:] for _, attrs, _ in page.elements if attrs.get("href", "").startswith("#")}
    assert "notes" in links
    assert links <= set(identifiers)


def test_medians_of_every_group_are_shown(page: Page, comparison: Comparison) -> None:
    cells = page.texts("td")
    for group in comparison.groups:
        assert f"{group.spreads['accuracy'].median:.3f}" in cells
        assert f"{group.spreads['memory/peak_mib'].median:.0f}" in cells
        assert group.engine in page.texts("small")


def test_every_run_is_a_row_with_failures_and_outliers_marked(page: Page, comparison: Comparison) -> None:
    names = page.texts("th")
    for group in comparison.groups:
        for run in group.runs:
            assert run.name in names
    assert "FAILED: out_of_memory" in page.texts("td")
    marked = [
        "".join(text) for tag, attrs, text in page.elements if tag == "td" and attrs.get("class") == "outlier"
    ]
    shown = [m.key for m in measures.compared(keys=["accuracy"]) if m.column is not None]
    known = sum(len(group.outliers.get(key, ())) for group in comparison.groups for key in shown)
    assert len(marked) == known >= 1


def test_equal_settings_and_notes_are_shown(page: Page, comparison: Comparison) -> None:
    assert {**comparison.versions, **comparison.common}.keys() == set(page.texts("dt"))
    assert {*comparison.versions.values(), *comparison.common.values()} == set(page.texts("dd"))
    items = page.texts("li")
    assert comparison.notes
    for note in comparison.notes:
        assert note in items


def test_names_from_outside_are_escaped() -> None:
    runs = [
        replace(run, name=HOSTILE, params={**run.params, "data.path": HOSTILE})
        for run in changed_engine(timed_runs({"jax": 1.0, "theano": 1.2}, blocks=3))
    ]
    page = Page(report.html(analyse(runs, title=HOSTILE)))
    assert not {tag for tag, _, _ in page.elements} & {"script", "img"}
    harmless = HOSTILE.replace("\x1b", "\N{REPLACEMENT CHARACTER}")
    assert page.texts("title")[0] == harmless
    assert harmless in page.texts("dd")
    assert page.texts("th").count(harmless) == 6
    assert any(HOSTILE[:20] in shown for shown in page.texts("small"))


def changed_engine(runs: list[TrackedRun]) -> list[TrackedRun]:
    return [replace(run, tags={**run.tags, "engine": HOSTILE}) for run in runs]


def test_failed_group_and_unknown_numbers_are_dashes() -> None:
    runs = [
        replace(run, **OUT_OF_MEMORY, values={}) if run.backend == "jax" else run
        for run in timed_runs(blocks=4)
    ]
    page = page_of(of(runs))
    assert page.texts("td").count("FAILED: out_of_memory") == 4
    assert "0" in page.texts("td")
    assert "of 4" in page.texts("td")
    assert not any(word in cell for cell in page.texts("td", "p") for word in ("None", "nan", "inf"))


def test_pair_without_any_verdict_says_why_once() -> None:
    old = on_keras2(timed_runs({"tensorflow": 1.0, "theano": 3.0}, blocks=3))
    page = page_of(of([*timed_runs({"tensorflow": 1.0, "jax": 2.0}, blocks=3), *old]))
    said = [line for line in page.texts("p") if line.startswith("No verdict on times or accuracy")]
    assert len(said) == page.texts("h2").count("tensorflow (keras2) against tensorflow (keras3)") + (
        page.texts("h2").count("theano (keras2) against tensorflow (keras3)")
    )
    assert said
    assert all("different Keras: 3.15.1 and 2.3.1" in line for line in said)


def test_backend_that_computes_something_else_is_named_at_the_top() -> None:
    runs = parity_runs()
    runs[2] = replace(runs[2], loss_by_epoch=tuple(loss + 0.1 for loss in runs[2].loss_by_epoch))
    said = page_of(of([*timed_runs(), *runs])).texts("p")
    assert any(line.startswith("theano computes something else: its losses are 1.0e-1 away") for line in said)


def test_unchecked_parity_and_learnable_labels_are_reported() -> None:
    runs = [replace(r, params={**r.params, "data.kind": "signal"}) for r in timed_runs(blocks=4)]
    page = page_of(of(runs))
    assert "Whether the backends compute the same was not checked." in page.texts("p")
    assert "Accuracy and chance" not in page.texts("h2")


def test_question_is_about_the_sweeps_where_two_are_compared() -> None:
    runs = timed_runs({"jax": 1.0, "theano": 1.2}, blocks=3)
    later = [
        replace(
            run,
            run_id=f"b{run.run_id}",
            sweep="2026-11-23/10-00-00",
            began_ms=run.began_ms + 10**8,
            ended_ms=run.began_ms + 10**8 + 1000,
        )
        for run in runs
    ]
    assert page_of(of([*runs, *later], by_sweep=True)).texts("h1") == ["What changed between the sweeps?"]
    assert page_of(of(runs)).texts("h1") != ["What changed between the sweeps?"]


def test_page_of_five_thousand_runs_shows_all_unusual_ones() -> None:
    runs = with_troubles(sweep_runs({"tensorflow": 1.0, "theano": 1.2, "jax": 1.1}, blocks=1_667))
    found = of(runs)
    text = report.html(found)
    assert len(text) < 3_000_000
    page = Page(text)
    assert page.texts("summary")[-1] == f"{MOST_RUNS} runs"
    assert any(line.startswith("The first 500 of 5,001 runs") for line in page.texts("p"))
    assert page.texts("td").count("FAILED: out_of_memory") == 1
    outliers = {run_id for group in found.groups for ids in group.outliers.values() for run_id in ids}
    names = set(page.texts("th"))
    odd = [run for run in runs if run.run_id in outliers or run.status != "FINISHED"]
    assert 1 < len(odd) <= MOST_RUNS
    assert all(run.name in names for run in odd)
    folded = [attrs for tag, attrs, _ in page.elements if tag == "details"][-1]
    assert "open" not in folded


def test_equal_comparisons_give_equal_pages(text: str) -> None:
    assert report.html(pictured()) == text


def test_page_says_at_both_tables_that_the_intervals_are_not_adjusted(page: Page) -> None:
    said = [line for line in page.texts("p") if "not adjusted for the number of comparisons" in line]
    assert len(said) == 2
    assert all("a verdict that two sides differ uses Holm's adjusted p" in line for line in said)
