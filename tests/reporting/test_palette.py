"""The colours are legible on the light and the dark page, and distinct for people with colour blindness."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from backendexp.reporting import canvas, palette

LIGHT = {colour: colour for colour in palette.NAMES}
PAGES = pytest.mark.parametrize("page", [LIGHT, palette.DARK], ids=["light", "dark"])

# Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of Color Vision Deficiency
# (2009), at full severity, of linear sRGB.
SEEN = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour: str) -> NDArray[np.float64]:
    """Linear sRGB, shape (3,), of #rrggbb."""
    encoded = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    dark, bright = sorted(float(weights @ linear(colour)) for colour in (one, other))
    return (bright + 0.05) / (dark + 0.05)


def perceived(colour: str, vision: str) -> NDArray[np.float64]:
    """Ottosson's Oklab coordinates, in which equal distances look about equally different."""
    seen = np.clip(np.array(SEEN[vision]) @ linear(colour), 0, 1)
    cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    opponents = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.array(opponents) @ np.cbrt(np.array(cones) @ seen)


@PAGES
def test_text_has_the_contrast_that_wcag_asks_for(page: dict[str, str]) -> None:
    for text in (palette.INK, palette.MUTED):
        for behind in (palette.SURFACE, palette.BAND):
            assert contrast(page[text], page[behind]) >= 4.5


@PAGES
def test_marks_and_bars_have_the_contrast_that_wcag_asks_for(page: dict[str, str]) -> None:
    for drawn in (*palette.SERIES, *palette.PHASES):
        assert contrast(page[drawn], page[palette.SURFACE]) >= 3


@PAGES
@pytest.mark.parametrize("vision", SEEN)
def test_series_are_distinguished(page: dict[str, str], vision: str) -> None:
    """The smallest step that is always visible is about 0.02 for large adjacent areas, but marks are
    small.
    """
    for one, other in combinations(palette.SERIES, 2):
        distance = np.linalg.norm(perceived(page[one], vision) - perceived(page[other], vision))
        assert distance > 0.1, (one, other)


@PAGES
@pytest.mark.parametrize("vision", SEEN)
def test_neighbouring_phases_are_distinguished(page: dict[str, str], vision: str) -> None:
    for one, other in pairwise(palette.PHASES):
        distance = np.linalg.norm(perceived(page[one], vision) - perceived(page[other], vision))
        assert distance > 0.1, (one, other)


def test_groups_differ_without_their_colour_too() -> None:
    looks = canvas.looks([str(number) for number in range(8)])
    assert len({look.marker for look in looks.values()}) == 8
    assert len({(look.colour, look.marker) for look in canvas.looks([*map(str, range(24))]).values()}) == 24
