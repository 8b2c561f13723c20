"""Writes .svg, .pdf and .png files: kaleido lets the machine's own Chrome or Chromium draw them."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

from hc_interp.errors import HCError
from hc_interp.figures.fonts import font_faces
from hc_interp.files import atomic

PICTURES = (".svg", ".pdf", ".png")
PNG_SCALE = 300 / 96  # 300 dots per printed inch; plotly's sizes assume 96


class Drawn(Protocol):
    """An object with a plotly figure, such as `hc.figures.Figure`."""

    @property
    def plot(self) -> Any: ...


class NoBrowser(HCError):
    """kaleido or the browser is missing, or the browser does not start."""


def write_images(figures: Mapping[Path, Drawn]) -> list[Path]:
    """Write each figure in the format of its path's suffix, with one start of the browser. All files appear, or none.

    Raises `NoBrowser` if kaleido or a browser is missing, or if the browser does not start.
    """
    if not figures:
        return []
    suffixes = "/".join(dict.fromkeys(path.suffix for path in figures))
    try:
        import kaleido  # noqa: F401
        from choreographer.errors import BrowserClosedError, BrowserDepsError, BrowserFailedError, ChromeNotFoundError
    except ImportError as error:
        raise NoBrowser(
            f"Drawing {suffixes} needs the package kaleido (1.0 or later), which is not installed. Install it "
            "(`pip install 'hc-interp[export]'`); .html and .json work without."
        ) from error
    try:
        _write(figures)
    except (BrowserClosedError, BrowserDepsError, BrowserFailedError) as error:
        raise NoBrowser(
            f"The browser that would draw {suffixes} was found but did not start ({type(error).__name__}). Install its "
            "libraries (`apt-get install chromium`), or set BROWSER_PATH to another one; .html and .json work without."
        ) from error
    except (ChromeNotFoundError, RuntimeError) as error:
        if not isinstance(error, ChromeNotFoundError) and "plotly_get_chrome" not in str(error):
            raise
        raise NoBrowser(
            f"No Chrome or Chromium was found, which drawing {suffixes} needs. Install one (`apt-get install "
            "chromium`, or `plotly_get_chrome`), or set BROWSER_PATH to it; .html and .json work without."
        ) from error
    return list(figures)


def svg_texts(figures: Sequence[Drawn]) -> list[str]:
    """Each figure as the text of an SVG file."""
    with TemporaryDirectory() as folder:
        paths = write_images({Path(folder) / f"{index}.svg": figure for index, figure in enumerate(figures)})
        return [path.read_text(encoding="utf-8") for path in paths]


def try_browser(folder: Path) -> None:
    """Draw an empty picture into a folder. Raises `NoBrowser` if that fails."""
    import plotly.graph_objects as go

    write_images({folder / "empty.svg": _Empty(go.Figure(layout={"width": 50, "height": 50}))})


class _Empty(NamedTuple):
    plot: Any


def _write(figures: Mapping[Path, Drawn]) -> None:
    import plotly.io

    with ExitStack() as stack:
        temporary: list[Path] = [stack.enter_context(atomic(path)) for path in figures]
        plotly.io.write_images(
            fig=[figure.plot for figure in figures.values()],
            file=temporary,  # type: ignore[arg-type]
            format=[path.suffix.lstrip(".").lower() for path in figures],
            # For a list of figures plotly takes its default size, not the figures' own sizes, unless they are given.
            width=[figure.plot.layout.width for figure in figures.values()],
            height=[figure.plot.layout.height for figure in figures.values()],
            scale=[PNG_SCALE if path.suffix.lower() == ".png" else 1 for path in figures],
        )
        for path in temporary:
            if path.suffix.lower() == ".svg":
                _embed_font(path)


def _embed_font(path: Path) -> None:
    """Put the font into an SVG file. Without this the file only names its font and looks different elsewhere."""
    text = path.read_text(encoding="utf-8")
    start = text.index(">", text.index("<svg")) + 1
    path.write_text(f"{text[:start]}<style>{font_faces()}</style>{text[start:]}", encoding="utf-8")
