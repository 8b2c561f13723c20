"""Writing figures: each suffix, and what is said where one cannot be written."""

import base64
import builtins
import gzip
import html
import json
import re
import sys
from types import ModuleType, SimpleNamespace

import pytest
from browser import need_browser, opened

from hc_interp.errors import HCError
from hc_interp.figures import images
from hc_interp.figures.circuit.circuit import circuit
from hc_interp.figures.figure import Figure
from hc_interp.figures.images import NoBrowser, write_images
from hc_interp.figures.reading import reading


@pytest.fixture(scope="module")
def figure(small) -> Figure:
    return circuit(small.edges, core=small.core, generalizing=small.generalizing, width="single")


def unpack(text: str, name: str) -> bytes:
    packed = re.search(rf'id="{name}">([^<]*)<', text)
    assert packed
    return gzip.decompress(base64.b64decode(packed[1]))


def test_html_is_one_page_with_everything_inside(figure, tmp_path):
    text = figure.write(tmp_path / "circuit.html").read_text()
    assert "src=" not in text
    assert not re.search(r'href="(?!data:|#)', text)
    assert b"Plotly" in unpack(text, "plotly")
    assert json.loads(unpack(text, "figures"))["figures"]["figure"][0]["layout"]["width"] == pytest.approx(316.8)
    assert len(text) < 2.2e6


def test_json_holds_data_caption_and_the_plot(figure, tmp_path):
    record = json.loads(figure.write(tmp_path / "deep" / "circuit.json").read_text())
    assert set(record) == {"title", "caption", "data", "plotly"}
    assert len(record["data"]["edges"]) == len(figure.data["edges"])


def test_tex_is_for_circuits_alone(figure, small, results, tmp_path):
    assert r"\begin{tikzpicture}" in figure.write(tmp_path / "circuit.tex").read_text()
    other = reading(results.verdict(small.edges))
    with pytest.raises(HCError, match=r"not known for this figure. Choose .html, .svg, .pdf, .png, .json\."):
        other.write(tmp_path / "reading.tex")


@pytest.mark.parametrize("name", ["circuit.jpeg", "circuit", "circuit.html.bak"])
def test_an_unknown_suffix_names_those_that_work(figure, tmp_path, name):
    with pytest.raises(HCError, match=r"Choose .html, .svg, .pdf, .png, .json, .tex"):
        figure.write(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_upper_case_suffix_works(figure, tmp_path):
    assert figure.write(tmp_path / "circuit.JSON").exists()


def test_pictures_have_the_size_of_the_column(figure, tmp_path):
    need_browser()
    paths = [tmp_path / f"circuit.{kind}" for kind in ("png", "svg", "pdf")]
    assert write_images(dict.fromkeys(paths, figure)) == paths
    png, svg, pdf = (path.read_bytes() for path in paths)
    assert int.from_bytes(png[16:20], "big") == pytest.approx(3.3 * 300, abs=2)
    assert b'width="316.8' in svg or b'width="317"' in svg
    box = re.search(rb"MediaBox \[0 0 ([\d.]+)", pdf)
    assert box
    assert float(box[1]) == pytest.approx(3.3 * 72, abs=1)
    assert svg.index(b"@font-face") < svg.index(b"<g")
    assert b"font-family: 'HC Sans'" in svg.replace(b"&quot;", b"'")
    assert re.search(rb"/FontFile[23]?\b|/Type3\b", pdf), "the PDF names fonts that it does not hold"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["circuit.pdf", "circuit.png", "circuit.svg"]


def test_without_a_browser_the_error_says_how_to_get_one(figure, tmp_path, monkeypatch):
    pytest.importorskip("kaleido", reason="kaleido is not installed")
    from choreographer.errors import ChromeNotFoundError

    for error in (ChromeNotFoundError("none"), RuntimeError("run plotly_get_chrome")):

        def fail(figures, error=error):
            raise error

        monkeypatch.setattr(images, "_write", fail)
        with pytest.raises(NoBrowser, match=r"apt-get install chromium.*plotly_get_chrome.*\.html and \.json work"):
            figure.write(tmp_path / "circuit.pdf")
    assert not list(tmp_path.iterdir())


def test_other_failures_of_drawing_are_not_hidden(figure, tmp_path, monkeypatch):
    pytest.importorskip("kaleido", reason="kaleido is not installed")

    def fail(figures):
        raise RuntimeError("something else")

    monkeypatch.setattr(images, "_write", fail)
    with pytest.raises(RuntimeError, match="something else"):
        figure.write(tmp_path / "circuit.pdf")


def test_without_kaleido_the_error_names_it(figure, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **options):
        if name == "kaleido":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NoBrowser, match="kaleido"):
        figure.write(tmp_path / "circuit.png")


@pytest.fixture
def renderer(monkeypatch):
    """Set what plotly draws with: that of this front end."""
    import plotly.io

    before = plotly.io.renderers.default
    yield lambda name: setattr(plotly.io.renderers, "default", name)
    plotly.io.renderers.default = before


def test_a_figure_shows_itself_and_says_what_it_is(figure, renderer):
    assert "<div" in figure._repr_html_()
    assert ".tex" in repr(figure)
    renderer("plotly_mimetype")  # what a notebook uses
    shown = figure._repr_mimebundle_()
    assert shown["application/vnd.plotly.v1+json"]["layout"]["width"] == pytest.approx(316.8)
    renderer("browser")  # no notebook: what plotly leaves out is made here
    assert set(figure._repr_mimebundle_()) == {"text/plain", "text/html"}


@pytest.mark.parametrize(
    "name", ["plotly_mimetype", "plotly_mimetype+notebook", "notebook_connected", "colab", "browser"]
)
def test_what_a_notebook_keeps_fetches_nothing(figure, renderer, name):
    renderer(name)
    shown = figure._repr_mimebundle_()
    text = html.unescape(re.sub(r"<script.*?</script>", "", shown["text/html"], flags=re.S))
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert "http" not in text
    assert len(shown["text/html"]) < 2.2e6
    assert shown["text/plain"] == repr(figure)


def test_a_notebooks_page_that_is_opened_offline_shows_the_figure(figure, renderer, tmp_path):
    renderer("notebook_connected")  # whose own HTML needs the network
    page = tmp_path / "notebook.html"
    look = (  # looked for up to 10 s
        "let left = 200; const wait = setInterval(() => { const f = document.querySelector('iframe'), "
        "d = f.contentDocument; if (d.documentElement.dataset.figures !== 'drawn') return; "
        "const inside = d.body.scrollHeight <= f.clientHeight; if (!inside && left-- > 0) return; clearInterval(wait); "
        "document.body.dataset.seen = JSON.stringify({paths: d.querySelectorAll('svg path').length, "
        "words: d.querySelector('figcaption').textContent, inside, height: f.clientHeight}); }, 50);"
    )
    output = figure._repr_mimebundle_()["text/html"]
    page.write_text(f'<!doctype html><body><div class="output">{output}</div><script>{look}</script></body>')
    seen = re.search(r"data-seen='?\"?(\{.*?\})[\"'] ?", html.unescape(opened(page, tmp_path / "profile")))
    assert seen
    record = json.loads(seen[1])
    assert record["paths"] > 20
    assert figure.title in record["words"]
    assert record["inside"]
    assert record["height"] < 1500


def test_a_picture_that_plotly_was_set_to_is_shown_alone(figure, renderer):
    need_browser()
    renderer("svg")
    assert set(figure._repr_mimebundle_()) == {"text/plain", "image/svg+xml"}
    assert figure._repr_html_() is None  # a notebook asks for it too, and would show it in place of the picture


def test_show_in_a_notebook_is_that_output(figure, monkeypatch):
    shown = []
    ipython, module = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    module.display = shown.append
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    figure.show()
    assert shown == [figure]


def test_results_show_themselves_in_a_notebook(results, small):
    run = results.run()
    shown = [
        run.search,
        run.evaluation,
        run.core,
        run.generalizing,
        run.edges,
        run.verdict,
        run.probes["L3H7 v, clean"],
    ]
    for result in shown:
        text = result._repr_html_()
        assert text.startswith("<p>")
        assert "<table" in text
        assert len(text) < 200_000
    whole = run._repr_html_()
    assert whole.startswith("<p><b>RunResults(")
    assert "through MLPs" in whole
    assert "<table" in whole
