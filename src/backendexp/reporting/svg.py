"""A drawing as SVG that fits where it is shown: light or dark, wide or narrow, read aloud or looked at.

Matplotlib draws with the light palette. Here its colours become the palette's CSS variables, its text
becomes the reader's own font, and its identifiers become unique, because several figures share one page. The
text loads nothing from anywhere.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from matplotlib import style
from matplotlib.figure import Figure as Drawing

from backendexp.reporting import palette
from backendexp.reporting.palette import INK, LINE, MUTED, SURFACE

SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}"

# A unit is a CSS pixel when the figure is shown at its own width. A phone of 390 px has room for 358 px. Text
# of 13 units is then 11.6 px high, which can be read.
WIDTH = 400.0
TEXT = 13.0


@dataclass(frozen=True)
class Figure:
    """A figure for a page or a file.

    name: the name of its file, without the suffix.
    title: for a heading.
    description: what the drawing shows, for readers who cannot see it.
    caption: how to read the drawing.
    text: the SVG.
    """

    name: str
    title: str
    description: str
    caption: str
    text: str


@contextmanager
def drawing(height: float) -> Iterator[Drawing]:
    """An empty drawing, WIDTH units wide and `height` high, under settings that nobody's matplotlibrc has
    touched.
    """
    ours = {
        "svg.fonttype": "none",
        "svg.hashsalt": "backendexp",
        "font.size": TEXT,
        "text.color": INK,
        "text.parse_math": False,
        "axes.edgecolor": LINE,
        "axes.facecolor": "none",
        "axes.labelcolor": MUTED,
        "axes.linewidth": 1.0,
        "figure.facecolor": SURFACE,
        "figure.edgecolor": "none",
        "lines.solid_capstyle": "butt",
        "xtick.color": LINE,
        "ytick.color": LINE,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
    }
    with style.context(["default", ours]), warnings.catch_warnings():
        # The browser chooses the font, so it does not matter which characters Matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield Drawing(figsize=(WIDTH / 72, height / 72))  # Matplotlib writes 72 units an inch.


def finish(drawn: Drawing, name: str, title: str, description: str, caption: str) -> Figure:
    """The figure that was drawn. Call this within `drawing`.

    name, title, description, caption: as in Figure.
    """
    buffer = io.StringIO()
    drawn.savefig(
        buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    root = ElementTree.fromstring(buffer.getvalue())
    _lighten(root)
    for element in root.iter():
        _rename(element, name)
        _recolour(element)
    _introduce(root, name, clean(title), clean(description))
    return Figure(name, clean(title), clean(description), caption, ElementTree.tostring(root, "unicode"))


def clean(text: str) -> str:
    """The text without the characters that XML does not allow, such as the escapes that colour a terminal."""
    return re.sub("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text)


def _lighten(root: Element) -> None:
    """Remove what the page has anyway, and move a style that all marks of a group share to the group."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}style", f"{{{SVG}}}metadata"):
                parent.remove(child)
        marks = [child for child in parent if child.tag == f"{{{SVG}}}use"]
        styles = {mark.get("style") for mark in marks}
        if len(marks) == len(parent) > 1 and len(styles) == 1 and None not in styles:
            parent.set("style", str(styles.pop()))
            for mark in marks:
                del mark.attrib["style"]
        for mark in marks:
            for axis in ("x", "y"):
                mark.set(axis, f"{float(mark.get(axis, '0')):.2f}")


def _rename(element: Element, name: str) -> None:
    """Put the figure's name before identifiers, so that they are unique on a page, and remove the namespace
    from tags, because the root declares it.
    """
    element.tag = element.tag.removeprefix(f"{{{SVG}}}")
    if "id" in element.attrib:
        element.set("id", f"{name}-{element.get('id')}")
    target = element.attrib.pop(f"{_XLINK}href", None)
    if target is not None:
        element.set("href", target.replace("#", f"#{name}-", 1))
    for key, value in element.attrib.items():
        element.set(key, value.replace("url(#", f"url(#{name}-"))


def _recolour(element: Element) -> None:
    """Add a declaration with the palette's variable after each declaration of a colour. A colour that is not
    in the palette would be wrong on light pages or on dark ones.

    A renderer that does not know variables uses the original declaration.
    """
    declared = element.get("style")
    if declared is None:
        return
    kept = []
    for declaration in (part.strip() for part in declared.split(";")):
        key, _, value = declaration.partition(": ")
        if key == "font-family":
            continue
        kept.append(declaration)
        if value.startswith("#"):
            kept.append(f"{key}: var(--{palette.NAMES[value]})")
    element.set("style", "; ".join(kept))


def _introduce(root: Element, name: str, title: str, description: str) -> None:
    _, _, width, height = root.get("viewBox", "0 0 0 0").split()
    root.attrib.pop("version", None)
    root.set("xmlns", SVG)
    root.set("class", "figure")
    root.set("width", width)
    root.set("height", height)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-description")
    texts = (("title", title), ("desc", description))
    for place, (tag, text) in enumerate(texts):
        element = Element(tag, {"id": f"{name}-{'title' if tag == 'title' else 'description'}"})
        element.text = text
        root.insert(place, element)
    rules = Element("style")
    rules.text = _rules()
    root.insert(len(texts), rules)


def _rules() -> str:
    return (
        f".figure {{ {palette.css(dark=False)} }} "
        f"@media screen and (prefers-color-scheme: dark) {{ .figure {{ {palette.css(dark=True)} }} }} "
        ".figure * { stroke-linejoin: round; stroke-linecap: butt } "
        f".figure text {{ font-family: {palette.FONTS}; font-variant-numeric: tabular-nums }}"
    )
