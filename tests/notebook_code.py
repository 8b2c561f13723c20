"""The code of a notebook of the site: run cell by cell as Jupyter would, its outputs compared with those in the file.

The cells run in order in one namespace, in an empty folder. An output is what was printed (a stream), or the last
expression's text, HTML and picture. Texts are the same by the rules of `page_code`; a picture must only be there. In a
cell with the tag "can-differ" texts must only be there too.

`python tests/notebook_code.py docs/notebooks/NAME.ipynb` runs a notebook and writes its outputs into it: texts
that are not the same, and all pictures.
"""

import ast
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from page_code import DOCS, same

NOTEBOOKS = DOCS / "notebooks"
CAN_DIFFER = "can-differ"
LARGEST = 300_000  # bytes of a notebook's file


def notebooks() -> list[str]:
    """The notebooks of the site, by their file names."""
    return sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of code that are not empty, in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]


def run_notebook(notebook: dict[str, Any], folder: Path) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Run a notebook in `folder`, one cell a step, and give each cell with its outputs. An error ends it."""
    names: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.chdir(folder):
        for number, cell in enumerate(code_cells(notebook), start=1):
            yield cell, _run(_text(cell["source"]), names, folder / f"cell_{number}.py", number)


def _run(source: str, names: dict[str, Any], path: Path, number: int) -> list[dict[str, Any]]:
    path.write_text(source, encoding="utf-8")  # a real file: nnsight reads the source of a trace
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";") else None
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(tree, str(path), "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), str(path), "eval"), names)
    outputs: list[dict[str, Any]] = []
    if printed := out.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": _lines(printed)})
    if value is not None:
        outputs.append(
            {"data": shown(value), "execution_count": number, "metadata": {}, "output_type": "execute_result"}
        )
    return outputs


def shown(value: Any) -> dict[str, Any]:
    """What Jupyter stores of a value, by type of content: its text, its HTML, a picture."""
    if hasattr(value, "_repr_mimebundle_"):
        bundle = value._repr_mimebundle_()
    else:
        bundle = {"text/plain": repr(value)}
        if hasattr(value, "_repr_html_"):
            bundle["text/html"] = value._repr_html_()
    kept = {kind: base64.b64encode(item).decode() if isinstance(item, bytes) else item for kind, item in bundle.items()}
    return {kind: _lines(item) if kind.startswith("text/") else item for kind, item in sorted(kept.items())}


def is_as_stored(cell: dict[str, Any], outputs: Sequence[dict[str, Any]]) -> bool:
    """Whether the outputs of a cell are those in the notebook, by the rules at the top."""
    stored, new = _contents(cell["outputs"]), _contents(outputs)
    if [kind for kind, _ in stored] != [kind for kind, _ in new]:
        return False
    if CAN_DIFFER in cell["metadata"].get("tags", ()):
        return True
    return all(same(old, text) for (kind, old), (_, text) in zip(stored, new, strict=True) if _is_text(kind))


def _contents(outputs: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Type and text of everything in a cell's outputs, in order; of one value by type."""
    found = []
    for output in outputs:
        contents = output.get("data", {"stdout": output.get("text", "")})
        found += [(kind, _text(item)) for kind, item in sorted(contents.items())]
    return found


def _is_text(kind: str) -> bool:
    return kind == "stdout" or kind.startswith("text/")


def _text(lines: str | Sequence[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main(paths: Sequence[str]) -> None:
    for path in map(Path, paths):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            for number, (cell, outputs) in enumerate(run_notebook(notebook, Path(folder)), start=1):
                seconds = time.perf_counter() - began
                is_same = is_as_stored(cell, outputs)
                print(f"{path} cell {number}: {seconds:.1f} s{'' if is_same else ', other outputs'}", flush=True)
                cell["execution_count"] = number
                if not is_same or any(kind.startswith("image/") for kind, _ in _contents(outputs)):
                    cell["outputs"] = outputs
        text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        path.write_text(text, encoding="utf-8")
        print(f"{path}: {len(text.encode())} bytes", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "120")
    main(sys.argv[1:])
