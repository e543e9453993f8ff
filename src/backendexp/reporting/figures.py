"""The figures of a comparison, and the curves of experiment=scale.

In most figures each group has a row, with its label above and the whole width for the data, so that a phone
can show it. A group has the same colour and the same shape in all figures. A figure without data is left out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from backendexp.analysis import findings, numbers
from backendexp.analysis.crossings import crossings
from backendexp.analysis.findings import Comparison, Contrast, Group, ScalePoint, TrackedRun
from backendexp.analysis.numbers import scientific, significant
from backendexp.reporting import canvas, palette, svg
from backendexp.reporting.canvas import AXIS, HEAD, MARGIN, Look
from backendexp.reporting.palette import BAND, INK, LINE, MUTED, SURFACE
from backendexp.reporting.svg import WIDTH, Figure
from backendexp.runs import measures
from backendexp.runs.measures import (
    BUILD_TIME,
    COMPILATION,
    EVALUATION_TIME,
    IMPORT_TIME,
    STEADY_EPOCH,
    TRAINING_TIME,
    Measure,
)

_UNDECIDED = (findings.INCONCLUSIVE, findings.WITHHELD)

_LOG_FROM = 30.0  # an axis is logarithmic if the greatest value is more than so many times the least


def of(comparison: Comparison) -> list[Figure]:
    """The figures that have data, in the order of a report."""
    return [figure for kind in kinds().values() if (figure := kind(comparison)) is not None]


def kinds() -> dict[str, Callable[[Comparison], Figure | None]]:
    """The function that draws each figure, by the figure's name."""
    drawn_by = (ratios, time_by_phase, steady_epoch, learning_curves, quality, parity)
    return {kind.__name__.replace("_", "-"): kind for kind in drawn_by}


def ratios(comparison: Comparison) -> Figure | None:
    """The ratio of every candidate to its baseline in each time and in memory, with its interval."""
    pairs: dict[tuple[str, str], list[tuple[Contrast, float, float, float]]] = {}
    for c in comparison.contrasts:
        known = [n for n in (c.low, c.ratio, c.high) if n is not None and 0 < n < math.inf]
        if comparison.baseline_of(c.candidate) == c.baseline and len(known) == 3:
            pairs.setdefault((c.baseline, c.candidate), []).append((c, known[0], known[1], known[2]))
    if not pairs:
        return None
    looks = _looks(comparison)
    margin = 1 + comparison.margin
    ends = [end for pair in pairs.values() for _, low, _, high in pair for end in (low, high)]
    title, row = 50.0, 42.0
    inner = sum(title + row * len(pair) for pair in pairs.values())
    described = []
    with svg.drawing(inner + AXIS) as drawn:
        axes = canvas.rows(drawn, 0, inner)
        canvas.logarithmic(axes.xaxis, [*ends, margin, 1 / margin], "{:g}\N{MULTIPLICATION SIGN}".format)
        top = 0.0
        for (baseline, candidate), pair in pairs.items():
            look = looks[candidate]
            canvas.mark(drawn, MARGIN + 5, top + 13, look)
            canvas.write(drawn, MARGIN + 18, top + 18, canvas.shortened(candidate, most=44), strong=True)
            canvas.write(drawn, MARGIN + 18, top + 36, f"over {canvas.shortened(baseline, most=44)}")
            top += title
            for c, low, ratio, high in pair:
                value = f"{significant(ratio)}  ({_between(low, high)})"
                described.append(f"{c.measure.title} of {candidate} over {baseline}: {value}, {c.verdict}.")
                canvas.head(axes, top + 12, c.measure.title, value)
                canvas.lane(axes, top + 17, 18, (1 / margin, margin), at=1)
                axes.plot([low, high], [top + 26] * 2, color=look.colour, linewidth=2, zorder=3)
                axes.plot(
                    [ratio],
                    [top + 26],
                    look.marker,
                    color=look.colour,
                    markerfacecolor=SURFACE if c.verdict in _UNDECIDED else look.colour,
                    markersize=8,
                    markeredgewidth=1.6,
                    zorder=4,
                    gid=f"ratio-{len(described)}",
                )
                top += row
        canvas.name_axis(drawn, "less   ←   ratio to the baseline   →   more")
        return svg.finish(
            drawn,
            "ratios",
            "Ratio to the baseline",
            " ".join(described),
            "A mark is the mean of the blocks' ratios. Its line is the 95% interval, which is not adjusted "
            "for the number of comparisons. In the shaded band two times count as equivalent (margin "
            f"{comparison.margin:.0%}). A hollow mark has no verdict.",
        )


_PHASES = ("import", "build", "compilation", "rest of training", "evaluation")


def phase_medians(group: Group) -> tuple[float, ...]:
    """The median seconds of each of _PHASES over the finished runs of the group; 0 if no run has a value."""

    def median(seconds_of: Callable[[TrackedRun], float | None]) -> float:
        known = [s for s in map(seconds_of, group.finished) if s is not None and math.isfinite(s)]
        return float(np.median(known)) if known else 0.0

    def rest_of_training(run: TrackedRun) -> float | None:
        whole = run.values.get(TRAINING_TIME)
        return None if whole is None else max(0.0, whole - run.values.get(COMPILATION, 0.0))

    return (
        median(lambda run: run.values.get(IMPORT_TIME)),
        median(lambda run: run.values.get(BUILD_TIME)),
        median(lambda run: run.values.get(COMPILATION)),
        median(rest_of_training),
        median(lambda run: run.values.get(EVALUATION_TIME)),
    )


def time_by_phase(comparison: Comparison) -> Figure | None:
    """The medians of the phases, stacked. If the import is so long that it hides the rest, a second panel
    shows the phases without it.
    """
    rows = [(group, phases) for group in comparison.groups if any(phases := phase_medians(group))]
    if not rows:
        return None
    panels = [("whole run", 0)]
    if 0 < max(sum(phases[1:]) for _, phases in rows) < max(sum(phases) for _, phases in rows) / 3:
        panels.append(("without the import", 1))
    key, title, row, bar = 54.0, 26.0, HEAD + 30, 18.0
    inner = row * len(rows)
    with svg.drawing(key + len(panels) * (title + inner + AXIS)) as drawn:
        _key_of_phases(drawn)
        top = key
        for panel, first in panels:
            canvas.write(drawn, MARGIN, top + 12, panel, strong=True)
            top += title
            longest = max(sum(phases[first:]) for _, phases in rows)
            unit, scale = _unit(longest)
            axes = canvas.rows(drawn, top, inner)
            canvas.linear(axes.xaxis, 0, longest * scale)
            for number, (group, phases) in enumerate(rows):
                total = f"{significant(sum(phases[first:]) * scale)} {unit}"
                canvas.head(axes, number * row + 14, group.label, total)
                canvas.lane(axes, number * row + HEAD - 3, bar + 8)
                start = 0.0
                for colour, seconds in list(zip(palette.PHASES, phases, strict=True))[first:]:
                    if seconds > 0:
                        segment = Rectangle((start, number * row + HEAD + 1), seconds * scale, bar)
                        segment.set(facecolor=colour, edgecolor=SURFACE, linewidth=0.8, zorder=2)
                        axes.add_patch(segment)
                    start += seconds * scale
            top += inner + AXIS
            canvas.name_axis(drawn, f"{unit}, medians", above=canvas.height_of(drawn) - top)
        described = [
            f"{group.label}: "
            + ", ".join(f"{name} {significant(s)} s" for name, s in zip(_PHASES, phases, strict=True))
            for group, phases in rows
        ]
        return svg.finish(
            drawn,
            "time-by-phase",
            "Where the time goes",
            f"Medians of the phases. {'. '.join(described)}.",
            "The phases in the order of a run, each the median of the finished runs. Runs that one worker "
            "serves share its import, and each of them counts it.",
        )


def _key_of_phases(drawn: Drawing) -> None:
    columns = (MARGIN, MARGIN + 134, MARGIN + 256)
    for number, (name, colour) in enumerate(zip(_PHASES, palette.PHASES, strict=True)):
        left, top = columns[number % 3], 6 + 22 * (number // 3)
        canvas.swatch(drawn, left, top, colour)
        canvas.write(drawn, left + 18, top + 11, name)


def steady_epoch(comparison: Comparison) -> Figure | None:
    """The steady epoch of every run, with the median and the quartiles of each group."""
    rows = _with_values(comparison, measures.measure(STEADY_EPOCH))
    if not rows:
        return None
    every = [value for _, _, values in rows for value in values]
    looks = _looks(comparison)
    unit, scale = _unit(max(every))
    strip = 44.0
    row = HEAD + strip + 12
    described, ringed = [], False
    with svg.drawing(len(rows) * row + AXIS) as drawn:
        axes = canvas.rows(drawn, 0, len(rows) * row)
        is_log = min(every) > 0 and max(every) / min(every) > _LOG_FROM
        if is_log:
            canvas.logarithmic(axes.xaxis, [value * scale for value in every], "{:,g}".format)
        else:
            canvas.linear(axes.xaxis, min(every) * scale, max(every) * scale)
        for number, (group, runs, values) in enumerate(rows):
            x = np.array(values) * scale
            low, median, high = map(float, np.percentile(x, (25, 50, 75)))
            text = f"{significant(median)} {unit}  ({_between(low, high)})"
            described.append(f"{group.label}: median {text}, {len(runs)} runs.")
            look, top = looks[group.label], number * row
            canvas.head(axes, top + 14, group.label, text, look)
            canvas.lane(axes, top + HEAD, strip)
            canvas.quartiles(axes, low, median, high, top + HEAD, strip, look)
            y = top + HEAD + strip / 2 + 0.8 * strip * canvas.spread_out(len(runs))
            canvas.dots(axes, x, y, look, f"runs-{number}")
            odd = [n for n, run in enumerate(runs) if run.run_id in group.outliers.get(STEADY_EPOCH, ())]
            if odd:
                ringed = True
                canvas.rings(axes, x[odd], y[odd], f"outliers-{number}")
        canvas.name_axis(drawn, f"steady epoch, {unit}{', logarithmic' if is_log else ''}")
        return svg.finish(
            drawn,
            "steady-epoch",
            "A steady epoch, run by run",
            " ".join(described),
            "A mark is a run. The box holds the middle half of them, its line is the median."
            + (" A ring marks an outlier, which stays in every number." if ringed else ""),
        )


@dataclass(frozen=True)
class _Curve:
    """The median and the quartiles over the runs that reached each epoch.

    epochs: counted from 1.
    """

    epochs: list[int]
    low: list[float]
    median: list[float]
    high: list[float]


def _curve(runs: Sequence[Sequence[float]]) -> _Curve | None:
    curve = _Curve([], [], [], [])
    for epoch in range(max(map(len, runs), default=0)):
        known = [run[epoch] for run in runs if len(run) > epoch and math.isfinite(run[epoch])]
        if known:
            low, median, high = map(float, np.percentile(known, (25, 50, 75)))
            curve.epochs.append(epoch + 1)
            curve.low.append(low)
            curve.median.append(median)
            curve.high.append(high)
    return curve if curve.epochs else None


def learning_curves(comparison: Comparison) -> Figure | None:
    """Training loss and first quality by epoch: the median of the runs, with a band between the quartiles."""
    losses = [(g, _curve([run.loss_by_epoch for run in g.finished])) for g in comparison.groups]
    qualities = [(g, _curve([run.quality_by_epoch for run in g.finished])) for g in comparison.groups]
    title_of_quality = "" if comparison.quality is None else comparison.quality.title
    panels = [
        (name, known)
        for name, curves in (("training loss", losses), (f"training {title_of_quality}", qualities))
        if (known := [(group, curve) for group, curve in curves if curve is not None])
    ]
    if not panels:
        return None
    looks = _looks(comparison)
    title, panel = 26.0, 160.0
    described = []
    with svg.drawing(sum(title + HEAD * len(curves) + panel for _, curves in panels) + 14) as drawn:
        top = 0.0
        for name, curves in panels:
            canvas.write(drawn, MARGIN, top + 14, name, strong=True)
            top += title
            for number, (group, curve) in enumerate(curves):
                last = f"{significant(curve.median[-1])} after epoch {curve.epochs[-1]}"
                described.append(f"{name} of {group.label}: {last}.")
                canvas.line_head(drawn, top + 12, group.label, last, looks[group.label], _width(number))
                top += HEAD
            _plot_curves(drawn, top, panel - 34, curves, looks, name)
            top += panel
        canvas.name_axis(drawn, "epoch")
        return svg.finish(
            drawn,
            "learning-curves",
            "Learning curves",
            " ".join(described),
            "Lines are medians of the runs, bands their quartiles. Where backends compute the same, their "
            "lines lie on one another.",
        )


def _plot_curves(
    drawn: Drawing,
    top: float,
    height: float,
    curves: list[tuple[Group, _Curve]],
    looks: dict[str, Look],
    name: str,
) -> None:
    left = 50.0
    axes = canvas.box(drawn, left, top, WIDTH - left - MARGIN, height)
    axes.grid(axis="y", color=LINE, linewidth=1)
    last = max(curve.epochs[-1] for _, curve in curves)
    axes.set_xlim(1 - 0.03 * last, 1.03 * last)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    every = [value for _, curve in curves for value in (*curve.low, *curve.high)]
    if min(every) > 0 and max(every) / min(every) > _LOG_FROM:
        canvas.logarithmic(axes.yaxis, every, "{:g}".format, most=4)
    else:
        canvas.linear(axes.yaxis, min(every), max(every), most=4)
    for number, (group, curve) in enumerate(curves):
        look = looks[group.label]
        axes.fill_between(
            curve.epochs, curve.low, curve.high, color=look.colour, alpha=0.16, linewidth=0, zorder=2
        )
        step = max(1, last // 5)
        axes.plot(
            curve.epochs,
            curve.median,
            color=look.colour,
            linestyle=look.dashes,
            linewidth=_width(number),
            marker=look.marker,
            markersize=6,
            # The marks of two lines are at different epochs, so that they do not hide each other if the lines
            # coincide.
            markevery=(number * max(1, step // len(curves)) % step, step),
            zorder=3 + number,
            gid=f"{name.replace(' ', '-')}-{number}",
        )


def _width(number: int) -> float:
    """The width of a line. A later line is drawn over an earlier one, and is thinner, so that both can be
    seen.
    """
    return max(1.4, 3.6 - 1.1 * number)


def quality(comparison: Comparison) -> Figure | None:
    """The first quality of every run, the mean of each group with a 95% interval, and what luck explains."""
    measure = comparison.quality
    rows = [] if measure is None else _with_values(comparison, measure)
    if measure is None or not rows:
        return None
    every = [value for _, _, values in rows for value in values]
    looks, luck = _looks(comparison), _luck(comparison)
    strip = 34.0
    row = HEAD + strip + 18 + 14
    described = []
    with svg.drawing(len(rows) * row + AXIS) as drawn:
        axes = canvas.rows(drawn, 0, len(rows) * row)
        means = [_mean(group, values) for group, _, values in rows]
        ends = [*every, *(luck or ()), *(end for mean in means for end in mean)]
        canvas.linear(axes.xaxis, min(ends), max(ends))
        for number, ((group, runs, values), (low, mean, high)) in enumerate(zip(rows, means, strict=True)):
            text = f"{numbers.of(measure, mean)}  ({numbers.of(measure, low)} to {numbers.of(measure, high)})"
            described.append(f"{group.label}: mean {text}, {len(runs)} runs.")
            look, top = looks[group.label], number * row
            canvas.head(axes, top + 14, group.label, text, look)
            canvas.lane(axes, top + HEAD, strip + 18, luck, at=_chance_of(comparison) if luck else None)
            y = top + HEAD + strip / 2 + 0.85 * strip * canvas.spread_out(len(runs))
            canvas.dots(axes, np.array(values), y, look, f"runs-{number}")
            below = top + HEAD + strip + 10
            axes.plot([low, high], [below] * 2, color=INK, linewidth=2, zorder=4)
            axes.plot([mean], [below], "D", color=INK, markersize=6, zorder=5)
        if luck is not None:
            described.append(f"Guessing gets {luck[0]:.2f} to {luck[1]:.2f} in 95 of 100 runs.")
        canvas.name_axis(drawn, f"{measure.title} on the test data")
        return svg.finish(
            drawn,
            "quality",
            f"{measure.title.capitalize()}, run by run",
            " ".join(described),
            "A mark is a run; the diamond below is the mean of the group, its line the 95% interval."
            + (
                f" The labels are {_labels(comparison)}: the shaded band holds 95 of 100 guessers."
                if luck
                else ""
            ),
        )


def _mean(group: Group, values: Sequence[float]) -> tuple[float, float, float]:
    """(low, mean, high) of a group's quality. If the labels are random, the interval is the exact one of
    the share of right answers; else it is Student's interval of the runs' mean.
    """
    from scipy import stats

    if group.chance is not None:
        return group.chance.low, group.chance.accuracy, group.chance.high
    mean = float(np.mean(values))
    if len(values) < 2 or min(values) == max(values):
        return mean, mean, mean
    low, high = stats.t.interval(0.95, len(values) - 1, loc=mean, scale=stats.sem(values))
    return float(low), mean, float(high)


def _luck(comparison: Comparison) -> tuple[float, float] | None:
    """The range in which 95 of 100 runs that guess have their accuracy (binomial). None if the labels can be
    learned, or if the runs had different numbers of test samples.
    """
    from scipy import stats

    samples = {
        int(run.params["data.test_samples"])
        for g in comparison.groups
        if g.chance is not None
        for run in g.runs
    }
    if len(samples) != 1:
        return None
    (guesses,) = samples
    low, high = stats.binom.interval(0.95, guesses, _chance_of(comparison))
    return float(low) / guesses, float(high) / guesses


def _labels(comparison: Comparison) -> str:
    return "coin flips" if _chance_of(comparison) == 0.5 else "random"


def _chance_of(comparison: Comparison) -> float:
    """The accuracy that guessing gets on average."""
    return next((g.chance.expected for g in comparison.groups if g.chance is not None), 0.5)


def parity(comparison: Comparison) -> Figure | None:
    """How far the losses of each backend are from the reference's, and how far rounding explains."""
    rows = {
        label: pair for label, pair in comparison.parity.distances.items() if all(map(math.isfinite, pair))
    }
    positive = [number for pair in rows.values() for number in pair if number > 0]
    if not positive:
        return None
    looks = canvas.looks(list(dict.fromkeys([*(g.label for g in comparison.groups), *rows])))
    row = HEAD + 28
    described = []
    with svg.drawing(len(rows) * row + AXIS) as drawn:
        axes = canvas.rows(drawn, 0, len(rows) * row)
        # The axis begins further left, so that a distance of 0 has room.
        canvas.logarithmic(axes.xaxis, [*positive, min(positive) / 10], lambda value: scientific(value, 0))
        left, _ = axes.get_xlim()
        for number, (label, (distance, bound)) in enumerate(rows.items()):
            agrees = distance <= bound
            value = f"{scientific(distance)} {'of' if agrees else 'BEYOND'} {scientific(bound)}"
            described.append(f"{label}: {scientific(distance)}, rounding explains {scientific(bound)}.")
            look, top = looks[label], number * row
            canvas.head(axes, top + 14, label, value, look)
            canvas.lane(axes, top + HEAD - 4, 22)
            explained = Rectangle((left, top + HEAD), max(0.0, bound - left), 14)
            explained.set(facecolor=BAND, edgecolor=MUTED, linewidth=1, zorder=2)
            axes.add_patch(explained)
            axes.plot(
                [max(distance, left)],
                [top + HEAD + 7],
                look.marker,
                color=look.colour,
                markersize=8,
                zorder=4,
                clip_on=False,
                gid=f"distance-{number}",
            )
            if not agrees:
                canvas.rings(axes, [distance], [top + HEAD + 7], f"beyond-{number}")
        canvas.name_axis(drawn, "greatest difference of the losses, logarithmic")
        return svg.finish(
            drawn,
            "parity",
            "Do they compute the same?",
            " ".join(described),
            "A mark is the distance of a backend's losses from the reference's, trained without dropout from "
            "one start. A bar ends where rounding ceases to explain it; a ring marks what lies beyond.",
        )


def scaling(points: Sequence[ScalePoint], measure: Measure, size: str = "samples") -> str:
    """The SVG text of a figure that shows a measure against a size, both on logarithmic axes. Each backend
    has a line with its spread, and a ring marks where two lines cross.

    points: the values of the measure.
    size: what was varied, for the name of the axis.
    """
    labels = list(dict.fromkeys(point.backend for point in points))
    looks = canvas.looks(labels)
    drawable = [p for p in points if p.size > 0 and 0 < p.low <= p.high < math.inf]
    drawable.sort(key=lambda p: p.size)
    unit = f", {measure.unit}" if measure.unit else ""
    left, panel, title = 58.0, 300.0, 30.0
    described = []
    with svg.drawing(HEAD * len(labels) + title + panel + AXIS) as drawn:
        top = 0.0
        for label in labels:
            own = [p for p in drawable if p.backend == label]
            steps = [f"{numbers.of(measure, p.median)} at {p.size:,.10g}" for p in own]
            described.append(f"{label}: {', '.join(steps)}.")
            last = steps[-1] if steps else numbers.MISSING
            canvas.line_head(drawn, top + 14, label, last, looks[label], 2)
            top += HEAD
        canvas.write(drawn, MARGIN, top + 16, f"{measure.title}{unit}", strong=True)
        axes = canvas.box(drawn, left, top + title, WIDTH - left - 2 * MARGIN, panel)
        axes.grid(color=LINE, linewidth=1)
        if drawable:
            canvas.logarithmic(axes.xaxis, [p.size for p in drawable], "{:,.10g}".format)
            ends = [end for p in drawable for end in (p.low, p.median, p.high)]
            canvas.logarithmic(axes.yaxis, ends, "{:,.10g}".format)
        for number, label in enumerate(labels):
            own, look = [p for p in drawable if p.backend == label], looks[label]
            sizes = [p.size for p in own]
            axes.vlines(sizes, [p.low for p in own], [p.high for p in own], color=look.colour, linewidth=1.5)
            axes.plot(
                sizes,
                [p.median for p in own],
                color=look.colour,
                linestyle=look.dashes,
                linewidth=2,
                marker=look.marker,
                markersize=7,
                gid=f"line-{number}",
            )
        met = [(c.size, _at(drawable, c.faster_below, c.size)) for c in crossings(drawable)]
        if met:
            canvas.rings(axes, [x for x, _ in met], [y for _, y in met], "crossings", size=15)
            described.append(f"Lines cross at {', '.join(significant(x) for x, _ in met)} {size}.")
        canvas.name_axis(drawn, size)
        name = "-".join(["scaling", *f"{measure.key} {size}".replace("/", " ").split()])
        return svg.finish(drawn, name, f"{measure.title} against {size}", " ".join(described), "").text


def _at(points: Sequence[ScalePoint], backend: str, size: float) -> float:
    """The height of a backend's line at a size between its points, on logarithmic axes."""
    own = [(math.log(p.size), math.log(p.median)) for p in points if p.backend == backend]
    return math.exp(float(np.interp(math.log(size), [x for x, _ in own], [y for _, y in own])))


def _looks(comparison: Comparison) -> dict[str, Look]:
    return canvas.looks([group.label for group in comparison.groups])


def _with_values(
    comparison: Comparison, measure: Measure
) -> list[tuple[Group, list[TrackedRun], list[float]]]:
    """The groups in which a finished run has a value of the measure, with these runs and their values."""
    found = []
    for group in comparison.groups:
        runs = [run for run in group.finished if math.isfinite(run.values.get(measure.key, math.nan))]
        if runs:
            found.append((group, runs, [run.values[measure.key] for run in runs]))
    return found


def _unit(greatest_s: float) -> tuple[str, float]:
    """(the unit, how many of it a second has) for an axis of times up to `greatest_s` seconds."""
    return ("s", 1.0) if greatest_s >= 1 else ("ms", 1000.0)


def _between(low: float, high: float) -> str:
    return f"{significant(low)} to {significant(high)}"
