"""What all pictures share: colours, fonts, the widths of a printed column, the bare plotly layout.

Colours are Okabe and Ito's (2008): distinct under the common colour-vision deficiencies, and chosen here so that the
kinds also differ in lightness, for print in grey. The neutral inks are named, because a dark page swaps them.
"""

from typing import Any, Literal

from hc_interp.errors import HCError

BLUE, ORANGE, GREEN = "#0072b2", "#e69f00", "#009e73"
SKY, VERMILLION, PURPLE = "#56b4e9", "#d55e00", "#cc79a7"
INK, MUTED, RULE, PAPER = "#1b1b1d", "#5f6368", "#dfe1e5", "#ffffff"
ON_DARK = {INK: "#ececee", MUTED: "#a9adb3", RULE: "#3a3d42", PAPER: "#17181a", BLUE: "#2f93d4"}

FONT = "'HC Sans', 'Liberation Sans', Helvetica, Arial, 'DejaVu Sans', sans-serif"  # the first stands in .svg files
FONT_POINTS = 8.0
# Widths of letters in ems, from the widest of the fonts above (DejaVu Sans): text is never wider than thought.
NARROW, WIDE, LETTER, CAPITAL = 0.4, 1.0, 0.64, 0.7
PIXELS_PER_POINT = 96 / 72

Width = Literal["single", "double"]
INCHES = {"single": 3.3, "double": 6.9}


def points(width: Width) -> float:
    """The width of a printed column in points. Raises `HCError` for a width that is not one."""
    if width not in INCHES:
        raise HCError(f"width={width!r} is not a column width. Choose {' or '.join(map(repr, INCHES))}.")
    return INCHES[width] * 72


def pixels(length: float) -> float:
    """Points to CSS pixels, the unit of plotly."""
    return length * PIXELS_PER_POINT


def text_width(text: str, size: float = FONT_POINTS) -> float:
    """An upper estimate of a text's width, in the unit of `size`."""
    return size * sum(_letter(letter) for letter in text)


def _letter(letter: str) -> float:
    if letter in "fijlrtI.,;:|!'()[]- ":
        return NARROW
    return WIDE if letter in "mwMW%@=<>+" else CAPITAL if letter.isupper() else LETTER


def layout(width: Width = "double", height: float = 200.0, **more: Any) -> dict[str, Any]:
    """The plotly layout that every chart starts from; `height` in points."""
    axis = {
        "gridcolor": RULE, "linecolor": MUTED, "zeroline": False, "showline": True, "ticks": "outside",
        "tickcolor": MUTED, "ticklen": 3, "automargin": True,
        "title": {"standoff": 6, "font": {"size": pixels(FONT_POINTS)}},
    }  # fmt: skip
    return {
        "template": {"layout": {"xaxis": axis, "yaxis": axis}},
        "width": pixels(points(width)),
        "height": pixels(height),
        "font": {"family": FONT, "size": pixels(FONT_POINTS), "color": INK},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "margin": {"l": 40, "r": 12, "t": 12, "b": 34},
        "hoverlabel": {"font": {"family": FONT}},
        **more,
    }
