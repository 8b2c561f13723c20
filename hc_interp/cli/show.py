"""What a command prints when it ends: text for people, or one JSON object for programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from hc_interp.files import json_text

MAX_ROWS = 40  # rows of a table in the text; the JSON object has all rows


@dataclass(frozen=True)
class Shown:
    """What a command prints, and its exit code: `record` as JSON for programs, or `text` for people."""

    record: dict[str, Any]
    text: RenderableType
    code: int = 0


def show(shown: Shown, as_json: bool) -> None:
    if as_json:
        typer.echo(json_text(shown.record))
    elif isinstance(shown.text, str):
        typer.echo(shown.text)
    else:
        Console().print(shown.text)


def written(result: Any, out: Path, frame: Any = None) -> Shown:
    """Save a result, and show its first rows (or those of `frame`), its `repr` and the path of its file."""
    path = result.save(out)
    table = (result.to_frame() if frame is None else frame).head(MAX_ROWS)
    lines = [table.to_string(index=False, float_format=lambda value: f"{value:.4g}")] if len(table) else []
    return Shown(
        {
            "result": type(result).__name__,
            "summary": repr(result),
            "file": str(path),
            "rows": records(result.to_frame()),
        },
        "\n".join([*lines, repr(result), f"written to {path}"]),
    )


def table_of(frame: Any) -> Table:
    """A pandas table of texts, for the terminal."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in frame.columns:
        table.add_column(str(column))
    for row in frame.itertuples(index=False):
        table.add_row(*(escape(str(cell)) for cell in row))
    return table


def records(frame: Any) -> list[dict[str, Any]]:
    """The rows of a pandas table as plain data; an undefined value is None."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")
