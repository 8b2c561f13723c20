"""Notebooks as pages of the site: text, code, and the outputs that are in the file, pictures included."""

import json
from typing import Any

from reference import ROOT

FOLDER = ROOT / "docs/notebooks"
REPOSITORY_NOTE = "Run it in Jupyter: [{name}]({name}). The page shows the outputs that the file has."


def notebook_pages() -> dict[str, str]:
    """The text of a page for each notebook, by the page's name on the site."""
    return {
        f"notebooks/{path.stem}.md": page(json.loads(path.read_text(encoding="utf-8")), path.name)
        for path in sorted(FOLDER.glob("*.ipynb"))
    }


def page(notebook: dict[str, Any], name: str) -> str:
    """A notebook as Markdown. Links to pages stand in it as in the notebook's cells, relative to its folder."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source.replace(".ipynb)", ".md)"))
        else:
            parts += [f"```python\n{source}\n```", *map(_output, cell["outputs"])]
    title, *rest = parts
    return "\n\n".join([title, REPOSITORY_NOTE.format(name=name), *rest]) + "\n"


def _output(output: dict[str, Any]) -> str:
    """The richest form that a page can show: a picture, HTML, or text."""
    data = output.get("data", {})
    if "image/png" in data:
        words = "".join(data["text/plain"]).split("'" if "'" in "".join(data["text/plain"])[:8] else '"')[1]
        return f'<img alt="{words}" src="data:image/png;base64,{data["image/png"]}">'
    if "text/html" in data:
        lines = "".join(data["text/html"]).splitlines()
        return "<div>" + "\n".join(line for line in lines if line.strip()) + "</div>"
    text = "".join(data.get("text/plain", output.get("text", ""))).rstrip("\n")
    return f'```text title="Output"\n{text}\n```'
