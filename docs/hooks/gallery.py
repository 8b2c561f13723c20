"""The gallery: every figure of `hc.figures` with the line that draws it, drawn anew when the site is built.

The results come from `tests/gallery_figures.py`. Pictures are kept in build/gallery by the digest of the plot, so that
only changed ones are drawn again.
"""

import hashlib
import html
import inspect
import sys
from pathlib import Path
from typing import Any

from reference import ROOT

KEPT = ROOT / "build/gallery"
INTRODUCTION = """# Gallery

Every figure of `hc.figures`, and the line that draws it. The results in them are made up, from tiny models and random
numbers: the pictures show forms and not findings. [Figures for a paper](how_to/figures.md) says how figures are written
to files, and in what sizes."""


def gallery() -> tuple[str, dict[str, Path]]:
    """The page, and its pictures by their paths on the site. Drawing needs a browser, as `Figure.write` does."""
    sys.path.insert(0, str(ROOT / "tests"))
    import gallery_figures as made

    import hc_interp as hc

    figures = {name: made.drawn(name) for name in made.LINES}
    paths = {name: KEPT / f"{name}-{_digest(figure)}.svg" for name, figure in figures.items()}
    new = {path.stem: figures[name] for name, path in paths.items() if not path.exists()}
    hc.figures.write_all(new, KEPT, ["svg"])
    parts = [INTRODUCTION]
    for name, line in made.LINES.items():
        title = html.escape(figures[name].title)
        parts += [f"## {title}", _first_sentence(getattr(hc.figures, name)), f"```python\n{line}\n```"]
        parts.append(f"![{title}](gallery/{name}.svg)")
    return "\n\n".join(parts) + "\n", {f"gallery/{name}.svg": path for name, path in paths.items()}


def _digest(figure: Any) -> str:
    return hashlib.sha256(str(figure.plot.to_json()).encode()).hexdigest()[:16]


def _first_sentence(function: Any) -> str:
    """What a figure shows, from the first paragraph of its docstring."""
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
