"""`path_matrix`: the effects of all measured paths, senders by receivers."""

from typing import Any

import numpy as np

from hc_interp.figures.chart import SIGNED, cells, colorbar, every, root_ticks, signed_root
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import share_of
from hc_interp.figures.plain_text import plain
from hc_interp.figures.registry import figure
from hc_interp.figures.style import FONT_POINTS, PIXELS_PER_POINT, Width, layout, points
from hc_interp.patching.effects import PathEffects

PathRows = dict[tuple[str, str], dict[Any, Any]]  # the rows of one input, by sender and receiver
CELL = 11.0  # height of a row, in points
TITLE = 12.0  # height of the title below the receivers, in points
BESIDE = 122.0  # width of the senders' names and the colour bar, in points
SHARE_WORDS = ", divided by the effect of setting the receiver's whole output to its corrupt value"
PANEL_TITLES = {"q": "into queries (q)", "k": "into keys (k)", "v": "into values (v)", "qkv": "into q, k and v"}
PANEL_TITLES |= {"in": "input"}  # the only input of an MLP and of the output


@figure("paths", of=PathEffects, section="paths-between")
def path_matrix(effects: PathEffects, *, alpha: float = 0.05, width: Width = "double") -> Figure:
    """Draw a panel for each input of the receivers, with a cell for each path.

    The colour of a cell is the path's node share, or its effect if no path has a share. The colour scale follows the
    signed square root, so that one strong path leaves the others visible; the hover text has the values. A cell whose q
    value (Benjamini-Hochberg) is below `alpha` shows the sign of its value. The paths are not independent: receivers
    share senders.
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
        subplot_titles=[PANEL_TITLES.get(name, f"into {name}") for name in inputs],
        horizontal_spacing=0.03, vertical_spacing=28 / (rows * (CELL * len(senders) + 28)),
    )  # fmt: skip
    for panel, name in enumerate(inputs, 1):
        paths = {(row["sender"], row["receiver"]): row for row in records if row["through"] == name}
        trace = cells(
            x=receivers, y=senders, coloraxis="coloraxis", texttemplate="%{text}",
            z=[[signed_root(_at(paths, s, r, value)) for r in receivers] for s in senders],
            text=[[_sign(paths, s, r, value, alpha) for r in receivers] for s in senders],
            hovertext=[[_hover(paths, s, r, unit, value) for r in receivers] for s in senders],
        )  # fmt: skip
        plot.add_trace(trace, row=1 if side_by_side else panel, col=panel if side_by_side else 1)
    height = rows * (CELL * len(senders) + 28) + 46 + TITLE
    bar = colorbar(
        plain(unit, BESIDE),
        len=min(height - 40, 160) * PIXELS_PER_POINT,
        lenmode="pixels",
        **root_ticks(largest, shares),
    )
    end = signed_root(largest)
    plot.update_layout(
        layout(width, height, coloraxis={"colorscale": SIGNED, "cmin": -end, "cmax": end, "colorbar": bar})
    )
    plot.update_layout(margin={"t": 26, "r": 8})
    plot.update_annotations(font={"size": 8 * PIXELS_PER_POINT})
    plot.update_xaxes(showgrid=False, showline=False, ticks="", tickangle=-90, type="category", **every(receivers))
    # The labels are turned by 90 degrees: the height of their letters must fit a column's width.
    column = (points(width) - BESIDE) / (len(receivers) * columns)
    plot.update_xaxes(tickfont={"size": min(FONT_POINTS, 0.9 * column) * PIXELS_PER_POINT})
    plot.update_yaxes(showgrid=False, showline=False, ticks="", type="category", **every(senders))
    plot.update_xaxes(title={"text": "receiver", "standoff": 4}, row=rows)
    plot.update_yaxes(title={"text": "sender", "standoff": 4}, col=1)
    passed = int((frame["q"] < alpha).sum())
    return Figure(
        plot,
        title="Every measured path",
        caption=(
            "Rows are senders, columns are receivers; each panel is one input of the receivers (route "
            f"{effects.route}, {len(effects.ids)} pairs). Colour is the {unit}{': the effect' * shares} of patching "
            f"the path{SHARE_WORDS * shares}. The colour scale follows the signed square root. {passed} of "
            f"{int(frame['q'].notna().sum())} tested paths have a q value (Benjamini-Hochberg) below {alpha:g}; their "
            "cells show the sign. A cell is empty if its value is not defined or its receiver is not downstream of its "
            "sender. A cell without a sign was not shown to have no effect."
        ),
        data=records,
    )


def _at(paths: PathRows, sender: str, receiver: str, column: str) -> float:
    row = paths.get((sender, receiver))
    return round(float(row[column]), 5) if row is not None and row["downstream"] else np.nan


def _sign(paths: PathRows, sender: str, receiver: str, value: str, alpha: float) -> str:
    if not _at(paths, sender, receiver, "q") < alpha:
        return ""
    return "+" if _at(paths, sender, receiver, value) > 0 else "\u2212"


def _hover(paths: PathRows, sender: str, receiver: str, unit: str, value: str) -> str:
    if np.isnan(_at(paths, sender, receiver, value)):
        return f"{sender} → {receiver}: not defined"
    low, high = ("low", "high") if value == "effect" else (f"{value}_low", f"{value}_high")
    number, *ends = (_at(paths, sender, receiver, column) for column in (value, low, high))
    q = _at(paths, sender, receiver, "q")
    numbers = f"{number:.3g} [{ends[0]:.3g}, {ends[1]:.3g}]"
    return (
        f"{sender} → {receiver}<br>{plain(unit)} {numbers if value == 'effect' else share_of(number, *ends)}, q {q:.2g}"
    )
