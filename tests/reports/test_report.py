"""The report: one file, everything escaped, every part optional, and it draws in a real browser without errors."""

import base64
import gzip
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest
from browser import chromium, opened

from hc_interp.errors import ResultError
from hc_interp.figures.images import NoBrowser
from hc_interp.figures.numbers import percent, span
from hc_interp.reports.report import draw_run, report
from hc_interp.reports.words import edge_words, evaluation_words, generalizing_words, reading_words
from hc_interp.runs.results import RunResults
from hc_interp.subnetwork import Subnetwork

VOID = {"meta", "link", "br", "hr", "img", "input", "source", "wbr"}


class Outline(HTMLParser):
    """Tags that open and close, ids, and headings."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.ids, self.headings, self.links = [], [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" else []
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(results, tmp_path_factory):
    path = report(results.run(), tmp_path_factory.mktemp("report") / "report.html")
    return path, path.read_text()


def test_it_is_one_small_file_that_fetches_nothing(page):
    path, text = page
    figures = json.loads(gzip.decompress(base64.b64decode(re.search(r'id="figures">([^<]*)<', text)[1])))["figures"]
    assert len(figures) == 7
    assert path.stat().st_size < 2.5e6 + 50e3 * len(figures)
    outside = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", outside)
    assert "@import" not in text
    assert "url(" not in outside


def test_it_is_well_formed_and_its_headings_and_links_lead_somewhere(page):
    outline = Outline()
    outline.feed(re.sub(r"(<script[^>]*>).*?(</script>)", r"\1\2", page[1], flags=re.S))
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(outline.headings))
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)


def test_it_leads_with_question_verdict_and_the_demo_notice(page, results, small):
    text = page[1]
    asked = "Do the 5 generalizing heads read from the 9 heads of the heuristic core below them?"
    said = (
        "Open, since the premises were not checked (they need a task that says where a heuristic is right); of the "
        "paths alone: the generalizing heads (5) depend"
    )
    assert text.index("<h1>") < text.index(asked) < text.index(said) < text.index("Demo settings.") < text.index("<nav")
    assert text.index("42.0\u00a0% [39.0, 45.0]", text.index('id="reads-from"'))
    order = [
        "accuracy",
        "heuristic-core",
        "generalizing",
        "paths-between",
        "reads-from",
        "what-travels",
        "tables",
        "settings",
    ]
    places = [text.index(f'<section id="{name}"') for name in order]
    assert places == sorted(places)


def test_real_settings_have_no_demo_notice(results, tmp_path):
    run = results.run(manifest={"settings": {"demo": False}})
    assert "Demo settings" not in report(run, tmp_path / "r.html").read_text()


def test_every_table_can_be_downloaded_whole(page, results):
    found = dict(re.findall(r'download="([\w-]+)\.csv" href="data:text/csv;charset=utf-8;base64,([^"]*)"', page[1]))
    assert set(found) == {"accuracy", "search", "core", "generalizing", "paths", "reads-from", "probes"}
    frame = pd.read_csv(io.BytesIO(base64.b64decode(found["accuracy"])))
    expected = results.run().evaluation.to_frame(long=True)
    assert len(frame) == len(expected) > 300
    assert frame["value"].to_numpy() == pytest.approx(expected["value"].to_numpy())


def test_everything_foreign_is_escaped(results, small, tmp_path):
    evil = "<script>alert('x')</script>"
    run = results.run(
        manifest={"settings": {"name": evil, "demo": True}},
        probes={evil: results.probe(0.8)},
        evaluation=results.evaluation(cases=[evil]),
        verdict=results.verdict(small.edges, notes=(evil,)),
    )
    text = report(run, tmp_path / "r.html").read_text()
    assert evil not in text
    assert "&lt;script&gt;alert" in text
    assert text.count("<script") == 3


def test_settings_and_versions_are_listed(page):
    end = page[1][page[1].index('id="settings"') :]
    for words in ("settings.pairs", "tiny &lt;test&gt; model", "0123abcd", ">torch<", "2.13"):
        assert words in end


def test_it_says_which_model_task_and_pairs_it_is_about(results, tmp_path):
    case = "lexical_overlap_ln_passive"
    manifest = {
        "status": "running", "figures": {"files": ["figures/x.svg"]}, "started": "2025-01-02",
        "model": {"name": "zoo:tiny"}, "data": {"task": "mnli-hans"},
        "pairs": {kind: {"case": case, "n": n} for kind, n in (("order", 48), ("overlap", 40))},
    }  # fmt: skip
    text = report(results.run(manifest=manifest), tmp_path / "r.html").read_text()
    said = f"Model zoo:tiny on task mnli-hans; tested on 48 order and 40 overlap pairs of {case}; run on 2025-01-02."
    text = text.replace("<wbr>", "")  # long ids may break after underscores
    assert said in text
    assert text.index("<h1>") < text.index('class="verdict') < text.index(said)
    assert "running" not in text
    assert "x.svg" not in text


def test_without_a_manifest_the_model_is_taken_from_the_results(page):
    assert '<p class="about">Model tiny &lt;test&gt; model.</p>' in page[1]


def test_words_do_not_say_things_twice_and_count_what_leads_nowhere(results, small):
    words = reading_words(results.verdict(small.edges))
    assert not any(line.startswith("Reason:") for line in words)
    assert any("necessity 42.0 % [39.0, 45.0] (means)" in line for line in words)
    first, second = edge_words(small.edges)
    assert "135 paths" in first
    assert "For 3 of them the receiver is not downstream" in first
    assert "of the 132 paths" in second


def test_an_accuracy_below_the_majority_is_said(results, tmp_path):
    made = results.evaluation()
    assert not any("label order" in words for words in evaluation_words(made))
    suspect = replace(made, majority=0.99)
    assert "would reach 99.0%. This suggests a wrong label order" in suspect.suspicion
    assert evaluation_words(suspect)[1] == f"Warning: {suspect.suspicion}"
    page = report(RunResults(evaluation=suspect), tmp_path / "r.html").read_text()
    assert page.count("This suggests a wrong label order") == 1


def test_sparsities_are_told_apart(results):
    """A range over two sizes would be taken for the spread of seeds."""
    made = results.evaluation()
    first, *rest = made.subnetworks[1:]
    smaller = Subnetwork(sorted(first.kept, key=str)[: len(first.kept) // 2], first.universe)
    mixed = replace(made, subnetworks=(None, smaller, *rest))
    at = [f" at {percent(item.sparsity, 0)} sparsity" for item in (smaller, rest[0])]
    told = evaluation_words(mixed)
    assert f"; its 1 subnetworks{at[0]} answer {percent(made.accuracy('validation')[1])} correctly" in told[0]
    assert f"its 11 subnetworks{at[1]} answer {span(made.accuracy('validation')[2:])} correctly." in told[0]
    assert f"for its subnetworks{at[0]} this mean is" in told[1]
    assert [words.startswith(f"Subnetworks{at[1]} differ most") for words in told[2:]] == [True]
    assert not any("sparsity" in words for words in evaluation_words(made))


def test_heads_that_may_carry_the_answer_alone_are_named(results):
    made = results.run().generalizing
    table = made.table.assign(carries_answer=made.table["head"] == "L5H1", more_than_overlap="yes")
    screened = replace(made, table=table)
    assert "may carry the answer alone: L5H1." in " ".join(generalizing_words(screened))
    unscreened = replace(made, table=table.assign(more_than_overlap="not checked"))
    assert unscreened.unscreened
    for other in (made, unscreened):
        assert "answer alone" not in " ".join(generalizing_words(other))


@pytest.mark.parametrize("part", ["search", "evaluation", "core", "generalizing", "edges", "probes", "verdict"])
def test_each_part_stands_alone(results, part, tmp_path):
    whole = results.run()
    run = RunResults(**{part: getattr(whole, part)})
    assert 'role="img"' in report(run, tmp_path / "r.html").read_text() or part == "generalizing"


@pytest.mark.parametrize("part", ["search", "evaluation", "core", "generalizing", "edges", "verdict"])
def test_a_result_is_reported_as_it_is(results, part, tmp_path):
    """One result, or a list of one, as the run that has nothing else."""
    result = getattr(results.run(), part)
    expected = report(RunResults(**{part: result}), tmp_path / "run.html").read_text()
    for given in (result, [result], {part: result}):
        assert report(given, tmp_path / "result.html").read_text() == expected


@pytest.mark.parametrize("given", [3, None, [3], {"a": None}])
def test_what_is_no_result_is_not_reported(given, tmp_path):
    with pytest.raises(ResultError, match=r"Expected a (run|result)"):
        report(given, tmp_path / "r.html")
    assert not [*tmp_path.iterdir()]


def test_parts_need_no_other_parts(results, tmp_path):
    run = results.run(core=None, generalizing=None, edges=None, evaluation=None)
    text = report(run, tmp_path / "r.html").read_text()
    assert 'data-figure="circuit"' in text  # the verdict brings paths and heads
    assert 'data-figure="accuracy"' not in text


def test_a_verdict_that_tested_nothing_is_reported(results, tmp_path):
    nothing = results.verdict(
        None,
        answer="inconclusive",
        reason="no generalizing heads",
        reading="inconclusive",
        reading_reason="no generalizing heads",
        kinds=(),
        records={},
        p_holm={},
        generalizing=(),
    )
    text = report(RunResults(verdict=nothing), tmp_path / "r.html").read_text()
    assert "there is no generalizing head to test" in text


def test_a_run_comes_back_from_its_folder(results, tmp_path):
    run = results.run()
    run.probes = {"clean": results.probe(0.9), "core-paths cut, 50 %/ß": results.probe(0.7)}
    back = RunResults.load(run.save(tmp_path / "run"))
    assert back.present == run.present
    assert set(back.probes) == set(run.probes)
    assert back.manifest == run.manifest
    for name in ("search", "evaluation", "core", "generalizing", "edges", "verdict"):
        pd.testing.assert_frame_equal(getattr(back, name).to_frame(), getattr(run, name).to_frame())
    first = report(run, tmp_path / "a.html").read_text()
    assert len(report(tmp_path / "run", tmp_path / "b.html").read_text()) == pytest.approx(len(first), abs=200)


@pytest.mark.filterwarnings("ignore:.*without a checksum")
def test_a_folder_or_part_that_is_none_is_refused(results, tmp_path):
    with pytest.raises(ResultError, match="is not the folder of a run"):
        report(tmp_path, tmp_path / "r.html")
    (tmp_path / "manifest.json").write_text("[1]")
    with pytest.raises(ResultError, match=r"manifest\.json cannot be read"):
        report(tmp_path, tmp_path / "r.html")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ResultError, match="no results to report"):
        report(tmp_path, tmp_path / "r.html")
    (tmp_path / "core.json").write_text("{")
    with pytest.raises(ResultError, match="HeuristicCore"):
        report(tmp_path, tmp_path / "r.html")
    with pytest.raises(ResultError, match="search was given as int"):
        RunResults(search=3)
    with pytest.raises(ResultError, match="mapping from names to probes"):
        RunResults(probes=[results.probe(0.8)])


def test_without_a_browser_a_run_is_drawn_but_for_pictures(results, tmp_path, monkeypatch):
    def none(figures):
        raise NoBrowser("no browser here")

    monkeypatch.setattr("hc_interp.reports.report.write_images", none)
    drawn = draw_run(results.run(), tmp_path)
    assert drawn["not_drawn"] == "no browser here"
    assert "figures/circuit-double.html" in drawn["files"]
    assert {"report.html", "figures/circuit-single.tex", "figures/reading-double.json"} <= set(drawn["files"])
    assert all((tmp_path / name).is_file() for name in drawn["files"])


@pytest.fixture(scope="module")
def static(results, tmp_path_factory):
    chromium()
    pytest.importorskip("kaleido", reason="kaleido is not installed")
    run = results.run(search=None, evaluation=None, generalizing=None, edges=None, verdict=None)
    return report(run, tmp_path_factory.mktemp("static") / "report.html", static=True)


def test_a_static_report_has_pictures_and_no_script(static):
    text = static.read_text()
    assert static.stat().st_size < 2 * 2e6 / 7  # two of a report's seven figures
    assert "<script" not in text
    assert "<noscript" not in text
    assert text.count("<picture>") == text.count("<img") == 2
    assert all(len(re.findall(rf'{name}="data:image/svg', text)) == 2 for name in ("src", "srcset"))
    assert not re.search(r"""(?:src|href|srcset)=["'](?!data:|#)""", text)
    outline = Outline()
    outline.feed(text)
    assert outline.open == []


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_draws_every_figure_without_an_error(page, width, tmp_path):
    # A window cannot be as narrow as a phone, so the page stands in a frame.
    frame = tmp_path / "frame.html"
    script = (
        "onload = () => { const wait = setInterval(() => { const d = frames[0].document; "
        "if (d.documentElement.dataset.figures !== 'drawn') return; clearInterval(wait); "
        "const plots = [...d.querySelectorAll('.canvas')]; "
        "document.body.dataset.seen = JSON.stringify({plots: plots.length, "
        "drawn: plots.filter((p) => p.querySelector('svg.main-svg')).length, "
        "fits: d.documentElement.scrollWidth <= d.documentElement.clientWidth}); "
        "const reach = 'a[href], summary, [tabindex]', open = d.querySelector('summary'); open.click(); "
        "const all = (css) => [...d.querySelectorAll(css)]; "
        "const links = all('a').filter((a) => a.getAttribute('href').startsWith('#')); "
        "document.body.dataset.seen = JSON.stringify({...JSON.parse(document.body.dataset.seen), "
        "leads: links.length > 5 && links.every((a) => d.getElementById(a.hash.slice(1))), "
        "files: all('a[download]').every((a) => atob(a.href.split('base64,')[1]).includes(',')), "
        "first: d.querySelector(reach).className, opens: open.parentElement.open, "
        "keys: all(reach).every((e) => e.tabIndex === 0)}); }, 50); };"
    )
    frame.write_text(
        f'<body><iframe src="{page[0].as_uri()}" style="width:{width}px;height:900px;border:0"></iframe>'
        f"<script>{script}</script></body>"
    )
    seen = re.search(r"data-seen=['\"](\{.*?\})['\"]", opened(frame, tmp_path / "profile").replace("&quot;", '"'))
    assert seen
    works = {
        "leads": True,
        "files": True,
        "first": "skip",
        "opens": True,
        "keys": True,
    }  # links, downloads, the keyboard
    assert json.loads(seen[1]) == {"plots": 7, "drawn": 7, "fits": True, **works}
