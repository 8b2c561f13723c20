"""What all figures share: colours, fonts, the widths of a printed column, and plotly's layout.

The colours are those of Okabe and Ito (2008), which are distinct under the common colour-vision deficiencies. Colours
that are used together here also differ in lightness, for print in grey. On a dark page the colours of `ON_DARK` are
replaced.
"""

from typing import Any, Literal

from hc_interp.errors import HCError

BLUE, ORANGE, GREEN = "#0072b2", "#e69f00", "#009e73"
SKY, VERMILLION, PURPLE = "#56b4e9", "#d55e00", "#cc79a7"
INK, MUTED, RULE, PAPER = "#1b1b1d", "#5f6368", "#dfe1e5", "#ffffff"
ON_DARK = {INK: "#ececee", MUTED: "#a9adb3", RULE: "#3a3d42", PAPER: "#17181a", BLUE: "#2f93d4"}

FONT = "'HC Sans', 'Liberation Sans', Helvetica, Arial, 'DejaVu Sans', sans-serif"  # .svg files contain the first
FONT_POINTS = 8.0
# Widths of letters in ems, in the widest of these fonts (DejaVu Sans), so that no text is wider than its estimate.
NARROW, WIDE, LETTER, CAPITAL = 0.4, 1.0, 0.64, 0.7
PIXELS_PER_POINT = 96 / 72

Width = Literal["single", "double"]
INCHES = {"single": 3.3, "double": 6.9}


def points(width: Width) -> float:
    """The width of a printed column in points. Raises `HCError` for anything but "single" and "double"."""
    if width not in INCHES:
        raise HCError(f"width={width!r} is not a column width. Choose {' or '.join(map(repr, INCHES))}.")
    return INCHES[width] * 72


def pixels(length: float) -> float:
    """A length in points, in CSS pixels (the unit of plotly)."""
    return length * PIXELS_PER_POINT


def text_width(text: str, size: float = FONT_POINTS) -> float:
    """An upper estimate of a text's width, in the unit of `size`."""
    return size * sum(_letter(letter) for letter in text)


def _letter(letter: str) -> float:
    if letter in "fijlrtI.,;:|!'()[]- ":
        return NARROW
    return WIDE if letter in "mwMW%@=<>+" else CAPITAL if letter.isupper() else LETTER


def layout(width: Width = "double", height: float = 200.0, **more: Any) -> dict[str, Any]:
    """The plotly layout that every figure starts from. `height` is in points; `more` overrides single keys."""
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
