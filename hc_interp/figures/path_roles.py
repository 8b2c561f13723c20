"""`path_roles`: the effects of paths between roles, a row for each sender and a column for the role it stands at."""

from typing import Any

import numpy as np

from hc_interp.components import component, whole
from hc_interp.errors import HCError
from hc_interp.figures.chart import SIGNED, cells, colorbar, every, root_ticks, signed_root
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import share_of
from hc_interp.figures.plain_text import plain
from hc_interp.figures.registry import figure
from hc_interp.figures.style import FONT_POINTS, PIXELS_PER_POINT, Width, layout, points, text_width
from hc_interp.patching.effects import PathEffects, label

CELL, BESIDE = 11.0, 122.0  # height of a row and width beside the panels, in points
TITLE = 14.0  # height of the title below the roles, in points
HEADING = 24.0  # height of the heading of the panel below, in points
EVERYWHERE = "all positions"
Cells = dict[tuple[str, str, str], dict[Any, Any]]  # rows of effects by sender, its role and the receiver's role


@figure("roles", of=PathEffects, section="paths-between", when=lambda paths: paths.at_roles)
def path_roles(
    effects: PathEffects,
    *,
    receiver: str | None = None,
    through: str | None = None,
    alpha: float = 0.05,
    width: Width = "double",
) -> Figure:
    """Draw senders by the roles at which they stand, for the paths into one receiver: a panel for each of its roles.

    `receiver` is a component or group without its role, like "L3H7" or "output", and `through` one of its measured
    inputs; by default they are those of the path of largest |effect|. The colour of a cell is the path's node share, or
    its effect if no path has a share, on a scale of the signed square root. A cell whose q value (Benjamini-Hochberg)
    is below `alpha` shows the sign of its value. Roles may overlap, and effects of different roles do not add up.

    Raises `HCError` for paths without roles, and for a receiver or an input that was not measured.
    """
    from plotly.subplots import make_subplots

    if not effects.at_roles:
        raise HCError(
            "path_roles was given path effects without roles. Expected those of path_effects(..., positions='roles'), "
            "or of senders or receivers at roles, like 'L2H9@subject'. For others use path_matrix."
        )
    frame: Any = effects.to_frame()
    records = frame.to_dict("records")
    receiver, through = _chosen(records, receiver, through)
    shown = [row for row in records if _bare(row["receiver"]) == receiver and row["through"] == through]
    shares = any(row["node_share"] == row["node_share"] for row in shown)  # not NaN
    value, unit = ("node_share", "node share") if shares else ("effect", f"effect ({effects.metric})")
    paths: Cells = {(_bare(row["sender"]), row["sender_role"], row["receiver_role"]): row for row in shown}
    all_targets = list(dict.fromkeys(key[2] for key in paths))
    defined = {key for key, row in paths.items() if not np.isnan(_number(row, value))} or set(paths)
    # Senders that are not upstream and roles at which the receiver has no effect of its own have only empty cells.
    senders, targets = (list(dict.fromkeys(key[i] for key in paths if key in defined)) for i in (0, 2))
    roles = list(dict.fromkeys(key[1] for key in paths))
    empty = [target or EVERYWHERE for target in all_targets if target not in targets]
    largest = float(np.nanmax([abs(row[value]) for row in shown] or [0.0])) or 1.0
    columns = min(len(targets), max(1, int((points(width) - BESIDE) // (CELL * len(roles)))))
    rows = -(-len(targets) // columns)
    foot = max(text_width(role or EVERYWHERE) for role in roles) + HEADING  # names stand upright
    tall = CELL * len(senders) + foot
    plot = make_subplots(
        rows=rows, cols=columns, shared_yaxes=True, horizontal_spacing=0.03, vertical_spacing=foot / (rows * tall),
        subplot_titles=[f"into {receiver} at {target}" if target else f"into {receiver}" for target in targets],
    )  # fmt: skip
    for index, target in enumerate(targets):
        trace = cells(
            x=roles, y=senders, coloraxis="coloraxis", texttemplate="%{text}",
            z=[[signed_root(_number(paths.get((s, role, target)), value)) for role in roles] for s in senders],
            text=[[_sign(paths.get((s, role, target)), value, alpha) for role in roles] for s in senders],
            hovertext=[[_hover(paths.get((s, role, target)), unit, value) for role in roles] for s in senders],
        )  # fmt: skip
        plot.add_trace(trace, row=index // columns + 1, col=index % columns + 1)
    height = rows * tall + 26 + TITLE
    bar = colorbar(
        plain(unit, BESIDE), len=min(height - 60, 160) * PIXELS_PER_POINT, lenmode="pixels",
        **root_ticks(largest, shares),
    )  # fmt: skip
    end = signed_root(largest)
    plot.update_layout(
        layout(width, height, coloraxis={"colorscale": SIGNED, "cmin": -end, "cmax": end, "colorbar": bar})
    )
    plot.update_layout(margin={"t": 26, "r": 8})
    plot.update_annotations(font={"size": 8 * PIXELS_PER_POINT})
    names = [role or EVERYWHERE for role in roles]
    axis = {"showgrid": False, "showline": False, "ticks": "", "type": "category", "showticklabels": True}
    plot.update_xaxes(**axis, tickangle=-90, **every(names), tickfont={"size": FONT_POINTS * PIXELS_PER_POINT})
    plot.update_yaxes(**{**axis, "showticklabels": False}, **every(senders))
    plot.update_yaxes(showticklabels=True, title={"text": "sender", "standoff": 4}, col=1)
    plot.update_xaxes(title={"text": "role of the sender", "standoff": 4}, row=rows)
    tested = [row for row in shown if row["q"] == row["q"]]
    return Figure(
        plot,
        title=f"What {receiver} reads, by role",
        caption=(
            f"Paths into {receiver} through {through} (route {effects.route}, {len(effects.ids)} pairs). Rows are "
            "senders, columns the roles at which they are corrupt; each panel is a role of the receiver, which keeps "
            f"its patched value there alone. Colour is the {unit} of the path on a scale of the signed square root. "
            f"{sum(row['q'] < alpha for row in tested)} of {len(tested)} tested paths have a q value "
            f"(Benjamini-Hochberg over all measured paths) below {alpha:g}; their cells show the sign. A cell is empty "
            "if its value is not defined or its receiver is not downstream of its sender; senders without a value are "
            f"left out{', and so is the receiver at ' * bool(empty)}{', '.join(empty)}. Roles may overlap, and effects "
            "of different roles do not add up."
        ),
        data=shown,
    )


def _bare(name: str) -> str:
    """The name of a sender or receiver without its roles."""
    return "+".join(dict.fromkeys(str(whole(component(part))) for part in name.split("+")))


def _chosen(records: list[dict[Any, Any]], receiver: str | None, through: str | None) -> tuple[str, str]:
    """The receiver and its inputs. Raises `HCError` for those that were not measured."""
    fits = [
        row
        for row in records
        if (receiver is None or _bare(row["receiver"]) == label(receiver)) and through in (None, row["through"])
    ]
    if not fits:
        known = dict.fromkeys(f"{_bare(row['receiver'])} through {row['through']}" for row in records)
        raise HCError(
            f"path_roles was asked for receiver={receiver!r}, through={through!r}. Measured are {', '.join(known)}."
        )
    strongest = max(fits, key=lambda row: abs(row["effect"]))
    return _bare(strongest["receiver"]), strongest["through"]


def _number(row: dict[Any, Any] | None, column: str) -> float:
    return round(float(row[column]), 5) if row is not None and row["downstream"] else np.nan


def _sign(row: dict[Any, Any] | None, value: str, alpha: float) -> str:
    if not _number(row, "q") < alpha:
        return ""
    return "+" if _number(row, value) > 0 else "\u2212"


def _hover(row: dict[Any, Any] | None, unit: str, value: str) -> str:
    if row is None or np.isnan(_number(row, value)):
        return "not defined"
    names = ("low", "high") if value == "effect" else (f"{value}_low", f"{value}_high")
    number, low, high, q = (_number(row, column) for column in (value, *names, "q"))
    words = f"{number:.3g} [{low:.3g}, {high:.3g}]" if value == "effect" else share_of(number, low, high)
    return f"{row['sender']} → {row['receiver']}<br>{plain(unit)} {words}, q {q:.2g}"
