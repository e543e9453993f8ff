"""The parts that all figures are drawn with: axes at exact places, rows with a label, and marks in a row.

Places are measured from the top left, in units of the drawing, which is `svg.WIDTH` wide. The axes of rows
count the same units downwards, so that a row is placed by adding up heights.
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
AXIS = 46.0  # below the data, for the numbers of the axis and its name
HEAD = 24.0  # above the data of a row, for its label


_Dashes = Literal["solid"] | tuple[float, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """What distinguishes a group from the others, with colour and without it.

    dashes: the line style, as Matplotlib takes it.
    """

    colour: str
    marker: str
    dashes: _Dashes


_DASHES: tuple[_Dashes, ...] = ("solid", (0, (5, 2.5)), (0, (1.5, 2)), (0, (7, 2, 1.5, 2)))


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """A look for each label. 24 looks are different; further labels use them again."""
    series, markers = palette.SERIES, palette.MARKERS
    return {
        label: Look(series[n % len(series)], markers[n % len(markers)], _DASHES[n % len(_DASHES)])
        for n, label in enumerate(labels)
    }


def shortened(label: str, most: int = 28) -> str:
    """The label with at most `most` characters, so that it fits beside a row's number. The middle is left
    out, because labels differ at their beginning or their end.
    """
    if len(label) <= most:
        return label
    half = (most - 1) // 2
    return f"{label[:half]}…{label[-half:]}"


def height_of(drawn: Drawing) -> float:
    return float(drawn.get_figheight()) * 72


def box(drawn: Drawing, left: float, top: float, width: float, height: float) -> Axes:
    """Axes of a given place and size, without a frame or a grid."""
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
    """Draw what lies behind the data of a row, but not behind its label: a line at each number of the axis,
    and if asked for, a band and a line at a number that matters. Set the numbers of the axis first.

    top, tall: where the lane begins, and its height.
    band: the ends of the band.
    at: the number that matters.
    """
    if band is not None:
        shade = Rectangle((band[0], top), band[1] - band[0], tall)
        shade.set(facecolor=BAND, edgecolor="none", zorder=0)
        axes.add_patch(shade)
    axes.vlines(axes.xaxis.get_majorticklocs(), top, top + tall, color=LINE, linewidth=1, zorder=0.5)
    if at is not None:
        axes.vlines([at], top, top + tall, color=MUTED, linewidth=1, zorder=1)


def write(drawn: Drawing, x: float, y: float, text: str, right: bool = False, strong: bool = False) -> None:
    """Write text. Its baseline begins at (x, y), or ends there if `right` is true."""
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
    """Draw a group's mark with its middle at (x, y)."""
    left, height = _at(drawn, x, y)
    line = Line2D([left], [height], color=look.colour, marker=look.marker, markersize=8, linestyle="none")
    drawn.add_artist(line)


def swatch(drawn: Drawing, x: float, y: float, colour: str) -> None:
    """Draw a square of the colour with its top left corner at (x, y)."""
    left, height = _at(drawn, x, y + 12)
    drawn.add_artist(Rectangle((left, height), 12 / WIDTH, 12 / height_of(drawn), color=colour, linewidth=0))


def head(axes: Axes, y: float, label: str, value: str = "", look: Look | None = None) -> None:
    """Write the label of a row and, at the right, its number.

    y: the baseline, in units of the axes.
    look: of the group whose mark comes before the label; None for no mark.
    """
    drawn = axes.get_figure()
    assert isinstance(drawn, Drawing)
    top = height_of(drawn) * (1 - float(axes.get_position().y1)) + y
    if look is not None:
        mark(drawn, MARGIN + 5, top - 5, look)
    write(drawn, MARGIN + (18 if look else 0), top, shortened(label))
    if value:
        write(drawn, WIDTH - MARGIN, top, value, right=True)


def line_head(drawn: Drawing, y: float, label: str, value: str, look: Look, width: float) -> None:
    """Like `head`, for a line of a chart. A piece of the line comes before the label."""
    left, height = _at(drawn, MARGIN, y - 5)
    right, _ = _at(drawn, MARGIN + 28, y)
    drawn.add_artist(
        Line2D([left, right], [height] * 2, color=look.colour, linestyle=look.dashes, linewidth=width)
    )
    mark(drawn, MARGIN + 14, y - 5, look)
    write(drawn, MARGIN + 36, y, shortened(label))
    write(drawn, WIDTH - MARGIN, y, value, right=True)


def _at(drawn: Drawing, x: float, y: float) -> tuple[float, float]:
    """A place as fractions of the drawing's width and height, from the lower left."""
    return x / WIDTH, 1 - y / height_of(drawn)


def name_axis(drawn: Drawing, name: str, above: float = 0.0) -> None:
    """Write the name of an axis, `above` units from the lower edge of the drawing."""
    drawn.text(0.5, (10 + above) / height_of(drawn), name, ha="center", va="baseline", color=MUTED)


def linear(axis: Axis, least: float, greatest: float, most: int = 5) -> None:
    """Make an axis linear, from `least` to `greatest`, with some room at the ends and at most `most` round
    numbers.
    """
    room = 0.04 * (greatest - least) or 0.05 * abs(greatest) or 0.5
    # Bars and the like begin at 0, which is the edge then.
    low = 0.0 if least == 0 else least - room
    _limit(axis, low, greatest + room)
    ticks = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, greatest + room)
    # A number too close to the edge would be cut off.
    edge = 0.03 * (greatest + room - low)
    axis.set_major_locator(
        FixedLocator([t for t in ticks if low + edge * bool(low) <= t <= greatest + room - edge])
    )
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def logarithmic(axis: Axis, values: Sequence[float], written: Callable[[float], str], most: int = 5) -> None:
    """Make an axis logarithmic, so wide that it holds all values, with at most `most` round numbers.

    values: all above 0.
    written: how a number of the axis is written.
    """
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
    """At most `most` round numbers within the limits, spaced as evenly as possible on a logarithmic axis."""
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
    # Over a factor of less than about 1.5, the round numbers of a linear axis are spaced evenly enough.
    return within([float(t) for t in MaxNLocator(most - 1, steps=[1, 2, 5, 10]).tick_values(least, greatest)])


def spread_out(count: int) -> Any:
    """Heights from -0.5 to 0.5, shape (count,), the same every time, at which the marks of equal numbers do
    not hide each other. Multiples of the golden ratio modulo 1 are evenly spread, whatever their number.
    """
    return (np.arange(count) * 0.6180339887498949 + 0.5) % 1 - 0.5


def dots(axes: Axes, x: Any, y: Any, look: Look, name: str) -> None:
    """Draw a mark for each run, all in one element with the identifier `name`."""
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
    """Draw a box from the first to the third quartile, and a line at the median."""
    frame = Rectangle((low, top), high - low, tall)
    frame.set(facecolor=look.colour, edgecolor="none", alpha=0.16, zorder=1)
    axes.add_patch(frame)
    axes.plot([median, median], [top, top + tall], color=INK, linewidth=2, zorder=4)


def rings(axes: Axes, x: Any, y: Any, name: str, size: float = 12) -> None:
    """Draw rings around marks that a reader should notice, in one element with the identifier `name`."""
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
