"""`Figure`: a drawn result with its title, its caption and its data, which writes itself to files."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hc_interp.errors import HCError
from hc_interp.figures.images import PICTURES, write_images
from hc_interp.figures.page.pieces import figure_page, frame
from hc_interp.files import write_json, write_text
from hc_interp.progress import in_notebook


@dataclass(frozen=True, eq=False)
class Figure:
    """A drawn result.

    `plot` is a `plotly.graph_objects.Figure`. `caption` explains the picture and says what it does not show. `data` is
    the drawn data, as plain lists and dicts. `tex` makes a TikZ picture (None: this figure has none). In a notebook the
    figure displays itself.
    """

    plot: Any
    title: str
    caption: str
    data: Any
    tex: Callable[[], str] | None = None

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The suffixes of file names that `write` accepts for this figure."""
        return tuple(suffix for suffix in _WRITERS if suffix != ".tex" or self.tex)

    def write(self, path: str | Path) -> Path:
        """Write the figure in the format of the path's suffix. The file appears whole or not at all. Returns the path.

        .html is one page that needs no network. .svg, .pdf and .png (300 dpi) need Chrome or Chromium. .json holds the
        title, the caption, the data and plotly's own figure. .tex (circuits only) is a TikZ picture. Raises `HCError`
        for other suffixes, and for a format that needs a browser if none is found.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix not in self.suffixes:
            raise HCError(
                f"A figure cannot be written as {target.name!r}: the suffix {target.suffix!r} is not known"
                f"{' for this figure' if suffix in _WRITERS else ''}. Choose {', '.join(self.suffixes)}."
            )
        _WRITERS[suffix](self, target)
        return target

    def show(self) -> None:
        """Show the figure in the notebook, or outside of a notebook in a browser."""
        if in_notebook():
            from IPython.display import display  # type: ignore[import-not-found]

            display(self)
        else:
            self.plot.show()

    def _repr_html_(self) -> str | None:
        """None where the user chose a renderer of plotly that draws pictures: notebooks would store both."""
        return None if any(map(_draws_pictures, _renderers())) else frame(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The formats that a notebook may show: plotly's own for this front end, but with our HTML.

        Plotly's HTML takes its script from the network or from another cell, so a saved notebook is blank offline. Ours
        is a frame that needs neither.
        """
        bundle = {"text/plain": repr(self)}
        for renderer in _renderers():
            bundle |= renderer.to_mimebundle(self.plot.to_dict())
        html = self._repr_html_()
        return bundle if html is None else {**bundle, "text/html": html}

    def __repr__(self) -> str:
        return f"Figure({self.title!r}; write as {', '.join(self.suffixes)})"


def _renderers() -> list[Any]:
    """Plotly's default renderers, without those that make HTML."""
    from plotly.io import renderers
    from plotly.io.base_renderers import HtmlRenderer, MimetypeRenderer

    chosen = [renderers[name] for name in (renderers.default or "").split("+") if name]
    return [item for item in chosen if isinstance(item, MimetypeRenderer) and not isinstance(item, HtmlRenderer)]


def _draws_pictures(renderer: Any) -> bool:
    from plotly.io.base_renderers import ImageRenderer

    return isinstance(renderer, ImageRenderer)


def _image(figure: Figure, path: Path) -> None:
    write_images({path: figure})


def _html(figure: Figure, path: Path) -> None:
    write_text(path, figure_page(figure))


def _json(figure: Figure, path: Path) -> None:
    record = {"title": figure.title, "caption": figure.caption, "data": figure.data}
    write_json(path, {**record, "plotly": json.loads(str(figure.plot.to_json()))})


def _tex(figure: Figure, path: Path) -> None:
    assert figure.tex is not None
    write_text(path, figure.tex())


_WRITERS: dict[str, Callable[[Figure, Path], None]] = {
    ".html": _html,
    ".svg": _image,
    ".pdf": _image,
    ".png": _image,
    ".json": _json,
    ".tex": _tex,
}


def write_all(figures: Mapping[str, Figure], folder: str | Path, formats: Sequence[str] = ("svg",)) -> list[Path]:
    """Write `<name>.<format>` into a folder for each of `figures` and `formats`, and return the paths.

    The browser is started once. A figure without a TikZ picture gets no .tex file. Raises `HCError` for an unknown
    format, and for a format that needs a browser if none is found.
    """
    if unknown := sorted(set(formats) - {suffix.lstrip(".") for suffix in _WRITERS}):
        raise HCError(f"{', '.join(unknown)} is no format of a figure. Choose {', '.join(s[1:] for s in _WRITERS)}.")
    files = [(Path(folder) / f"{name}.{f}", figure) for name, figure in figures.items() for f in formats]
    files = [(path, figure) for path, figure in files if path.suffix != ".tex" or figure.tex]
    pictures = {path: figure for path, figure in files if path.suffix in PICTURES}
    write_images(pictures)
    return [path if path in pictures else figure.write(path) for path, figure in files]
