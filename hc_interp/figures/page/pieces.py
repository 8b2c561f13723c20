"""Fills the templates of web pages. plotly.js and the figures are compressed; all other values are escaped."""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from hc_interp.figures.style import ON_DARK


class Captioned(Protocol):
    """A plotly figure with its title and caption, such as `hc.figures.Figure`."""

    @property
    def plot(self) -> Any: ...
    @property
    def title(self) -> str: ...
    @property
    def caption(self) -> str: ...


def _unbroken(value: Any) -> Any:
    """The text with no line break between a number and its percent sign. Text marked as safe stays as it is."""
    return value.replace(" %", "\u00a0%") if type(value) is str else value


def _breakable(text: str) -> Any:
    """The text with line breaks allowed after its underscores and slashes, for long ids."""
    from markupsafe import Markup, escape

    safe = str(escape(_unbroken(text)))
    return Markup(safe.replace("_", "_<wbr>").replace("/", "/<wbr>"))


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Every value is escaped. Only the package's own files and base64 text are marked as safe, in `page`.
    environment = Environment(
        loader=PackageLoader("hc_interp.figures", "page"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_unbroken,
    )  # fmt: skip
    environment.filters["breakable"] = _breakable
    return environment


def packed(data: bytes) -> str:
    """The data after gzip and base64, which the page's script unpacks. The same bytes always give the same text."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


@cache
def _plotly() -> str:
    return packed(files("plotly").joinpath("package_data", "plotly.min.js").read_bytes())


def _page_file(name: str) -> str:
    return files("hc_interp.figures.page").joinpath(name).read_text(encoding="utf-8")


def svg_link(text: str) -> str:
    """An SVG as the `src` of an `img`."""
    return f"data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}"


def page(template: str, figures: Mapping[str, Sequence[Captioned]], **values: Any) -> str:
    """One HTML page. `figures[id]` holds a figure at several widths, narrow first. Without figures it has no script."""
    from markupsafe import Markup

    # Each width has its own caption, because a narrow circuit draws fewer edges and its caption says how many.
    drawn = {
        name: [{**json.loads(str(item.plot.to_json())), "caption": _unbroken(item.caption)} for item in widths]
        for name, widths in figures.items()
    }
    record = json.dumps({"dark": ON_DARK, "figures": drawn}).encode()
    parts = {
        "css": Markup(_page_file("style.css")),
        "script": Markup(_page_file("page.js")),
        "plotly": Markup(_plotly() if figures else ""),
        "figures": Markup(packed(record)),
    }
    return _environment().get_template(template).render(**parts, **values)


def frame(figure: Captioned) -> str:
    """The page of one figure as an `iframe` that is as high as its content and fetches nothing from the network."""
    text = figure_page(figure).replace("&", "&amp;").replace('"', "&quot;")
    grow = (  # once loaded, once the page says that its figures are drawn, and whenever its body changes its size
        "const root = this.contentDocument.documentElement, body = this.contentDocument.body; "
        "const fit = () => { this.style.height = `${body.scrollHeight + 24}px`; }; fit(); "
        "new MutationObserver(fit).observe(root, {attributes: true}); "
        "new ResizeObserver(() => requestAnimationFrame(fit)).observe(body)"
    )
    height = int(figure.plot.layout.height or 450) + 120
    return f'<iframe srcdoc="{text}" style="width: 100%; height: {height}px; border: 0" onload="{grow}"></iframe>'


def figure_page(figure: Captioned) -> str:
    """A page with one figure and its caption."""
    words = {"id": "figure", "title": figure.title, "caption": figure.caption}
    return page("figure.html", {"figure": [figure]}, figure=words)
