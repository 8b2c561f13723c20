"""Paths between roles as pictures: senders by roles, and a circuit with a column for each role."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from gallery_figures import ROLES
from gallery_figures import by_role as made_by_role

from hc_interp import figures
from hc_interp.errors import HCError
from hc_interp.figures.circuit.graph import circuit_graph
from hc_interp.figures.circuit.key import key_entries
from hc_interp.figures.circuit.layout import SIZES, column_edges, column_names, lay_out
from hc_interp.figures.registry import FIGURES
from hc_interp.figures.style import points, text_width
from hc_interp.patching.effects import PathEffects


@pytest.fixture(scope="module")
def by_role() -> PathEffects:
    """Strong ones into L2H1@subject from L0H0 to L0H5 at first_text."""
    return made_by_role()


def test_a_cell_is_a_path(by_role) -> None:
    frame = by_role.to_frame()
    figure = figures.path_roles(by_role, receiver="L2H1", through="v")
    panels = figure.plot.data
    assert [note.text for note in figure.plot.layout.annotations] == [f"into L2H1 at {role}" for role in ROLES[:3]]
    assert "the receiver at last" in figure.caption  # it has no effect of its own there
    for panel, target in zip(panels, ROLES, strict=False):
        assert list(panel.x) == list(ROLES)
        for i, sender in enumerate(panel.y):
            for j, role in enumerate(panel.x):
                ends = (frame["sender"] == f"{sender}@{role}") & (frame["receiver"] == f"L2H1@{target}")
                (row,) = frame[ends].to_dict("records")
                assert np.sign(panel.z[i][j]) * panel.z[i][j] ** 2 == pytest.approx(row["node_share"], abs=1e-3)
                sign = "" if row["q"] >= 0.05 else "+" if row["node_share"] > 0 else "\u2212"
                assert panel.text[i][j] == sign
    assert len(figure.data) == 6 * len(ROLES) ** 2


def test_the_default_is_the_receiver_of_the_strongest_path(by_role) -> None:
    strongest = by_role.top(1).iloc[0]
    assert strongest["receiver"].split("@")[0] in figures.path_roles(by_role).title
    output = figures.path_roles(by_role, receiver="output")
    assert [note.text for note in output.plot.layout.annotations] == ["into output"]
    assert output.plot.layout.xaxis.ticktext == ROLES
    for width in ("single", "double"):
        assert figures.path_roles(by_role, width=width).plot.layout.width == pytest.approx(points(width) * 96 / 72)
    bare = replace(by_role, node=torch.full_like(by_role.node, float("nan")))
    assert "effect (logit_diff)" in figures.path_roles(bare).caption


def test_names_of_roles_end_above_the_heading_of_the_next_panel(by_role) -> None:
    plot = figures.path_roles(by_role, receiver="L2H1", through="v", width="single").plot.layout
    rows = sorted({plot[name].domain for name in ("yaxis", "yaxis2", "yaxis3")})
    assert len(rows) > 1
    tall = plot.height * 72 / 96 - 26  # of all panels with what is between them, in points, without the margin on top
    gaps = [tall * (above[0] - below[1]) for below, above in itertools.pairwise(rows)]
    assert min(gaps) > text_width("premise_subject") + 10


def test_what_was_not_measured(by_role) -> None:
    with pytest.raises(
        HCError, match=r"receiver='L2H2', through=None. Measured are L1H0 through v, L2H1 through v, L2MLP"
    ):
        figures.path_roles(by_role, receiver="L2H2")
    plain = replace(by_role, rows=tuple(tuple(name.split("@")[0] for name in row) for row in by_role.rows))
    with pytest.raises(HCError, match="path effects without roles"):
        figures.path_roles(plain)
    entry = FIGURES["roles"]
    assert (entry.when(by_role), entry.when(plain)) == (True, False)


@pytest.mark.parametrize("width", ["single", "double"])
def test_nodes_stand_in_the_columns_of_their_roles(by_role, width) -> None:
    graph = circuit_graph(by_role, core=["L0H0", "L0H1", "L0H5"], generalizing=["L2H1"])
    # Only what a drawn path joins is a node, and its kind is that of its component.
    drawn = {name for edge in graph.edges for name in (edge.sender, edge.receiver)}
    assert {node.name for node in graph.nodes} == drawn
    assert graph.node["L0H0@first_text"].kind == "core"
    assert graph.node["L2H1@subject"].kind == "generalizing"
    assert graph.node["L0H2@first_text"].kind == "head"
    assert [column.role for column in graph.columns] == ["first_text", "subject", "last"]
    graph = lay_out(graph, width, key_entries(graph, width)[1])
    assert graph.columns[0].x - graph.columns[0].wide / 2 == pytest.approx(SIZES[width].gutter)
    columns = {column.role: column for column in graph.columns}
    for node in graph.nodes:
        if node.role:
            assert abs(node.x - columns[node.role].x) < columns[node.role].wide / 2
        assert node.role == node.name.partition("@")[2]
    assert (graph.node["L0H5@first_text"].short, graph.node["L2MLP@last"].short) == ("5", "M2")
    places = [(node.x, node.y) for node in graph.nodes]
    assert len(set(places)) == len(places)
    for (role, x, y, size), column in zip(column_names(graph), graph.columns, strict=True):
        assert (role, x) == (column.role, column.x)
        assert text_width(role, size) < column.wide
        assert max(node.y for node in graph.nodes) + SIZES[width].radius < y < graph.height
    assert column_edges(graph) == pytest.approx([c.x - c.wide / 2 for c in graph.columns[1:]])
    figure = figures.circuit(by_role, width=width)
    assert {"first_text", "subject", "last"} <= {note.text for note in figure.plot.layout.annotations}
    tex = figure.tex()
    assert r"{first\_text}" in tex
    assert "Columns are roles" in figure.caption
    assert "Columns are roles" not in figures.circuit(replace(by_role, rows=without_roles(by_role))).caption


def without_roles(effects) -> tuple:
    """The same rows under names of whole components, each another one."""
    return tuple((f"L0H{i}", f"L1H{i}", "v") for i in range(len(effects.rows)))
