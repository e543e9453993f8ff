"""The figures show the right numbers, which the tests read from their SVG."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import matplotlib
import numpy as np
import pytest

from backendexp.analysis.findings import (
    Comparison,
    ScalePoint,
)
from backendexp.analysis.pipeline import analyse
from backendexp.reporting import figures, palette
from backendexp.reporting.canvas import MARGIN
from backendexp.reporting.figures import phase_medians
from backendexp.reporting.svg import WIDTH, Figure
from support.pictured import on_keras2, parity_runs, pictured, timed_runs
from support.tracked import TIMES, run_of, sweep_runs

ALL = ["ratios", "time-by-phase", "steady-epoch", "learning-curves", "quality", "parity"]
STEADY, TRAINING = "time/steady_epoch_s", next(m for m in TIMES if m.key == "training_time_s")
HOSTILE = '<script>alert("1")</script> & $\\frac{$ \x1b[31m 漢字'


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return pictured()


def texts_of(comparison: Comparison) -> dict[str, str]:
    """Return the SVG text of each figure by its name."""
    return {figure.name: figure.text for figure in figures.of(comparison)}


@pytest.fixture(scope="module")
def files(comparison: Comparison) -> dict[str, str]:
    return texts_of(comparison)


@pytest.fixture(scope="module")
def drawn(files: dict[str, str]) -> dict[str, Element]:
    return {name: ElementTree.fromstring(text) for name, text in files.items()}


def shown(kind: Callable[[Comparison], Figure | None], comparison: Comparison) -> Element:
    figure = kind(comparison)
    assert figure is not None
    return ElementTree.fromstring(figure.text)


def part(root: Element, identifier: str) -> Element:
    return next(element for element in root.iter() if element.get("id") == identifier)


def marks(root: Element, identifier: str) -> list[tuple[float, float]]:
    """Return the positions of the marks in an element."""
    found = part(root, identifier).iter("{http://www.w3.org/2000/svg}use")
    return [(float(mark.attrib["x"]), float(mark.attrib["y"])) for mark in found]


def texts(root: Element) -> list[str]:
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def bars(root: Element, colour: str) -> list[float]:
    """Return the widths of the rectangles of a colour that are as tall as a bar of the time by phase."""
    found = []
    for path in root.iter("{http://www.w3.org/2000/svg}path"):
        if path.get("style", "").startswith(f"fill: {colour}"):
            x, y = np.array(re.findall(r"[ML] (\S+) (\S+)", path.attrib["d"]), dtype=float).T
            if round(np.ptp(y)) == 18:
                found.append(float(np.ptp(x)))
    return found


# -- properties of all figures -----------------------------------------------------------------------


def test_all_figures_are_drawn_in_the_order_of_a_report(drawn: dict[str, Element]) -> None:
    assert list(drawn) == ALL


def test_each_has_a_title_and_a_description_with_its_numbers(
    drawn: dict[str, Element], comparison: Comparison
) -> None:
    for name, root in drawn.items():
        assert root.get("role") == "img"
        labels = {part(root, identifier).text for identifier in root.attrib["aria-labelledby"].split()}
        assert None not in labels
        assert len(labels) == 2
        assert "theano" in str(part(root, f"{name}-description").text)
    median = comparison.group("theano").spreads[STEADY].median
    assert f"theano: median {median * 1000:.2f} ms" in str(
        part(drawn["steady-epoch"], "steady-epoch-description").text
    )


def test_each_has_room_for_its_text_at_a_phones_width(drawn: dict[str, Element]) -> None:
    for root in drawn.values():
        _, _, width, _ = map(float, root.attrib["viewBox"].split())
        assert width == WIDTH
        sizes = re.findall(r"font(?:-size)?: (?:bold )?([\d.]+)px", ElementTree.tostring(root, "unicode"))
        assert sizes
        assert min(map(float, sizes)) * 358 / width > 11


def test_every_colour_has_a_dark_one(files: dict[str, str]) -> None:
    for text in files.values():
        body = text.partition("</style>")[2]
        fixed = re.findall(r"(?:fill|stroke): (#\w{6})(?!; (?:fill|stroke): var\(--)", body)
        assert fixed == []
        assert set(re.findall(r"var\(--([\w-]+)\)", body)) <= set(palette.NAMES.values())


def test_identifiers_are_unique_on_a_page_with_all_figures(files: dict[str, str]) -> None:
    page = "".join(files.values())
    identifiers = re.findall(r' id="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    assert set(re.findall(r' href="#([^"]+)"', page)) <= set(identifiers)
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(identifiers)


def test_nothing_is_loaded_from_anywhere(files: dict[str, str]) -> None:
    for text in files.values():
        assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert set(re.findall(r"(?:href|src)=.", text)) <= {'href="'}
        assert not re.findall(r'href="(?!#)|url\((?!#)|@import|<script|<image', text)


def test_equal_comparisons_give_equal_figures_with_any_matplotlib_settings(
    files: dict[str, str],
) -> None:
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert texts_of(pictured()) == files
        assert matplotlib.rcParams["font.size"] == 30


def test_drawing_needs_no_pyplot() -> None:
    code = "from backendexp.reporting import figures; import sys; print('matplotlib.pyplot' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"


# -- what each figure shows --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "key"), [("steady-epoch", STEADY), ("quality", "accuracy")])
def test_every_finished_run_is_a_mark_at_its_number(
    drawn: dict[str, Element], comparison: Comparison, name: str, key: str
) -> None:
    values, places = [], []
    for number, group in enumerate(comparison.groups):
        found = marks(drawn[name], f"{name}-runs-{number}")
        assert len(found) == len(group.finished)
        places += [x for x, _ in found]
        values += [run.values[key] for run in group.finished]
    slope, offset = np.polyfit(values, places, 1)
    assert slope > 0
    np.testing.assert_allclose(slope * np.array(values) + offset, places, atol=0.02)
    assert min(places) >= MARGIN
    assert max(places) <= WIDTH - MARGIN


def test_runs_of_one_number_do_not_hide_each_other() -> None:
    runs = [
        run_of(backend, seed, seed * 2 + n)
        for seed in range(20)
        for n, backend in enumerate(("jax", "theano"))
    ]
    root = shown(figures.steady_epoch, analyse(runs, title="alike"))
    found = marks(root, "steady-epoch-runs-0")
    assert len({x for x, _ in found}) == 1
    assert len({y for _, y in found}) == 20


def test_outliers_have_a_ring(drawn: dict[str, Element], comparison: Comparison) -> None:
    for number, group in enumerate(comparison.groups):
        ids = group.outliers.get(STEADY, ())
        runs = marks(drawn["steady-epoch"], f"steady-epoch-runs-{number}")
        if ids:
            ringed = marks(drawn["steady-epoch"], f"steady-epoch-outliers-{number}")
            assert ringed == [
                place for place, run in zip(runs, group.finished, strict=True) if run.run_id in ids
            ]
    assert comparison.group("theano").outliers[STEADY]


@pytest.mark.parametrize(("slowest", "is_logarithmic"), [(20.0, False), (60.0, True)])
def test_axis_is_logarithmic_for_a_wide_range_only(slowest: float, is_logarithmic: bool) -> None:
    found = analyse(sweep_runs({"tensorflow": 1.0, "theano": slowest}, noise=0.01), title="")
    root = shown(figures.steady_epoch, found)
    assert any("logarithmic" in text for text in texts(root)) is is_logarithmic


def test_times_are_in_milliseconds_where_they_are_short() -> None:
    short = analyse(sweep_runs({"tensorflow": 1.0, "theano": 1.5}), title="")
    long = analyse(sweep_runs({"tensorflow": 100.0, "theano": 150.0}), title="")
    assert "steady epoch, ms" in texts(shown(figures.steady_epoch, short))
    assert "steady epoch, s" in texts(shown(figures.steady_epoch, long))


def test_bars_are_as_long_as_the_medians_of_the_phases(
    drawn: dict[str, Element], comparison: Comparison
) -> None:
    medians = np.array([phase_medians(group) for group in comparison.groups])
    widths = np.array([bars(drawn["time-by-phase"], colour)[:3] for colour in palette.PHASES]).T
    assert widths.shape == medians.shape
    np.testing.assert_allclose(widths / widths.sum(), medians / medians.sum(), atol=1e-4)


def test_phases_of_training_add_up_to_it() -> None:
    (group, _) = analyse(timed_runs({"jax": 1.0, "theano": 1.0}, noise=0.0), title="").groups
    _, _, compilation, rest, _ = phase_medians(group)
    assert compilation + rest == pytest.approx(group.spreads["training_time_s"].median)


def test_second_panel_leaves_out_a_dominating_import() -> None:
    for import_s, panels in ((100.0, 2), (0.1, 1)):
        runs = timed_runs({"jax": 1.0, "theano": 1.2})
        runs = [replace(run, values={**run.values, "time/import_s": import_s}) for run in runs]
        root = shown(figures.time_by_phase, analyse(runs, title=""))
        assert ("without the import" in texts(root)) is (panels == 2)
        # The phases are import and compilation.
        assert [len(bars(root, palette.PHASES[phase])) for phase in (0, 2)] == [2, panels * 2]


def test_each_measure_of_each_candidate_has_its_ratio(
    drawn: dict[str, Element], comparison: Comparison
) -> None:
    contrasts = [c for c in comparison.contrasts if c.baseline == "tensorflow" and c.ratio is not None]
    assert {c.candidate for c in contrasts} == {"jax", "theano"}
    found = [marks(drawn["ratios"], f"ratios-ratio-{number}")[0] for number in range(1, len(contrasts) + 1)]
    order = [(c.candidate, c) for c in contrasts]
    ratios = np.log([c.ratio for _, c in order if c.ratio is not None])
    slope, offset = np.polyfit(ratios, [x for x, _ in found], 1)
    np.testing.assert_allclose(slope * ratios + offset, [x for x, _ in found], atol=0.05)
    with pytest.raises(StopIteration):
        part(drawn["ratios"], f"ratios-ratio-{len(contrasts) + 1}")


def test_ratio_without_a_verdict_is_hollow() -> None:
    apart = parity_runs()[:2]
    apart[1] = replace(apart[1], loss_by_epoch=tuple(loss + 1 for loss in apart[1].loss_by_epoch))
    found = analyse([*timed_runs({"tensorflow": 1.0, "jax": 2.0}), *apart], title="")
    root = shown(figures.ratios, found)
    contrasts = [c for c in found.contrasts if c.ratio is not None]
    hollow = [
        f"fill: {palette.SURFACE}" in ElementTree.tostring(part(root, f"ratios-ratio-{number}"), "unicode")
        for number in range(1, len(contrasts) + 1)
    ]
    assert hollow == [c.verdict == "withheld" for c in contrasts]
    assert True in hollow
    assert False in hollow


def test_groups_of_another_keras_have_no_ratio_to_this_one() -> None:
    old = on_keras2(timed_runs({"tensorflow": 1.0, "theano": 3.0}))
    found = analyse([*timed_runs({"tensorflow": 1.0, "jax": 2.0}), *old], title="")
    said = texts(shown(figures.ratios, found))
    over = [(label, below) for label, below in pairwise(said) if below.startswith("over ")]
    assert sorted(over) == [
        ("jax (keras3)", "over tensorflow (keras3)"),
        ("theano (keras2)", "over tensorflow (keras2)"),
    ]


def test_curves_are_medians_over_the_runs_that_reached_an_epoch() -> None:
    runs = timed_runs({"jax": 1.0, "theano": 1.2}, blocks=3)
    lengths = (2, 4, 4)
    runs = [
        replace(run, loss_by_epoch=tuple([float(run.seed)] * lengths[run.seed]), quality_by_epoch=())
        for run in runs
    ]
    root = shown(figures.learning_curves, analyse(runs, title=""))
    assert "1.50 after epoch 4" in texts(root)
    assert "training accuracy" not in texts(root)


def test_quality_shows_the_band_of_luck_for_coin_flips_only(comparison: Comparison) -> None:
    figure = figures.quality(comparison)
    assert figure is not None
    assert "coin flips" in figure.caption
    assert palette.BAND in figure.text.partition("</style>")[2]
    learned = [
        replace(run, params={**run.params, "data.kind": "signal"})
        for run in timed_runs({"jax": 1.0, "theano": 1.2})
    ]
    figure = figures.quality(analyse(learned, title=""))
    assert figure is not None
    assert "coin flips" not in figure.caption
    assert palette.BAND not in figure.text.partition("</style>")[2]


def test_distance_beyond_rounding_has_a_ring_and_says_so() -> None:
    runs = parity_runs()
    runs[2] = replace(runs[2], loss_by_epoch=tuple(loss + 0.1 for loss in runs[2].loss_by_epoch))
    found = analyse([*timed_runs(), *runs], title="")
    root = shown(figures.parity, found)
    order = list(found.parity.distances)
    assert marks(root, f"parity-beyond-{order.index('theano')}")
    with pytest.raises(StopIteration):
        part(root, f"parity-beyond-{order.index('jax')}")
    assert sum("BEYOND" in text for text in texts(root)) == 1


def test_distance_of_zero_is_at_the_edge() -> None:
    runs = parity_runs()
    runs[1] = replace(runs[1], loss_by_epoch=runs[0].loss_by_epoch)
    found = analyse([*timed_runs(), *runs], title="")
    assert found.parity.distances["jax"][0] == 0
    root = shown(figures.parity, found)
    ((x, _),) = marks(root, f"parity-distance-{list(found.parity.distances).index('jax')}")
    assert x == pytest.approx(MARGIN)


# -- missing numbers and hostile names ---------------------------------------------------------------


def test_what_was_not_measured_is_not_drawn() -> None:
    runs = sweep_runs({"jax": 1.0, "theano": 1.2})
    bare = [replace(run, values={"training_time_s": run.values["training_time_s"]}) for run in runs]
    assert list(texts_of(analyse(bare, title=""))) == ["ratios", "time-by-phase"]


def test_group_that_never_finished_has_no_row() -> None:
    runs = [
        replace(run, status="FAILED", reason="exception", values={}) if run.backend == "jax" else run
        for run in timed_runs()
    ]
    for name, text in texts_of(analyse(runs, title="")).items():
        said = texts(ElementTree.fromstring(text))
        assert "jax" not in said, name
        assert "theano" in said


def test_missing_numbers_are_left_out(comparison: Comparison) -> None:
    unknown = replace(
        comparison,
        contrasts=tuple(replace(c, ratio=None, low=None, high=None) for c in comparison.contrasts),
    )
    assert figures.ratios(unknown) is None
    unbounded = replace(
        comparison, contrasts=tuple(replace(c, high=float("inf")) for c in comparison.contrasts)
    )
    assert figures.ratios(unbounded) is None


def test_any_name_is_escaped() -> None:
    runs = timed_runs({"jax": 1.0, "theano": 1.2}, blocks=3)
    later = [
        replace(
            run,
            run_id=f"b{run.run_id}",
            sweep=HOSTILE,
            began_ms=run.began_ms + 10**8,
            ended_ms=run.began_ms + 10**8 + 1000,
        )
        for run in runs
    ]
    for text in texts_of(analyse([*runs, *later], title=HOSTILE, by_sweep=True)).values():
        assert "<script" not in text
        said = texts(ElementTree.fromstring(text))
        assert any("<scr" in label and "漢字" in label for label in said), said


def test_five_thousand_runs_are_five_thousand_marks() -> None:
    found = analyse(sweep_runs({"jax": 1.0, "theano": 1.2}, blocks=2_500), title="")
    root = shown(figures.steady_epoch, found)
    assert [len(marks(root, f"steady-epoch-runs-{n}")) for n in (0, 1)] == [2_500, 2_500]
    assert len(ElementTree.tostring(root)) < 1_000_000


# -- scaling -----------------------------------------------------------------------------------------


def curve(backend: str, power: float) -> list[ScalePoint]:
    """Return a curve that is a power of the size, and 1 at 10,000."""
    sizes = (1_000, 10_000 * 2, 100_000)
    return [
        ScalePoint(backend, size, (size / 1e4) ** power, 0.9 * (size / 1e4) ** power, (size / 1e4) ** power)
        for size in sizes
    ]


def test_scaling_has_a_line_a_backend_on_logarithmic_axes() -> None:
    root = ElementTree.fromstring(figures.scaling([*curve("jax", 1.0), *curve("theano", 0.5)], TRAINING))
    for number in (0, 1):
        found = np.array(marks(root, f"scaling-training_time_s-samples-line-{number}"))
        assert found.shape == (3, 2)
        slopes = np.diff(found[:, 1]) / np.diff(found[:, 0])
        assert slopes[0] == pytest.approx(slopes[1], rel=0.01)
        assert slopes[0] < 0  # In SVG, y increases downwards.
    assert {"jax", "theano"} <= set(texts(root))


def test_lines_that_cross_have_a_ring_there() -> None:
    root = ElementTree.fromstring(
        figures.scaling([*curve("jax", 1.0), *curve("theano", 0.5)], TRAINING, "units a layer")
    )
    name = "scaling-training_time_s-units-a-layer"
    ((x, y),) = marks(root, f"{name}-crossings")
    for number in (0, 1):
        (x0, y0), (x1, y1), _ = marks(root, f"{name}-line-{number}")
        assert y == pytest.approx(y0 + (y1 - y0) * (x - x0) / (x1 - x0), abs=0.1)
    assert "units a layer" in texts(root)


def test_lines_that_do_not_cross_have_no_ring() -> None:
    slower = [
        replace(p, backend="theano", median=p.median * 2, high=p.high * 2, low=p.low * 2)
        for p in curve("jax", 1)
    ]
    root = ElementTree.fromstring(figures.scaling([*curve("jax", 1), *slower], TRAINING))
    with pytest.raises(StopIteration):
        part(root, "scaling-training_time_s-samples-crossings")


def test_scaling_draws_the_existing_points() -> None:
    points = [ScalePoint("jax", 1_000, 1.0, 1.0, 1.0), ScalePoint("theano", 1_000, float("nan"), 0.0, 1.0)]
    root = ElementTree.fromstring(figures.scaling(points, TRAINING))
    assert len(marks(root, "scaling-training_time_s-samples-line-0")) == 1
    assert "-" in texts(root)
