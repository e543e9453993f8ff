"""The colours of reports and figures on light and on dark pages, with a CSS variable for each.

Colour-blind readers can distinguish the colours too (a test simulates that), and nothing is distinguished by
colour alone.
"""

FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

INK, MUTED, LINE, SURFACE = "#1b2027", "#57606a", "#d5dae0", "#ffffff"
# The groups of a comparison, in their order.
SERIES = ("#1d4fa3", "#d1600a", "#0f9d8a", "#5c1a4e", "#894e5d", "#062b09")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
# The phases of a run, in their order. Neighbours differ in lightness.
PHASES = ("#8b95a1", "#4e5763", "#c2570c", "#1f5fbf", "#5a8fe0")
BAND = "#e9edf2"

NAMES = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    SURFACE: "surface",
    BAND: "band",
    **{colour: f"series-{number}" for number, colour in enumerate(SERIES, 1)},
    **{colour: f"phase-{number}" for number, colour in enumerate(PHASES, 1)},
}

# The colour on a dark page that takes the place of each colour above.
DARK = {
    INK: "#e6e9ee",
    MUTED: "#9aa5b1",
    LINE: "#363e48",
    SURFACE: "#14171c",
    BAND: "#262d36",
    **dict(zip(SERIES, ("#5b93f0", "#e88a3c", "#7be8d6", "#ad4e8e", "#f1f05d", "#42770b"), strict=True)),
    **dict(zip(PHASES, ("#77828f", "#b4bdc8", "#ff9d5c", "#7fb0ff", "#4a78c4"), strict=True)),
}


def css(dark: bool) -> str:
    """CSS declarations of the variables --ink, --muted, --line, --surface, --band, --series-1 and so on.

    dark: whether the page is dark.
    """
    return "; ".join(f"--{name}: {DARK[light] if dark else light}" for light, name in NAMES.items())
