"""`calibration`: how often the verdict is right on models whose circuit is known, as a table with coloured cells."""

from typing import Any

import pandas as pd

from hc_interp.errors import DataError
from hc_interp.figures.chart import SEQUENTIAL
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent, share_of
from hc_interp.figures.plain_text import plain
from hc_interp.figures.style import INK, MUTED, PAPER, RULE, Width, layout, pixels, points, text_width

TABLE_COLUMNS = ("world", "core", "verdict", "rate", "low", "high", "n")
ROW_HEIGHT, HEAD = 22.0, 30.0  # heights of a row and of the column names, in points
SLACK = 1.3  # names may be this much wider than their column: `text_width` estimates too large a width
DARK = 0.55  # a rate above this is written in white


def calibration(table: pd.DataFrame, *, width: Width = "double", level: float = 0.95) -> Figure:
    """Draw how often each verdict was given: a row for each world and choice of core, a column for each verdict.

    A world is a class of models with a known circuit. `table` has a row for each world, core and verdict, with the
    columns `world core verdict rate low high n`: the rate of this verdict (0 to 1), its interval at `level`, and the
    number of models. Raises `DataError` for an empty table, a missing column, a rate outside 0 to 1, and a combination
    that occurs twice.
    """
    import plotly.graph_objects as go

    _check(table)
    records: list[dict[Any, Any]] = table.to_dict("records")
    rows = list(dict.fromkeys((row["world"], row["core"]) for row in records))
    verdicts = list(dict.fromkeys(row["verdict"] for row in records))
    cell = {(row["world"], row["core"], row["verdict"]): row for row in records}
    names = [f"{world}, {core}" if core != "" else str(world) for world, core in rows]
    room = min(max(map(text_width, names)) + 8, points(width) * 0.5)
    narrow = width == "single"
    left = room * (0.72 if narrow else 1)
    column = SLACK * (points(width) - left) / len(verdicts)
    stacked = narrow or max(text_width(" ".join(_shares(row))) for row in records) > column
    plot = go.Figure(
        layout=layout(
            width,
            HEAD + (ROW_HEIGHT + 3 * stacked) * len(rows) + 8,
            xaxis={"side": "top", "tickvals": list(range(len(verdicts))), "range": [-0.5, len(verdicts) - 0.5],
                   "ticktext": [_broken(name, column) for name in verdicts], "tickangle": 0, "automargin": False},
            yaxis={"tickvals": list(range(len(rows))),
                   "ticktext": [_broken(n, left) if narrow else plain(n, left) for n in names],
                   "range": [len(rows) - 0.5, -0.5], "automargin": False},
            shapes=[_rule(index - 0.5) for index in _borders(rows)],
            annotations=[
                _words(cell.get((*row, verdict)), x, y, stacked) for y, row in enumerate(rows)
                for x, verdict in enumerate(verdicts)
            ],
        )
    )  # fmt: skip
    plot.update_layout(margin={"l": pixels(left), "t": pixels(HEAD), "r": 8, "b": 6})
    plot.update_xaxes(showgrid=False, showline=False, ticks="")
    plot.update_yaxes(showgrid=False, showline=False, ticks="")
    plot.add_trace(
        {
            "type": "heatmap", "x": list(range(len(verdicts))), "y": list(range(len(rows))), "zmin": 0, "zmax": 1,
            "z": [[_rate(cell.get((*row, verdict))) for verdict in verdicts] for row in rows], "xgap": 2, "ygap": 2,
            "colorscale": SEQUENTIAL, "showscale": False, "hoverinfo": "text",
            "hovertext": [[_hover(cell.get((*row, v)), name, v) for v in verdicts]
                          for row, name in zip(rows, names, strict=True)],
        }
    )  # fmt: skip
    return Figure(plot, "What the verdict says where the truth is known", _caption(table, level), records)


def _check(table: pd.DataFrame) -> None:
    if missing := [name for name in TABLE_COLUMNS if name not in table]:
        raise DataError(
            f"The calibration table lacks {', '.join(missing)}. Expected the columns {' '.join(TABLE_COLUMNS)}."
        )
    if not len(table):
        raise DataError("The calibration table is empty. Expected a row for each world, core and verdict.")
    rates = table[["rate", "low", "high"]]
    if ((rates < 0) | (rates > 1)).to_numpy().any():
        raise DataError("The calibration table has rates outside 0 to 1. Divide percentages by 100.")
    if (twice := table.duplicated(["world", "core", "verdict"])).any():
        row = table[twice].iloc[0]
        raise DataError(f"The calibration table has {row['world']}, {row['core']}, {row['verdict']} twice. Keep one.")


def _rate(row: dict[Any, Any] | None) -> float:
    return float("nan") if row is None else float(row["rate"])


def _shares(row: dict[Any, Any]) -> tuple[str, str]:
    """The rate and its interval, in per cent."""
    rate, low, high = (round(100 * float(row[name]), 1) for name in ("rate", "low", "high"))
    return f"{rate:g} %", f"[{low:g}, {high:g}]"


def _words(row: dict[Any, Any] | None, x: int, y: int, stacked: bool) -> dict[str, Any]:
    """The text of a cell: its rate and its interval, in two lines if `stacked`."""
    if row is None:
        return {"text": "\u2013", "x": x, "y": y, "showarrow": False, "font": {"color": MUTED}}
    rate, ends = _shares(row)
    color = PAPER if row["rate"] > DARK else INK
    text = f"<b>{rate}</b>{'<br>' if stacked else ' '}<span style='font-size:0.88em'>{ends}</span>"
    return {"text": text, "x": x, "y": y, "showarrow": False, "font": {"color": color}}


def _hover(row: dict[Any, Any] | None, name: str, verdict: str) -> str:
    if row is None:
        return f"{plain(name)}: {plain(verdict)} was not counted"
    return f"{plain(name)}<br>{plain(verdict)}: {share_of(row['rate'], row['low'], row['high'])}, n = {row['n']}"


def _broken(name: str, room: float) -> str:
    """The name with spaces for underscores, in two lines if it is long."""
    words = str(name).replace("_", " ").split()
    if len(" ".join(words)) <= 14:
        return plain(" ".join(words), room)
    half = min(range(1, len(words) + 1), key=lambda i: abs(len(" ".join(words[:i])) - len(" ".join(words[i:]))))
    return "<br>".join(plain(" ".join(line), room) for line in (words[:half], words[half:]) if line)


def _borders(rows: list[tuple[Any, Any]]) -> list[int]:
    """The index of the first row of each world except the first world."""
    return [index for index in range(1, len(rows)) if rows[index][0] != rows[index - 1][0]]


def _rule(y: float) -> dict[str, Any]:
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": {"color": RULE, "width": 1}}


def _caption(table: pd.DataFrame, level: float) -> str:
    counts: Any = table["n"]
    small, large = int(counts.min()), int(counts.max())
    n_models = f"{small:,}" if small == large else f"{small:,} to {large:,}"
    return (
        "Rows are classes of models with a built-in circuit: what is true in these models, and how the core was "
        "chosen. Columns are the answers of the reads-from test. A cell gives the share of a row's models that got the "
        f"answer, with its {percent(level, 0)} interval; a row has {n_models} models. A good test gives the right "
        "answer often, and the opposite answer no more often than its significance level. The figure does not show how "
        "often the test errs on trained models, whose circuits are not known."
    )
