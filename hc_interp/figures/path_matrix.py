"""All measured paths at once, senders by receivers."""

from typing import Any

import numpy as np

from hc_interp.figures.chart import SIGNED, cells, colorbar
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent, share_of
from hc_interp.figures.plain_text import plain
from hc_interp.figures.registry import figure
from hc_interp.figures.style import FONT_POINTS, PIXELS_PER_POINT, Width, layout, points
from hc_interp.patching.effects import PathEffects

Rows = dict[tuple[str, str], dict[Any, Any]]  # of one input, by sender and receiver
CELL = 11.0  # points a row
BESIDE = 110.0  # points for the senders' names and the colour bar
OVER = ", the path's effect over the receiver's own effect"
NAMES = {"q": "into queries (q)", "k": "into keys (k)", "v": "into values (v)", "qkv": "into q, k and v", "in": "input"}


@figure("paths", of=PathEffects, section="paths-between")
def path_matrix(effects: PathEffects, *, alpha: float = 0.05, width: Width = "double") -> Figure:
    """A panel per receiver input, a cell per path: its node share, or its effect where no share is defined.

    Colour follows the signed square root, so that one strong path leaves the others visible; hover has the values
    themselves. Cells with q < `alpha` carry their sign. The rows of a panel are not independent: receivers share
    senders.
    """
    from plotly.subplots import make_subplots

    frame: Any = effects.to_frame()
    shares = bool(frame["node_share"].notna().any())
    value, unit = ("node_share", "node share") if shares else ("effect", f"effect ({effects.metric})")
    records = frame.to_dict("records")
    inputs = list(dict.fromkeys(frame["through"]))
    senders, receivers = (list(dict.fromkeys(frame[side])) for side in ("sender", "receiver"))
    largest = float(frame[value].abs().max()) or 1.0
    side_by_side = width == "double"
    rows, columns = (1, len(inputs)) if side_by_side else (len(inputs), 1)
    plot = make_subplots(
        rows=rows, cols=columns, shared_yaxes=side_by_side, shared_xaxes=not side_by_side,
        subplot_titles=[NAMES.get(name, f"into {name}") for name in inputs],
        horizontal_spacing=0.03, vertical_spacing=28 / (rows * (CELL * len(senders) + 28)),
    )  # fmt: skip
    for place, name in enumerate(inputs):
        part = {(row["sender"], row["receiver"]): row for row in records if row["through"] == name}
        trace = cells(
            x=receivers, y=senders, coloraxis="coloraxis", texttemplate="%{text}",
            z=[[_root(_at(part, s, r, value)) for r in receivers] for s in senders],
            text=[[_sign(part, s, r, value, alpha) for r in receivers] for s in senders],
            hovertext=[[_hover(part, s, r, unit, value) for r in receivers] for s in senders],
        )  # fmt: skip
        plot.add_trace(trace, row=1 if side_by_side else place + 1, col=place + 1 if side_by_side else 1)
    height = rows * (CELL * len(senders) + 28) + 46
    bar = colorbar(
        plain(unit, BESIDE), len=min(height - 40, 160) * PIXELS_PER_POINT, lenmode="pixels", **_ticks(largest, shares)
    )
    end = _root(largest)
    plot.update_layout(
        layout(width, height, coloraxis={"colorscale": SIGNED, "cmin": -end, "cmax": end, "colorbar": bar})
    )
    plot.update_layout(margin={"t": 26, "r": 8})
    plot.update_annotations(font={"size": 8 * PIXELS_PER_POINT})
    plot.update_xaxes(showgrid=False, showline=False, ticks="", tickangle=-90, type="category", **_every(receivers))
    # each label has a column's width for its height
    column = (points(width) - BESIDE) / (len(receivers) * columns)
    plot.update_xaxes(tickfont={"size": min(FONT_POINTS, 0.9 * column) * PIXELS_PER_POINT})
    plot.update_yaxes(showgrid=False, showline=False, ticks="", type="category", **_every(senders))
    passed = int((frame["q"] < alpha).sum())
    return Figure(
        plot,
        title="Every measured path",
        caption=(
            f"Rows send, columns receive; a panel per input of the receiver (route {effects.route}, "
            f"{len(effects.ids)} pairs). Colour is the {unit}"
            f"{OVER * shares}, on a scale of its signed square root; a sign stands in cells with "
            f"q < {alpha:g} (Benjamini-Hochberg over {int(frame['q'].notna().sum())} paths): {passed}. Empty cells "
            "are not defined, or not downstream. A cell without a sign was not shown to be 0."
        ),
        data=records,
    )


def _root(number: float) -> float:
    """The signed square root."""
    return round(float(np.sign(number) * np.sqrt(abs(number))), 4)


def _ticks(largest: float, shares: bool) -> dict[str, Any]:
    """Values of one digit at about 1 and 1/4 of the largest, on both sides: even steps of the root."""
    found = []
    for part in (1, 4):
        power = 10.0 ** np.floor(np.log10(largest / part))
        found.append(float(np.floor(largest / part / power + 1e-9) * power))
    values = [*(-number for number in found), 0.0, *found[::-1]]
    text = [
        percent(value, 0 if abs(value) >= 0.01 or not value else 2) if shares else f"{value:.1g}" for value in values
    ]
    return {
        "tickvals": [_root(value) for value in values],
        "ticktext": [words.replace("-", "\u2212") for words in text],
    }


def _every(names: list[str]) -> dict[str, Any]:
    """A label at every row or column: plotly leaves some out where it finds them too close."""
    return {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": names}


def _at(part: Rows, sender: str, receiver: str, column: str) -> float:
    row = part.get((sender, receiver))
    return round(float(row[column]), 5) if row is not None and row["downstream"] else np.nan


def _sign(part: Rows, sender: str, receiver: str, value: str, alpha: float) -> str:
    if not _at(part, sender, receiver, "q") < alpha:
        return ""
    return "+" if _at(part, sender, receiver, value) > 0 else "\u2212"


def _hover(part: Rows, sender: str, receiver: str, unit: str, value: str) -> str:
    if np.isnan(_at(part, sender, receiver, value)):
        return f"{sender} → {receiver}: not defined"
    low, high = ("low", "high") if value == "effect" else (f"{value}_low", f"{value}_high")
    number, *ends = (_at(part, sender, receiver, column) for column in (value, low, high))
    q = _at(part, sender, receiver, "q")
    numbers = f"{number:.3g} [{ends[0]:.3g}, {ends[1]:.3g}]"
    return (
        f"{sender} → {receiver}<br>{plain(unit)} {numbers if value == 'effect' else share_of(number, *ends)}, q {q:.2g}"
    )
