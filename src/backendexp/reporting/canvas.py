"""What all figures are drawn with: axes at exact places, rows with a label, and what a row shows.

Places are in units of the drawing (`svg.WIDTH` wide), from the top left. The axes of rows count the same
units downwards, so that a row is placed by adding up heights.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from backendexp.reporting import palette, svg
from backendexp.reporting.palette import BAND, INK, LINE, MUTED
from backendexp.reporting.svg import WIDTH

MARGIN = 14.0  # left and right of the data
AXIS = 46.0  # below the data: the numbers of the axis, and what they are
HEAD = 24.0  # the label of a row


_Dashes = Literal["solid"] | tuple[float, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """What tells a group from the others, with colour and without. dashes: of Matplotlib's lines."""

    colour: str
    marker: str
    dashes: _Dashes


_DASHES: tuple[_Dashes, ...] = ("solid", (0, (5, 2.5)), (0, (1.5, 2)), (0, (7, 2, 1.5, 2)))


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """24 differ; more repeat them."""
    series, markers = palette.SERIES, palette.MARKERS
    return {
        label: Look(series[n % len(series)], markers[n % len(markers)], _DASHES[n % len(_DASHES)])
        for n, label in enumerate(labels)
    }


def shortened(label: str, most: int = 28) -> str:
    """A label of `most` characters, for which a row has room beside its number: what tells two labels apart
    stands at either end.
    """
    if len(label) <= most:
        return label
    half = (most - 1) // 2
    return f"{label[:half]}…{label[-half:]}"


def height_of(drawn: Drawing) -> float:
    return float(drawn.get_figheight()) * 72


def box(drawn: Drawing, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place, without frame, numbers or grid."""
    full = height_of(drawn)
    axes = drawn.add_axes((left / WIDTH, 1 - (top + height) / full, width / WIDTH, height / full))
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, pad=7)
    axes.set_axisbelow(True)
    return axes


def rows(drawn: Drawing, top: float, height: float) -> Axes:
    """Axes as wide as the drawing, whose y counts units downwards."""
    axes = box(drawn, MARGIN, top, WIDTH - 2 * MARGIN, height)
    axes.set_ylim(height, 0)
    axes.yaxis.set_major_locator(NullLocator())
    return axes


def lane(
    axes: Axes, top: float, tall: float, band: tuple[float, float] | None = None, at: float | None = None
) -> None:
    """What lies behind the data of a row, and not behind its label: the lines of the axis' numbers, a band,
    and a line at a number that matters. The axis has its numbers before.
    """
    if band is not None:
        shade = Rectangle((band[0], top), band[1] - band[0], tall)
        shade.set(facecolor=BAND, edgecolor="none", zorder=0)
        axes.add_patch(shade)
    axes.vlines(axes.xaxis.get_majorticklocs(), top, top + tall, color=LINE, linewidth=1, zorder=0.5)
    if at is not None:
        axes.vlines([at], top, top + tall, color=MUTED, linewidth=1, zorder=1)


def write(drawn: Drawing, x: float, y: float, text: str, right: bool = False, strong: bool = False) -> None:
    """Text whose baseline begins, or with `right` ends, at a place."""
    left, height = _at(drawn, x, y)
    drawn.text(
        left,
        height,
        svg.clean(text),
        ha="right" if right else "left",
        va="baseline",
        weight="bold" if strong else "normal",
        color=MUTED if right else INK,
    )


def mark(drawn: Drawing, x: float, y: float, look: Look) -> None:
    """The group's mark, its middle at a place."""
    left, height = _at(drawn, x, y)
    line = Line2D([left], [height], color=look.colour, marker=look.marker, markersize=8, linestyle="none")
    drawn.add_artist(line)


def swatch(drawn: Drawing, x: float, y: float, colour: str) -> None:
    """A square of the colour, its top left corner at a place."""
    left, height = _at(drawn, x, y + 12)
    drawn.add_artist(Rectangle((left, height), 12 / WIDTH, 12 / height_of(drawn), color=colour, linewidth=0))


def head(axes: Axes, y: float, label: str, value: str = "", look: Look | None = None) -> None:
    """The label of a row on the baseline `y`, after the group's mark, and its number at the right."""
    drawn = axes.get_figure()
    assert isinstance(drawn, Drawing)
    top = height_of(drawn) * (1 - float(axes.get_position().y1)) + y
    if look is not None:
        mark(drawn, MARGIN + 5, top - 5, look)
    write(drawn, MARGIN + (18 if look else 0), top, shortened(label))
    if value:
        write(drawn, WIDTH - MARGIN, top, value, right=True)


def line_head(drawn: Drawing, y: float, label: str, value: str, look: Look, width: float) -> None:
    """As `head`, for a line of a chart: after a piece of it."""
    left, height = _at(drawn, MARGIN, y - 5)
    right, _ = _at(drawn, MARGIN + 28, y)
    drawn.add_artist(
        Line2D([left, right], [height] * 2, color=look.colour, linestyle=look.dashes, linewidth=width)
    )
    mark(drawn, MARGIN + 14, y - 5, look)
    write(drawn, MARGIN + 36, y, shortened(label))
    write(drawn, WIDTH - MARGIN, y, value, right=True)


def _at(drawn: Drawing, x: float, y: float) -> tuple[float, float]:
    """A place as shares of the drawing, from its lower left."""
    return x / WIDTH, 1 - y / height_of(drawn)


def name_axis(drawn: Drawing, name: str, above: float = 0.0) -> None:
    """What the numbers of an axis are, `above` units from the lower edge of the drawing."""
    drawn.text(0.5, (10 + above) / height_of(drawn), name, ha="center", va="baseline", color=MUTED)


def linear(axis: Axis, least: float, greatest: float, most: int = 5) -> None:
    """An axis from `least` to `greatest` with some room at the ends, and a few round numbers."""
    room = 0.04 * (greatest - least) or 0.05 * abs(greatest) or 0.5
    # What begins at 0, such as a bar, begins at the edge.
    low = 0.0 if least == 0 else least - room
    _limit(axis, low, greatest + room)
    ticks = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, greatest + room)
    # A number at the very edge would be cut off.
    edge = 0.03 * (greatest + room - low)
    axis.set_major_locator(
        FixedLocator([t for t in ticks if low + edge * bool(low) <= t <= greatest + room - edge])
    )
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def logarithmic(axis: Axis, values: Sequence[float], written: Callable[[float], str], most: int = 5) -> None:
    """A logarithmic axis that holds `values`, which are above 0, and a few round numbers."""
    least, greatest = min(values), max(values)
    room = (greatest / least) ** 0.05 if greatest > least else 1.3
    least, greatest = least / room, greatest * room
    _limit(axis, least, greatest)
    if isinstance(axis, XAxis):
        axis.axes.set_xscale("log")
    else:
        axis.axes.set_yscale("log")
    edge = (greatest / least) ** 0.03
    axis.set_major_locator(FixedLocator(_round_numbers(least * edge, greatest / edge, most)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: written(value)))


def _limit(axis: Axis, least: float, greatest: float) -> None:
    if isinstance(axis, XAxis):
        axis.axes.set_xlim(least, greatest)
    else:
        axis.axes.set_ylim(least, greatest)


def _round_numbers(least: float, greatest: float, most: int) -> list[float]:
    """At most `most` round numbers within the limits, as evenly spaced on a logarithmic axis as can be."""
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(greatest)) + 1)

    def within(numbers: Sequence[float]) -> list[float]:
        return [n for n in numbers if least <= n <= greatest]

    for mantissas in ((1, 1.5, 2, 3, 4, 5, 6, 7, 8), (1, 2, 5), (1, 3), (1,)):
        found = within([float(f"{m}e{decade}") for decade in decades for m in mantissas])
        if 2 <= len(found) <= most:
            return found
    for step in range(2, len(decades) + 1):
        found = within([float(f"1e{decade}") for decade in decades if decade % step == 0])
        if 2 <= len(found) <= most:
            return found
    # Less than a factor of 1.5 or so: round numbers of a linear axis lie evenly enough.
    return within([float(t) for t in MaxNLocator(most - 1, steps=[1, 2, 5, 10]).tick_values(least, greatest)])


def spread_out(count: int) -> Any:
    """Heights from -0.5 to 0.5, shape (count,), the same every time: marks of equal numbers do not hide
    each other. Multiples of the golden ratio, modulo 1, are evenly spread however many there are.
    """
    return (np.arange(count) * 0.6180339887498949 + 0.5) % 1 - 0.5


def dots(axes: Axes, x: Any, y: Any, look: Look, name: str) -> None:
    """A mark a run, in an element that has the identifier `name`."""
    many = len(x) > 60
    axes.plot(
        x,
        y,
        look.marker,
        color=look.colour,
        alpha=0.45 if many else 0.8,
        markersize=4 if many else 6,
        markeredgewidth=0,
        zorder=3,
        clip_on=False,
        gid=name,
    )


def quartiles(
    axes: Axes, low: float, median: float, high: float, top: float, tall: float, look: Look
) -> None:
    """A box from the first to the third quartile, and a line at the median."""
    frame = Rectangle((low, top), high - low, tall)
    frame.set(facecolor=look.colour, edgecolor="none", alpha=0.16, zorder=1)
    axes.add_patch(frame)
    axes.plot([median, median], [top, top + tall], color=INK, linewidth=2, zorder=4)


def rings(axes: Axes, x: Any, y: Any, name: str, size: float = 12) -> None:
    """Around marks that a reader should look at, in an element that has the identifier `name`."""
    axes.plot(
        x,
        y,
        "o",
        markerfacecolor="none",
        markeredgecolor=INK,
        markersize=size,
        markeredgewidth=1.3,
        zorder=6,
        clip_on=False,
        gid=name,
    )
