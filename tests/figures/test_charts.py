"""The other pictures: what each draws, what its caption says, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_results import standing_in

from hc_interp import figures
from hc_interp.components import Head
from hc_interp.errors import HCError
from hc_interp.figures.chart import percent_axis
from hc_interp.figures.numbers import percent
from hc_interp.figures.style import FONT_POINTS, INCHES, pixels
from hc_interp.models.site import Site
from hc_interp.probing.path_result import PathProbes
from hc_interp.probing.probe_map import ProbeMap
from hc_interp.statistics.tests import Interval
from hc_interp.subnetwork import Subnetwork

WIDTHS = ("single", "double")


@pytest.fixture(scope="module")
def makers(results):
    run = results.run()
    return {
        "accuracy": lambda **o: figures.accuracy(run.evaluation, **o),
        "core": lambda **o: figures.head_frequency(run.core, **o),
        "paths": lambda **o: figures.path_matrix(run.edges, **o),
        "probes": lambda **o: figures.probe_scores(run.probes, **o),
        "reading": lambda **o: figures.reading(run.verdict, **o),
        "search": lambda **o: figures.search_curves(run.search, **o),
        "subnetworks": lambda **o: figures.good_subnetworks(results.sample(), **o),
        "substitutions": lambda **o: figures.substitutions(standing_in(results.sample()), **o),
    }


NAMES = ("accuracy", "core", "paths", "probes", "reading", "search", "subnetworks", "substitutions")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_each_chart_has_its_column_width_its_font_and_a_caption_with_a_limit(makers, name, width):
    figure = makers[name](width=width)
    plot = figure.plot.layout
    assert plot.width == pytest.approx(INCHES[width] * 96)
    assert plot.font.size == pixels(FONT_POINTS)
    assert plot.height < 9.2 * 96
    assert " not " in figure.caption
    assert len(figure.plot.to_json()) < 50_000
    assert makers[name](width=width).plot.to_json() == figure.plot.to_json()
    assert json.loads(json.dumps(figure.data, default=str))


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_width_is_refused(makers, name):
    with pytest.raises(HCError, match="Choose 'single' or 'double'"):
        makers[name](width="wide")


def test_accuracy_shows_every_case_and_marks_the_full_model(results):
    evaluation = results.evaluation()
    figure = figures.accuracy(evaluation)
    rows = [text for text in figure.plot.layout.yaxis.ticktext if text]
    assert sum(not text.startswith("<b>") for text in rows) == 31
    full = next(trace for trace in figure.plot.data if trace.name == "the full model")
    parts = next(trace for trace in figure.plot.data if trace.name == "a subnetwork")
    assert len(full.x) == 31
    assert len(parts.x) == 31 * 12
    assert sorted(full.x) == pytest.approx(sorted(evaluation.accuracy(split)[0] for split in evaluation.splits))
    assert full.marker.symbol != parts.marker.symbol
    assert "<b>Subsequence, non-entailment</b>" in rows
    assert len(figure.plot.layout.shapes) == 31


def test_accuracy_tells_sparsities_apart(results):
    """Each has its own name and its own symbol, and no point is drawn twice."""
    evaluation = results.evaluation()
    first, *rest = evaluation.subnetworks[1:]
    smaller = Subnetwork(sorted(first.kept, key=str)[: len(first.kept) // 2], first.universe)
    figure = figures.accuracy(replace(evaluation, subnetworks=(None, smaller, *rest)))
    parts = [trace for trace in figure.plot.data if trace.name.startswith("a subnetwork")]
    assert [len(trace.x) for trace in parts] == [31, 31 * 11]
    assert [trace.name for trace in parts] == [
        f"a subnetwork, {percent(item.sparsity, 0)} removed" for item in (smaller, rest[0])
    ]
    assert len({(trace.marker.symbol, trace.marker.color) for trace in parts}) == 2


def test_accuracy_without_subnetworks_or_hans_names(results):
    evaluation = results.evaluation(n=0, cases=["my <case>"])
    figure = figures.accuracy(evaluation)
    assert "my &lt;case&gt;" in figure.plot.layout.yaxis.ticktext
    assert [trace.name for trace in figure.plot.data] == ["the full model"]


def test_frequencies_stand_in_their_cells_and_dots_on_the_core(results):
    core = results.core(results.subnetworks())
    figure = figures.head_frequency(core)
    heat, dots = figure.plot.data
    assert np.array(heat.z)[0][3] == core.frequency[Head(0, 3)] == 1
    assert set(zip(dots.x, dots.y, strict=True)) >= {(3, 0), (7, 0)}
    assert len(dots.x) == len(core.components)


def test_good_subnetworks_mark_what_all_need_and_what_can_be_spared(results):
    sample = results.sample()
    figure = figures.good_subnetworks(sample)
    heat, dots, rings = figure.plot.data
    frequency = sample.to_frame().set_index("component")["frequency"]
    assert np.array(heat.z)[0][0] == frequency["L0H0"]
    assert len(dots.x) == len(sample.shared_core()) == 9
    spared = [item for item in sample.typical_core(0.9) if item not in sample.shared_core()]
    assert len(rings.x) == len(spared) > 0
    assert "the share of all subnetworks of 39 components, with a loss of at most 0.095" in figure.caption
    assert "can be spared" in str(heat.hovertext)
    assert "not enough" not in figure.caption


def test_pairs_that_stand_in_for_each_other_and_pairs_that_come_together_are_joined(results):
    sample = standing_in(results.sample())
    figure = figures.substitutions(sample, most=3)
    *edges, nodes = figure.plot.data
    assert {(row["first"], row["second"]): row["relation"] for row in figure.data} == {
        ("L0H0", "L1H1"): "stand in for each other",
        ("L0H0", "L2H2"): "stand in for each other",
        ("L1H1", "L2H2"): "come together",
    }
    dashes = {"stand in for each other": "dash", "come together": "solid"}
    assert [edge.line.dash for edge in edges] == [dashes[edge.name] for edge in edges]
    at = {(round(x, 3), y) for x, y in zip(nodes.x, nodes.y, strict=True)}
    assert set(nodes.text) == {"L0H0", "L1H1", "L2H2"}
    assert all({(edge.x[i], edge.y[i]) for i in (0, -1)} <= at for edge in edges)
    assert "substitutions" in figures.draw(sample)
    assert "substitutions" not in figures.draw(replace(sample, masks=sample.masks[:, :3], losses=sample.losses[:, :3]))


def test_a_sample_that_has_not_mixed_is_drawn_as_such(results):
    sample = results.sample()
    stuck = sample.masks.clone()
    stuck[:, 0] = stuck[:, 0, :1]
    figure = figures.good_subnetworks(replace(sample, masks=stuck))
    assert "This is not enough: the figure describes these chains and not the set." in figure.caption
    assert "This is not enough" not in figures.good_subnetworks(sample, multiple=0.5).caption
    same = replace(sample, masks=sample.masks[:, :1, :1].expand_as(sample.masks))
    assert "No component varies" in figures.good_subnetworks(same).caption


def test_signs_stand_exactly_where_q_is_small(results, small):
    figure = figures.path_matrix(small.edges)
    frame = small.edges.to_frame()
    assert list(figure.plot.layout.xaxis.ticktext) == [str(head) for head in small.generalizing]
    assert list(figure.plot.layout.xaxis.tickvals) == list(range(len(small.generalizing)))
    written = sum(text in ("+", "\u2212") for trace in figure.plot.data for row in trace.text for text in row)
    assert written == int((frame["q"] < 0.05).sum()) > 0


def test_one_strong_path_does_not_flatten_the_others(small):
    frame = small.edges.to_frame()
    figure = figures.path_matrix(small.edges)
    end = figure.plot.layout.coloraxis.cmax
    largest = frame["node_share"].abs().max()
    assert end == pytest.approx(largest**0.5, abs=1e-4)
    z = np.concatenate([np.array(trace.z, dtype=float).ravel() for trace in figure.plot.data])
    expected = frame.loc[frame["downstream"], "node_share"].to_numpy()
    assert np.sort(np.sign(z) * z**2)[: len(expected)] == pytest.approx(np.sort(expected), abs=1e-3)
    bar = figure.plot.layout.coloraxis.colorbar
    shown = [float(text.replace("\u2212", "-").rstrip(" %")) / 100 for text in bar.ticktext]
    assert list(bar.tickvals) == pytest.approx(np.sign(shown) * np.abs(shown) ** 0.5, abs=1e-3)
    assert max(bar.tickvals) <= end
    assert "signed square root" in figure.caption


def test_the_kl_axis_has_several_labels(results):
    ticks = figures.search_curves(results.search()).plot.layout.yaxis.tickvals
    assert {0.02, 0.05, 0.1, 0.2} <= set(ticks)


def test_paths_without_shares_show_effects(small):
    plain = replace(small.edges, node=small.edges.node * float("nan"), total=small.edges.total * float("nan"))
    assert "Colour is the effect (logit_diff)" in figures.path_matrix(plain).caption


def test_reading_shows_every_direction_and_route_and_its_controls(results, small):
    verdict = results.verdict(small.edges)
    figure = figures.reading(verdict)
    names = {trace.name: trace for trace in figure.plot.data}
    directions = [found for record in verdict.records.values() for found in record.directions.values()]
    assert list(names["T, all routes, 95 % interval"].x) == pytest.approx([float(found.T) for found in directions])
    assert list(names["T, with MLPs"].x) == pytest.approx([float(f.routes["mlps"]) for f in directions])
    assert list(names["size-matched heads, 95th percentile"].x) == [0.11] * 4
    expected = [np.quantile(found.null, 0.95) for found in directions]
    assert list(names["relabelled cores, 95th percentile"].x) == pytest.approx(expected)
    band = next(shape for shape in figure.plot.layout.shapes if shape.type == "rect")
    assert (band.x0, band.x1) == (-0.05, 0.05)


def test_reading_has_a_mark_for_each_compared_head(results, small):
    verdict = results.verdict(small.edges)
    names = {trace.name: trace for trace in figures.reading(verdict).plot.data}
    own, other = names["R of generalizing heads, each"], names["R of other heads of their layers, each"]
    directions = [found for record in verdict.records.values() for found in record.directions.values()]
    specific = [found.specificity["all"] for found in directions]
    assert len(own.x) == sum(int(item.is_G.sum()) for item in specific)
    assert list(other.x) == pytest.approx(np.concatenate([item.response[~item.is_G] for item in specific]))
    means = names["R of other heads of their layers, mean"]
    assert list(means.x) == pytest.approx([float(item.R_O) for item in specific])
    assert "60.0 % [50.0, 70.0] on order, as they are" in figures.reading(verdict).caption


def with_direction(results, **changes):
    """A record of kind "order" whose pairs as they are have these changes."""
    record = results.record("order", 0.42)
    first = record.directions["as_is"]
    return replace(record, directions={**record.directions, "as_is": replace(first, **changes)})


def test_reading_says_which_kinds_are_silent(results, small):
    records = {"overlap": results.record("overlap", 0.2, why="the core hardly changes")}
    figure = figures.reading(results.verdict(small.edges, records=records))
    assert "Not informative: overlap (the core hardly changes)." in figure.caption
    assert figures.reading(results.verdict(small.edges)).plot.layout.xaxis.tickangle == 0


def test_a_wide_interval_is_cut_at_the_edge_and_told(results, small):
    routes = {"all": Interval(0.42, -2.1, 1.9, 64), "direct": Interval(0.1, 0.0, 0.2, 64)}
    figure = figures.reading(results.verdict(small.edges, records={"order": with_direction(results, routes=routes)}))
    low, high = figure.plot.layout.xaxis.range
    assert (low, high) == pytest.approx((-0.56, 1.56))
    edge = next(trace for trace in figure.plot.data if trace.name == "continues beyond the axis")
    assert list(edge.marker.symbol) == ["triangle-left", "triangle-right"]
    assert "T on all of order, as they are is 42.0 % [-210.0, 190.0]" in figure.caption
    points = next(trace for trace in figure.plot.data if trace.name.startswith("T, all"))
    assert max(np.array(points.x) + np.array(points.error_x.array)) <= 1.5
    ordinary = figures.reading(results.verdict(small.edges))
    assert "triangles" not in ordinary.caption
    assert ordinary.plot.layout.xaxis.range[1] < 1.1


def test_no_size_matched_heads_are_asked_for_where_there_are_none(results, small):
    nan = float("nan")
    none = {"size_limit": nan, "size_ratio": nan, "size_controls": np.array([])}
    record = with_direction(results, **none)
    record = replace(record, directions={"as_is": record.directions["as_is"]})
    caption = figures.reading(results.verdict(small.edges, records={"order": record})).caption
    assert (
        "above the band and relabelled cores (as many heads, drawn within the same layers). No size-matched" in caption
    )
    text = "and size-matched heads (other heads, which change 70 % as much"
    assert text in figures.reading(results.verdict(small.edges)).caption


def test_undefined_numbers_draw_nothing(results, small):
    nan = float("nan")
    undefined = Interval(nan, nan, nan, 0)
    routes = dict.fromkeys(("all", "direct"), undefined)
    record = with_direction(results, routes=routes, specificity={}, size_limit=nan, null=np.array([]))
    record = replace(record, directions={"as_is": record.directions["as_is"]})
    figure = figures.reading(results.verdict(small.edges, records={"order": record}))
    assert [trace.name for trace in figure.plot.data] == []
    assert json.loads(figure.plot.to_json())


def test_a_verdict_without_records_is_refused(results):
    empty = results.verdict(None, answer="inconclusive", reason="no core upstream", kinds=(), records={})
    with pytest.raises(HCError, match="tested no pairs"):
        figures.reading(empty)


def test_probe_rows_keep_their_order_and_compare_with_controls(results):
    figure = figures.probe_scores({"clean": results.probe(0.9), "cut": results.probe(0.7)})
    first = figure.plot.data[0]
    assert list(first.y) == ["clean", "cut"]
    assert list(first.x) == [0.9, 0.7]
    names = {trace.name for trace in figure.plot.data if trace.showlegend is not False}
    assert names == {"probe", "random values per word", "the word alone"}
    assert figure.plot.layout.xaxis2.title.text == "AUC above the word alone"
    unnamed = figures.probe_scores([results.probe(0.9)])
    assert (
        list(unnamed.plot.data[0].y) == ["1: token_overlap at L3.v[7]"] or "token_overlap" in unnamed.plot.data[0].y[0]
    )
    with pytest.raises(HCError, match="No probe was given"):
        figures.probe_scores({})


def test_search_draws_a_line_per_run_and_thins_long_ones(results):
    search = results.search(n=4, steps=500)
    figure = figures.search_curves(search)
    assert len(figure.plot.data) == 8
    assert max(len(trace.x) for trace in figure.plot.data) <= 80
    assert {trace.name for trace in figure.plot.data} == {"sparsity 50 %", "sparsity 70 %"}
    assert sum(trace.showlegend for trace in figure.plot.data) == 2
    with pytest.raises(HCError, match="no history"):
        figures.search_curves(replace(search, history=pd.DataFrame(columns=search.history.columns)))


def test_names_load_when_used_and_others_are_refused():
    assert figures.Figure.__name__ == "Figure"
    assert set(figures.__all__) <= set(dir(figures))
    with pytest.raises(AttributeError, match="it has"):
        figures.piechart  # noqa: B018


def test_importing_the_package_does_not_import_plotly():
    import subprocess
    import sys

    code = "import sys, hc_interp, hc_interp.figures, hc_interp.figures.figure; sys.exit('plotly' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def probe_at(results, site, value):
    probe = results.probe(value)
    scores = {"word_accuracy": Interval(0.6, 0.5, 0.7, 50), **probe.scores}
    return replace(probe, place=(site.layer, site.kind, site.head), scores=scores)


def test_a_map_has_a_cell_per_head_and_a_column_for_streams(results):
    sites = [Site(layer, "z", head) for layer in range(2) for head in range(3)]
    sites += [Site.embed(), Site(0, "resid_post"), Site(1, "resid_post")]
    values = np.linspace(0.6, 0.95, len(sites))
    found = ProbeMap.of([probe_at(results, site, value) for site, value in zip(sites, values, strict=True)])
    for width in WIDTHS:
        figure = figures.probe_map(found, core=["L1H2", "L5H5"], width=width)
        heads, *numbers, dots, streams, written = figure.plot.data
        assert len(numbers) == (width == "double")
        assert {*written.y} == {-1, 0, 1}
        assert np.array(heads.z, dtype=float).ravel() == pytest.approx(values[:6])
        assert len(dots.x) == 1
        assert [row[0] for row in streams.z] == pytest.approx(values[6:])
        assert "not where the model reads it" in figure.caption
        assert json.loads(json.dumps(figure.data, default=str))
    text = figures.probe_map(found).plot.data[1]
    bold = [cell.startswith("<b>") for cell in text.text]
    assert text.textfont.color == ("#000",) * 5 + ("#fff",)
    word = found.probes[0].scores["word_auc"].value
    assert bold == [probe.scores["auc"].low > word for probe in found.probes[:6]]
    assert len(figures.probe_map(ProbeMap.of([probe_at(results, Site.embed(), 0.7)])).plot.data) == 2


@pytest.fixture(scope="module")
def paths(results):
    clean = ProbeMap.of([probe_at(results, Site(3, kind, 7), 0.9) for kind in "qv"])
    target = clean.places.feature.value
    rng = np.random.default_rng(0)
    good, noise = (target + rng.normal(size=(2, len(target))) * s for s in (0.2, 20.0))
    random = np.stack([good, good + 0.1]).astype(np.float32)
    senders = ((Head(3, 7), (Head(0, 1), Head(1, 1))),)
    return PathProbes(
        replace(clean, predicted=good), noise.astype(np.float32), random, senders, (senders, senders), "all"
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_path_probes_show_every_arm_and_name_the_difference(paths, width):
    figure = figures.path_probes(paths, width=width)
    names = [trace.name for trace in figure.plot.data if trace.name]
    assert names == ["clean", "as many other heads' paths cut", "the senders' paths cut", "the word alone"]
    cut = next(trace for trace in figure.plot.data if trace.name == "the senders' paths cut")
    assert list(cut.x) == pytest.approx([paths.scores(site)["cut"].value for site in paths.sites])
    assert "the 2 upstream senders cut (route all)" in figure.caption
    assert "L3H7.q: +" in figure.caption
    assert " not " in figure.caption
    alone = replace(paths, random=paths.random[:0], random_senders=())
    assert len(figures.path_probes(alone, width=width).plot.data) == 3


def test_a_row_without_a_value_says_so(results):
    edges = results.edges(["L0H1"], ["L2H0"])
    whole = results.verdict(edges)
    assert "not defined" not in str(figures.reading(whole).plot.layout.annotations)
    record = results.record("order", float("nan"))
    directions = {name: replace(item, specificity={}) for name, item in record.directions.items()}
    record = replace(record, directions={**record.directions, "reversed": directions["reversed"]})
    for width in WIDTHS:
        verdict = replace(whole, records={"order": record, "overlap": whole.records["overlap"]})
        notes = figures.reading(verdict, width=width).plot.layout.annotations
        assert [(note.text, note.xref, note.y) for note in notes] == [
            ("not defined", "x domain", 3), ("not defined", "x domain", 2), ("not defined", "x2 domain", 2)
        ]  # fmt: skip


def test_shares_on_axes_are_written_as_in_captions():
    axis = percent_axis(-0.5, 1.5)
    assert axis["ticktext"] == ["\u221250 %", "0 %", "50 %", "100 %", "150 %"]
    assert axis["tickvals"] == [-0.5, 0, 0.5, 1, 1.5]
    assert percent_axis(0, 0.033)["ticktext"] == ["0 %", "1 %", "2 %", "3 %"]
    sources = "".join(path.read_text() for path in Path(figures.__file__).parent.rglob("*.py"))
    assert ".0%" not in sources


def test_the_mark_of_the_full_model_hides_no_point(results):
    full = next(t for t in figures.accuracy(results.evaluation()).plot.data if t.name == "the full model")
    assert full.marker.symbol == "diamond-open"


def test_paths_name_sender_and_receiver(results):
    effects = results.edges(["L0H1", "L0H2"], ["L2H0"])
    for width in WIDTHS:
        plot = figures.path_matrix(effects, width=width).plot
        titles = {axis.title.text for axis in (*plot.select_xaxes(), *plot.select_yaxes())}
        assert titles == {"sender", "receiver", None}
