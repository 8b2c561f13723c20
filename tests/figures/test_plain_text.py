"""Names that are not ours in every figure: printed letter by letter, cut where they are long, and never markup."""

import html
import json
import re
from dataclasses import replace

import pandas as pd
import pytest
from browser import need_browser
from hypothesis import given
from hypothesis import strategies as st
from tiny import LABELS, tiny_module
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from hc_interp import figures
from hc_interp.evaluation.effective_size import effective_size
from hc_interp.figures.circuit.tikz import ESCAPES
from hc_interp.figures.images import svg_texts
from hc_interp.figures.plain_text import plain
from hc_interp.figures.style import INCHES, points, text_width
from hc_interp.models.load import load

LONG = "long_" * 40
HOSTILE = ("<b>x</b>", "a&b", "&lt;", "$x{}$", "</s>", LONG)
TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "a&b", "&lt;", "$x$", "the", "▁saw", "<0x0A>", "tab\t", LONG)
OURS = re.compile(r"<br>|</?b>|<span style='font-size:0.88em'>|</span>")
SHOWN = ("text", "ticktext", "hovertext", "name", "label", "title")


def letters(text: str) -> str:
    """What plotly prints: its tags gone, its entities read."""
    return html.unescape(OURS.sub("", text.replace("<br>", "\n")))


def shown(plot) -> list[str]:
    """Every text that a plot shows."""

    def walk(value, key):
        if isinstance(value, dict):
            return [text for name, item in value.items() for text in walk(item, name)]
        if isinstance(value, list):
            return [text for item in value for text in walk(item, key)]
        return [value] if isinstance(value, str) and key in SHOWN else []

    return walk(json.loads(plot.to_json()), "")


def tokenizer(pair: str) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordLevel({name: i for i, name in enumerate(TOKENS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair=pair, special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


@pytest.fixture(scope="module", params=[("roberta", "<s> $A </s> </s> $B </s>"), ("llama", "<s> $A <s> $B")])
def model(request):
    family, pair = request.param
    return load(tiny_module(family), tokenizer=tokenizer(pair), labels=LABELS)


TEXTS = ("the a&b &lt; $x$ <0x0A>", f"▁saw tab\t {LONG}")
IN_TEXTS = ("<s>", "the", "a&b", "&lt;", "$x$", "<0x0A>", "▁saw", "tab\\t")


@pytest.mark.parametrize("heads", [None, ["L0H0", "L1H1"]])
def test_tokens_are_printed_as_they_are(model, heads) -> None:
    figure = figures.attention(model, *TEXTS, heads=heads)
    for axis in (figure.plot.layout.xaxis, figure.plot.layout.yaxis):
        ticks = [letters(text) for text in axis.ticktext]
        assert set(IN_TEXTS) <= set(ticks)
        assert not any("<" in text or "$" in text for text in axis.ticktext)
        assert any(text.startswith("long_") and text.endswith("…") for text in ticks)
        assert len(ticks) == len(figure.data["tokens"])
    hover = [letters(text) for row in figure.plot.data[0].hovertext for text in row]
    assert any(f"<s> → {LONG}: " in text for text in hover)
    assert figure.plot.layout.height < 500  # a long token leaves the cells their room


@pytest.fixture(scope="module")
def makers(results, small):
    """Every figure that prints names of the user's, by what it makes and the names that it must print."""
    evaluation = results.evaluation(cases=[*HOSTILE[:-1], *[f"{name}_ln_{name}" for name in HOSTILE]])
    names = ("full", *[f"{name} {place}" for place, name in enumerate(HOSTILE * 2)])
    evaluation = replace(evaluation, names=names)
    rows = [
        {"world": world, "core": core, "verdict": verdict, "rate": 0.3, "low": 0.2, "high": 0.4, "n": 20}
        for world, core, verdict in zip(HOSTILE, HOSTILE[1:] + HOSTILE[:1], HOSTILE, strict=True)
    ]
    full = {step: {"a": value} for step, value in ((100, 0.05), (200, 0.8))}
    grid = {0: {step: {20: {"a": whole["a"]}, 50: {"a": whole["a"] - 0.01}} for step, whole in full.items()}}
    size = effective_size(full, grid, ["a"])
    verdict = results.verdict(small.edges)
    record = verdict.records["order"]
    edges = replace(small.edges, metric="<lambda> & $x$", node=small.edges.node * float("nan"))
    return {
        "accuracy": (lambda width: figures.accuracy(evaluation, width=width), HOSTILE),
        "accuracy_by_sparsity": (lambda width: figures.accuracy_by_sparsity(evaluation, width=width), HOSTILE[:-2]),
        "calibration": (lambda width: figures.calibration(pd.DataFrame(rows), width=width), HOSTILE),
        "effective_size": (
            lambda width: figures.effective_size(dict.fromkeys(HOSTILE[1:], size), width=width),
            HOSTILE[1:],
        ),
        "path_matrix": (lambda width: figures.path_matrix(edges, width=width), ("<lambda> & $x$",)),
        "probe_scores": (
            lambda width: figures.probe_scores({name: results.probe(0.9) for name in HOSTILE}, width=width),
            HOSTILE,
        ),
        "reading": (
            lambda width: figures.reading(replace(verdict, records=dict.fromkeys(HOSTILE, record)), width=width),
            HOSTILE,
        ),
    }


NAMES = ("accuracy", "accuracy_by_sparsity", "calibration", "effective_size", "path_matrix", "probe_scores", "reading")


@pytest.mark.parametrize("width", INCHES)
@pytest.mark.parametrize("name", NAMES)
def test_names_are_printed_as_they_are(makers, name: str, width) -> None:
    make, names = makers[name]
    figure = make(width)
    texts = shown(figure.plot)
    assert not [text for text in texts if re.search(r"[<$]", OURS.sub("", text))]
    read = " | ".join(map(letters, texts))
    assert all(item in read for item in names)
    assert not re.search("&#36;|&amp;", figure.caption)  # the page escapes it
    lines = [line for text in labels(figure.plot) for line in letters(text).split("\n")]
    assert max(map(text_width, lines)) <= 0.75 * points(width)


def test_the_circuit_s_own_words_are_no_markup(small) -> None:
    texts = shown(figures.circuit(small.edges, core=small.core, generalizing=small.generalizing).plot)
    assert "node share < 0" in map(letters, texts)
    assert not [text for text in texts if re.search(r"[<$]", OURS.sub("", text))]


def labels(plot) -> list[str]:
    """Ticks and names of the legend, which stand beside the plot and take its room."""
    record = json.loads(plot.to_json())
    axes = [axis for name, axis in record["layout"].items() if name.startswith(("xaxis", "yaxis"))]
    ticks = [text for axis in axes for text in axis.get("ticktext", ())]
    return [*ticks, *[trace["name"] for trace in record["data"] if trace.get("name")]]


@pytest.mark.parametrize("width", INCHES)
def test_usual_names_are_not_cut(results, small, width) -> None:
    drawn = figures.draw(results.run(), width=width)
    verdicts = ("reads_from", "does_not_read_from", "inconclusive")
    rows = [
        {"world": world, "core": "searched", "verdict": verdict, "rate": 0.3, "low": 0.2, "high": 0.4, "n": 20}
        for world in ("reads_directly", "reads_through_MLPs", "competing")
        for verdict in verdicts
    ]
    drawn["calibration"] = figures.calibration(pd.DataFrame(rows), width=width)
    assert not [text for figure in drawn.values() for text in shown(figure.plot) if "…" in text]


def test_rows_that_begin_alike_stay_apart(results) -> None:
    plot = figures.probe_scores({f"{LONG}{i}": results.probe(0.9) for i in range(3)}).plot
    assert len(plot.layout.yaxis.categoryarray) == len(plot.layout.yaxis.ticktext) == 3
    assert len(set(plot.data[0].y)) == 3
    numbered = figures.probe_scores({str(i): results.probe(0.9) for i in range(3)}).plot
    assert numbered.layout.yaxis.type == "category"
    assert list(numbered.layout.yaxis.ticktext) == ["2", "1", "0"]


@given(st.text(max_size=30), st.one_of(st.none(), st.floats(0, 200)))
def test_plain_text_is_no_markup_and_fits(text: str, room: float | None) -> None:
    found = plain(text, room)
    assert not re.search(r"[<>$\x00-\x1f]", found)
    read = html.unescape(found)
    whole = re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda match: repr(match[0])[1:-1], text)
    if room is None or text_width(whole) <= room:
        assert read == whole
    else:
        assert read.endswith("…")
        assert whole.startswith(read[:-1])
        assert text_width(read) <= max(room, text_width("…"))


def test_a_browser_prints_every_letter(model, makers) -> None:
    need_browser()
    drawn = [figures.attention(model, *TEXTS, heads=["L0H0"]), makers["probe_scores"][0]("single")]
    for svg, names in zip(svg_texts(drawn), (IN_TEXTS, HOSTILE[:-1]), strict=True):
        texts = [html.unescape(re.sub(r"<[^>]*>", "", text)) for text in re.findall(r"<text[^>]*>.*?</text>", svg)]
        assert set(names) <= {text.replace("\u00a0", " ") for text in texts}


@pytest.mark.parametrize(
    ("letter", "expected"), [("&", r"\&"), ("_", r"\_"), ("$", r"\$"), ("<", "$<$"), ("~", r"\textasciitilde{}")]
)
def test_latex_reads_no_letter_of_a_name_as_a_command(letter: str, expected: str) -> None:
    assert letter.translate(ESCAPES) == expected
