"""What a command says at its end: text for people, or one JSON object for machines."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from hc_interp.files import json_text

ROWS = 40  # of a table that people see; machines get all


@dataclass(frozen=True)
class Shown:
    """A command's end: `record` for machines, `text` (a string, or what rich prints) for people, its exit code."""

    record: dict[str, Any]
    text: Any
    code: int = 0


def show(shown: Shown, as_json: bool) -> None:
    if as_json:
        typer.echo(json_text(shown.record))
    elif isinstance(shown.text, str):
        typer.echo(shown.text)
    else:
        Console().print(shown.text)


def written(result: Any, out: Path, frame: Any = None) -> Shown:
    """Save a result, and show its first rows (or those of `frame`), what it is, and where it lies."""
    path = result.save(out)
    table = (result.to_frame() if frame is None else frame).head(ROWS)
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


def records(frame: Any) -> list[dict[str, Any]]:
    """A table's rows as plain data; what is not defined is None."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")
