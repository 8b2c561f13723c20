"""Circuit diagrams: which paths become edges, where nodes stand, and what the files say."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hc_interp.components import MLP, Head
from hc_interp.errors import HCError
from hc_interp.figures.circuit.circuit import circuit
from hc_interp.figures.circuit.graph import SHAPE, CircuitEdge, CircuitGraph, CircuitNode, circuit_graph
from hc_interp.figures.circuit.key import FILL, arrow_head, key_entries, line_width, notice_lines
from hc_interp.figures.circuit.layout import (
    END_HALF_HEIGHT,
    PORTS_APART,
    SIZES,
    curve,
    end_half_width,
    lay_out,
    port_letters,
    span_of,
)
from hc_interp.figures.style import points, text_width

WIDTHS = ("single", "double")


def graph_of(fake, width="double", **options):
    graph = circuit_graph(fake.edges, fake.core, fake.generalizing, **options)
    return lay_out(graph, width, key_entries(graph, width)[1])


def boxes(graph, width):
    """Each node's rectangle: left, right, bottom, top."""
    size = SIZES[width]
    found = []
    for node in graph.nodes:
        half = {"mlp": size.mlp, "end": end_half_width(node.name)}.get(node.kind, size.radius)
        tall = END_HALF_HEIGHT if node.kind == "end" else half
        found.append((node.x - half, node.x + half, node.y - tall, node.y + tall))
    return np.array(found)


def test_edges_are_exactly_the_rows_that_pass_the_rule(small):
    graph = circuit_graph(small.edges, small.core, small.generalizing, margin=0.02, alpha=0.01)
    frame = small.edges.to_frame()
    expected = set()
    for row in frame.to_dict("records"):
        low = min(abs(row["node_share_low"]), abs(row["node_share_high"]))
        same_side = row["node_share_low"] * row["node_share_high"] > 0
        if row["downstream"] and row["q"] < 0.01 and same_side and low > 0.02:
            expected.add((row["sender"], row["receiver"], row["through"]))
    assert {(edge.sender, edge.receiver, edge.through) for edge in graph.edges} == expected
    assert 0 < len(expected) < len(frame)
    assert {edge.sign for edge in graph.edges} == {1, -1}
    assert all(edge.low <= edge.node_share <= edge.high for edge in graph.edges)


@given(margin=st.floats(0, 0.2), more=st.floats(0, 0.2))
def test_a_higher_margin_never_adds_an_edge(small, margin, more):
    few = circuit_graph(small.edges, small.core, small.generalizing, margin=margin + more).edges
    assert set(few) <= set(circuit_graph(small.edges, small.core, small.generalizing, margin=margin).edges)


def test_undefined_shares_are_never_drawn_and_are_counted(small):
    unknown = replace(small.edges, node=small.edges.node * float("nan"))
    graph = circuit_graph(unknown, small.core, small.generalizing)
    assert graph.edges == ()
    assert graph.undefined == graph.paths
    assert "not distinguishable from 0" in graph.notice()


def test_nodes_are_core_and_generalizing_heads_in_page_order(small):
    graph = circuit_graph(small.edges, small.core, small.generalizing)
    assert [node.name for node in graph.nodes] == [str(h) for h in sorted([*small.core, *small.generalizing])]
    kinds = {node.name: node.kind for node in graph.nodes}
    assert all(kinds[str(head)] == "core" for head in small.core)
    assert all(kinds[str(head)] == "generalizing" for head in small.generalizing)


def test_other_heads_appear_only_at_an_edge(small):
    graph = circuit_graph(small.edges, small.core[:1], [])
    drawn = {name for edge in graph.edges for name in (edge.sender, edge.receiver)}
    assert {node.name for node in graph.nodes} == drawn | {str(small.core[0])}
    assert "head" in {node.kind for node in graph.nodes}


def test_ends_and_mlps_stand_where_they_were_measured(full):
    kinds = {node.name: node.kind for node in circuit_graph(full.edges, full.core, full.generalizing).nodes}
    assert kinds["embed"] == kinds["output"] == "end"
    assert kinds["L3MLP"] == "mlp"


@pytest.mark.parametrize("width", WIDTHS)
def test_a_full_twelve_by_twelve_circuit_overlaps_nowhere_and_stays_on_the_page(full, width):
    graph = graph_of(full, width)
    assert sum(node.kind in ("core", "generalizing") for node in graph.nodes) == 144
    found = boxes(graph, width)
    left, right, bottom, top = found.T
    apart = (left[:, None] >= right) | (right[:, None] <= left) | (bottom[:, None] >= top) | (top[:, None] <= bottom)
    assert apart[~np.eye(len(found), dtype=bool)].all()
    assert (left >= 0).all()
    assert (right <= graph.width).all()
    assert (top <= graph.height).all()
    assert graph.width == points(width)
    assert graph.height < 9.2 * 72  # a page of a two-column paper


@pytest.mark.parametrize("width", WIDTHS)
def test_layers_go_upward_and_nothing_leaves_the_page(small, full, width):
    for fake in (small, full):
        graph = graph_of(fake, width)
        node = graph.node
        heads = [n for n in graph.nodes if n.kind in ("core", "generalizing", "head")]
        for first, second in pairwise(heads):
            assert first.y < second.y if first.layer < second.layer else first.y <= second.y
        for edge in graph.edges:
            assert node[edge.sender].y < node[edge.receiver].y
            path = curve(*span_of(edge, node), edge.bend, np.linspace(0.05, 0.95, 30))
            assert ((path[:, 0] >= 0) & (path[:, 0] <= graph.width)).all()
            assert (np.diff(path[:, 1]) > -1e-9).all()


def test_more_heads_than_a_row_holds_take_two_rows(make_effects):
    many = [Head(0, head) for head in range(32)]
    edges = make_effects(many, [Head(1, 0)], through=("v",))
    graph = circuit_graph(edges, many, [Head(1, 0)])
    placed = lay_out(graph, "single", 20)
    rows = {node.y for node in placed.nodes if node.layer == 0}
    assert len(rows) > 1
    assert len({(node.x, node.y) for node in placed.nodes}) == 33


def test_edges_of_one_pair_do_not_lie_on_each_other(small):
    graph = graph_of(small)
    bends = {}
    for edge in graph.edges:
        bends.setdefault((edge.sender, edge.receiver), []).append(edge.bend)
    several = [sorted(found) for found in bends.values() if len(found) > 1]
    assert several
    assert all(np.diff(found).min() >= 7 for found in several)


def test_few_curves_run_through_nodes(small):
    graph = graph_of(small)
    centres = {node.name: np.array([node.x, node.y]) for node in graph.nodes}
    hits = 0
    for edge in graph.edges:
        path = curve(*span_of(edge, graph.node), edge.bend, np.linspace(0, 1, 60))
        others = [centre for name, centre in centres.items() if name not in (edge.sender, edge.receiver)]
        hits += sum(np.linalg.norm(path - centre, axis=1).min() < SIZES["double"].radius for centre in others)
    assert hits == 0


def test_the_same_source_gives_the_same_picture(small):
    first, second = (circuit(small.edges, core=small.core, generalizing=small.generalizing) for _ in range(2))
    assert first.plot.to_json() == second.plot.to_json()
    assert first.tex() == second.tex()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_key_and_the_notice_fit_the_page(small, full, width):
    for fake in (small, full):
        graph = graph_of(fake, width, margin=0.01)
        entries, height = key_entries(graph, width)
        assert all(entry.x + 23 + text_width(entry.words) <= points(width) for entry in entries)
        assert all(0 < entry.y < height for entry in entries)
        words = " ".join(entry.words for entry in entries)
        assert "heuristic head" in words
        assert "generalizing head" in words
    empty = graph_of(small, width, margin=0.9)
    assert all(text_width(line) <= points(width) for line in notice_lines(empty, width))


def test_an_empty_circuit_says_so_in_the_picture(small):
    figure = circuit(small.edges, core=small.core, generalizing=small.generalizing, margin=0.9, width="single")
    words = " ".join(note.text for note in figure.plot.layout.annotations)
    assert "No path is drawn: none of 132" in words
    assert "No path is drawn" in figure.caption
    assert "No path is drawn" in figure.tex()


def test_kinds_differ_in_shape_and_lightness():
    def lightness(colour):
        digits = colour.lstrip("#")
        return np.dot([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)], [0.2126, 0.7152, 0.0722])

    drawn = ("core", "generalizing", "mlp")
    assert len({SHAPE[kind] for kind in drawn}) == 3
    values = sorted(lightness(FILL[kind]) for kind in drawn)
    assert min(np.diff(values)) > 0.1


def test_widths_grow_with_the_share():
    assert line_width(0.01) < line_width(-0.1) < line_width(0.5) < line_width(3.0) <= 5


@pytest.mark.parametrize("width", WIDTHS)
def test_every_drawn_input_has_one_letter_at_its_receivers_foot_where_its_edges_end(small, width):
    graph = graph_of(small, width)
    size, node = SIZES[width], graph.node
    letters = port_letters(graph, size)
    assert len(letters) == len({(edge.receiver, edge.through) for edge in graph.edges})
    for edge in graph.edges:
        _, (x, y) = span_of(edge, node)
        text, across, up = min(letters, key=lambda item: np.hypot(item[1] - x, item[2] - y))
        assert text == edge.through
        assert across == x
        assert y < up < node[edge.receiver].y - size.radius
    for (_, x, y), (_, other, up) in pairwise(sorted(letters, key=lambda item: (item[2], item[1]))):
        assert up > y or other - x >= PORTS_APART - 1e-9  # side by side, q left of k left of v
    corners, _ = arrow_head(np.array([0.0, -20.0]), np.zeros(2), line_width(3.0))
    assert 2 * max(abs(corner[0]) for corner in corners) < PORTS_APART  # the widest heads do not touch


def test_letters_can_be_left_out(small):
    options = {"core": small.core, "generalizing": small.generalizing}
    figures = [circuit(small.edges, labels=labels, **options) for labels in (True, False)]
    counts = [sum(n.text in ("q", "k", "v") for n in figure.plot.layout.annotations) for figure in figures]
    assert counts[0] > 0 == counts[1]
    assert "q, k or v" in figures[0].caption
    assert "q, k or v" not in figures[1].caption


def test_only_the_strongest_edges_are_drawn_and_the_rest_is_counted(small):
    options = {"core": small.core, "generalizing": small.generalizing}
    everything = circuit_graph(small.edges, **options)
    few = circuit_graph(small.edges, most=3, **options)
    strongest = sorted(everything.edges, key=lambda edge: -abs(edge.node_share))[:3]
    assert set(few.edges) == set(strongest)
    assert few.qualified == len(everything.edges) == everything.qualified > 3
    caption = circuit(small.edges, most=3, **options).caption
    assert f"{few.qualified} of {few.paths} measured paths qualify; the 3 strongest" in caption
    assert f"{few.qualified - 3} are not" in caption
    for most in (0, True, 2.5):
        with pytest.raises(HCError, match="whole number from 1"):
            circuit(small.edges, most=most, **options)


def test_a_narrow_picture_draws_fewer_edges(make_effects):
    heads = [[Head(layer, head) for head in range(12)] for layer in (0, 1)]
    dense = make_effects(*heads, density=1.0)
    drawn = {width: len(circuit(dense, width=width).data["edges"]) for width in WIDTHS}
    assert drawn == {"single": 30, "double": 60}


def test_without_names_heads_are_senders_and_receivers(make_effects):
    effects = make_effects([Head(0, 0), Head(1, 0)], [Head(1, 0), Head(2, 0)], density=1.0)
    figure = circuit(effects)
    assert {node["name"]: node["kind"] for node in figure.data["nodes"]} == {
        "L0H0": "sender", "L1H0": "both", "L2H0": "receiver"
    }  # fmt: skip
    words = {note.text for note in figure.plot.layout.annotations}
    assert {"sender", "receiver", "sender and receiver"} <= words
    assert figure.title == "Paths between heads"
    assert "heuristic" not in figure.plot.to_json() + figure.tex() + figure.caption


def test_results_that_have_heads_are_taken_as_they_are(small, results):
    core, found = results.core(results.subnetworks()), results.generalizing()
    kinds = {node.name: node.kind for node in circuit_graph(small.edges, core, found).nodes}
    assert [name for name, kind in kinds.items() if kind == "core"] == [str(head) for head in core.heads]
    only = {node.name: node.kind for node in circuit_graph(small.edges, core=core).nodes}
    assert set(only.values()) == {"core", "head"}


def test_the_caption_says_when_no_mlp_was_a_sender(small, full):
    assert "MLPs were not measured as senders." in circuit(small.edges).caption
    assert "MLPs were not measured" not in circuit(full.edges).caption


def test_hover_gives_interval_and_q(small):
    figure = circuit(small.edges, core=small.core, generalizing=small.generalizing)
    hover = [text for trace in figure.plot.data if trace.name == "path" for text in trace.hovertext]
    edge = figure.data["edges"][0]
    line = next(
        text for text in hover if text.startswith(f"{edge['sender']} → {edge['receiver']} through {edge['through']}")
    )
    assert f"[{100 * edge['low']:.1f}, {100 * edge['high']:.1f}]" in line


def test_the_graph_is_plain_data(small):
    graph = graph_of(small)
    record = json.loads(graph.to_json())
    assert record["edges"][0]["sign"] in (1, -1)
    assert set(record["nodes"][0]) == {"name", "kind", "layer", "x", "y"}
    assert isinstance(graph, CircuitGraph)
    assert isinstance(graph.nodes[0], CircuitNode)
    assert isinstance(graph.edges[0], CircuitEdge)


def test_a_verdict_brings_its_own_heads(small, results):
    figure = circuit(results.verdict(small.edges), width="single")
    assert figure.data == circuit(small.edges, core=small.core, generalizing=small.generalizing, width="single").data


def test_errors_say_what_to_do(small, results, make_effects):
    options = {"core": small.core, "generalizing": small.generalizing}
    with pytest.raises(HCError, match="has its own core"):
        circuit(results.verdict(small.edges), core=small.core)
    with pytest.raises(HCError, match="no paths to draw"):
        circuit(results.verdict(None, answer="inconclusive", reason="no generalizing heads", kinds=(), records={}))
    with pytest.raises(HCError, match="got a dict"):
        circuit({}, **options)
    with pytest.raises(HCError, match=r"margin=1\.5"):
        circuit(small.edges, margin=1.5, **options)
    with pytest.raises(HCError, match="alpha=0"):
        circuit(small.edges, alpha=0, **options)
    with pytest.raises(HCError, match="'triple' is not a column width"):
        circuit(small.edges, width="triple", **options)
    joint = make_effects([Head(0, 0)], [Head(1, 0)], through=("v",))
    joint = replace(joint, rows=(("L0H0+L0H1", "L1H0", "v"),))
    with pytest.raises(HCError, match="joins L0H0"):
        circuit(joint, core=[Head(0, 0)], generalizing=[Head(1, 0)])


def test_tikz_holds_every_node_and_edge(full):
    figure = circuit(full.edges, core=full.core, generalizing=full.generalizing)
    text = figure.tex()
    assert text.count(" .. controls ") == len(figure.data["edges"])
    assert text.count(r"\node[text=") == len(figure.data["nodes"])
    assert r"\usetikzlibrary" not in text
    assert text.count(r"\begin") == text.count(r"\end") == 1
    assert not re.search(r"(?<!\\)%(?! Needs)", text)


def test_tikz_compiles_with_plain_tikz(full, tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    figure = circuit(full.edges, core=full.core, generalizing=full.generalizing, width="single", labels=True)
    figure.write(tmp_path / "circuit.tex")
    (tmp_path / "page.tex").write_text(
        "\\documentclass{article}\\usepackage{tikz}\\usepackage[a4paper,margin=1cm]{geometry}\\pagestyle{empty}"
        "\\begin{document}\\noindent\\input{circuit.tex}\\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    if "tikz.sty' not found" in done.stdout:
        pytest.skip("TikZ is not installed")
    assert done.returncode == 0, done.stdout[-800:]
    assert "Overfull" not in done.stdout


def test_mlps_keep_to_their_column(full):
    graph = graph_of(full)
    columns = {node.x for node in graph.nodes if isinstance(node.layer, int) and node.kind == "mlp"}
    assert len(columns) == 1
    assert str(MLP(3)) in graph.node
