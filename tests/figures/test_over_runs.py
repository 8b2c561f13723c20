"""Pictures over many subnetworks, steps and worlds; all pictures of a run at once; the two sentences on top."""

import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hc_interp import figures
from hc_interp.errors import DataError, HCError, ResultError
from hc_interp.evaluation.effective_size import effective_size
from hc_interp.figures.accuracy_by_sparsity import GROUP_STYLES
from hc_interp.figures.style import INCHES
from hc_interp.reports.headline import answer, question
from hc_interp.runs.results import RunResults
from hc_interp.subnetwork import Subnetwork

WIDTHS = ("single", "double")


@pytest.fixture(scope="module")
def grid(results):
    """An evaluation of subnetworks at three sparsities."""
    evaluation = results.evaluation(n=6, n_examples=30)
    kept = []
    for place, item in enumerate(evaluation.subnetworks[1:]):
        some = sorted(item.kept, key=str)[: 38 - 10 * (place // 2)]
        kept.append(Subnetwork(frozenset(some), item.universe))
    return replace(evaluation, subnetworks=(None, *kept))


@pytest.fixture(scope="module")
def sizes():
    """Over three steps, the first with nothing to lose."""
    full = {step: {"a": value} for step, value in ((100, 0.05), (200, 0.8), (300, 0.9))}
    grid = {
        seed: {
            step: {20: {"a": whole["a"]}, 50: {"a": whole["a"] - 0.01}, 70: {"a": whole["a"] - 0.05 + 0.03 * seed}}
            for step, whole in full.items()
        }
        for seed in (0, 1)
    }
    return effective_size(full, grid, ["a"])


def table(**changes):
    rows = [
        {
            "world": world,
            "core": core,
            "verdict": verdict,
            "rate": rate,
            "low": rate - 0.02,
            "high": rate + 0.02,
            "n": 50,
        }
        for world, core in (("reads_directly", "true"), ("reads_directly", "searched"), ("does_not_read", "true"))
        for verdict, rate in (("reads_from", 0.9), ("does_not_read_from", 0.04), ("inconclusive", 0.06))
    ]
    return pd.DataFrame(rows).assign(**changes)


@pytest.fixture(scope="module")
def makers(grid, sizes):
    return {
        "sparsity": lambda **o: figures.accuracy_by_sparsity(grid, **o),
        "effective_size": lambda **o: figures.effective_size({"in domain": sizes, "out of it": sizes}, **o),
        "calibration": lambda **o: figures.calibration(table(), **o),
    }


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["sparsity", "effective_size", "calibration"])
def test_each_has_its_column_width_and_a_caption_with_a_limit(makers, name, width):
    figure = makers[name](width=width)
    assert figure.plot.layout.width == pytest.approx(INCHES[width] * 96)
    assert " not " in figure.caption
    assert makers[name](width=width).plot.to_json() == figure.plot.to_json()
    assert json.loads(json.dumps(figure.data, default=str))
    with pytest.raises(HCError, match="Choose 'single' or 'double'"):
        makers[name](width="wide")


def test_no_group_is_left_out_where_the_styles_are_used_up(grid, monkeypatch):
    everything = {trace.name for trace in figures.accuracy_by_sparsity(grid).plot.data}
    monkeypatch.setattr(sys.modules["hc_interp.figures.accuracy_by_sparsity"], "GROUP_STYLES", GROUP_STYLES[:2])
    lines = [trace for trace in figures.accuracy_by_sparsity(grid).plot.data if trace.mode == "lines+markers"]
    assert {trace.name for trace in lines} == everything
    assert len({(trace.marker.symbol, trace.marker.color) for trace in lines}) == len(lines) == 4


def test_lines_are_means_over_cases_and_points_single_subnetworks(grid):
    figure = figures.accuracy_by_sparsity(grid)
    points = {trace.name: trace for trace in figure.plot.data if trace.mode == "markers"}
    lines = {trace.name: trace for trace in figure.plot.data if trace.mode == "lines+markers"}
    name = "subsequence, non-entailment"
    assert set(points) == set(lines) == {"in domain", *(f"{h}, non-entailment" for h in (
        "lexical overlap", "subsequence", "constituent"))}  # fmt: skip
    splits = [split for split in grid.splits if split.startswith("subsequence_sn")]
    expected = np.stack([grid.accuracy(split) for split in splits]).mean(axis=0)
    assert list(points[name].y) == pytest.approx(expected, abs=1e-4)
    assert list(points["in domain"].y) == pytest.approx(grid.accuracy("validation"), abs=1e-4)
    shares = sorted({0.0, *(item.sparsity for item in grid.subnetworks[1:])})
    assert list(lines[name].x) == pytest.approx(shares, abs=1e-4)
    assert lines[name].y[1] == pytest.approx(expected[5:].mean() if shares[1] > 0.6 else expected[1:3].mean())
    assert len({(trace.marker.symbol, trace.line.dash) for trace in lines.values()}) == len(lines)


def test_sparsity_needs_subnetworks_and_a_case_that_can_be_lost(results):
    with pytest.raises(HCError, match="only the full model"):
        figures.accuracy_by_sparsity(results.evaluation(n=0))
    easy = results.evaluation(n=2, cases=["subsequence_se_adjective"])
    easy = replace(easy, correct={"subsequence_se_adjective": easy.correct["subsequence_se_adjective"]})
    with pytest.raises(HCError, match="only entailment cases"):
        figures.accuracy_by_sparsity(easy)


def test_steps_with_nothing_to_lose_are_hollow_and_no_line_leads_there(sizes):
    figure = figures.effective_size(sizes, every=False)
    line = next(trace for trace in figure.plot.data if trace.mode == "lines")
    points = next(trace for trace in figure.plot.data if trace.mode == "markers")
    assert list(line.x) == [100, 200, 300]
    assert line.y[0] is None
    assert list(line.y[1:]) == pytest.approx([40, 40])  # 50 % and 30 % of the two seeds
    assert list(points.marker.symbol) == ["circle-open", "circle", "circle"]
    assert points.error_y.array[1] == pytest.approx(10)
    assert not line.connectgaps
    assert "nothing to lose" in figure.caption
    assert len(figures.effective_size(sizes).plot.data) == len(figure.plot.data) + 1
    with pytest.raises(HCError, match="0 effective sizes"):
        figures.effective_size({})


def test_every_rate_stands_in_its_cell_with_its_interval():
    figure = figures.calibration(table())
    heat = figure.plot.data[0]
    assert np.array(heat.z) == pytest.approx(np.tile([0.9, 0.04, 0.06], (3, 1)))
    words = [note.text for note in figure.plot.layout.annotations]
    assert len(words) == 9
    assert "90\u00a0%" in words[0].replace(" %", "\u00a0%")
    assert "[88, 92]" in words[0]
    assert list(figure.plot.layout.yaxis.ticktext) == [
        "reads_directly, true", "reads_directly, searched", "does_not_read, true"
    ]  # fmt: skip
    assert len(figure.plot.layout.shapes) == 1  # one rule between the two worlds
    holes = figures.calibration(table().iloc[:-1])
    assert np.isnan(np.array(holes.plot.data[0].z, dtype=float)[2, 2])
    assert holes.plot.layout.annotations[-1].text == "\u2013"


def test_a_table_that_is_none_is_refused():
    with pytest.raises(DataError, match="lacks rate"):
        figures.calibration(table().drop(columns="rate"))
    with pytest.raises(DataError, match="outside 0 to 1"):
        figures.calibration(table(rate=90.0))
    with pytest.raises(DataError, match="twice"):
        figures.calibration(pd.concat([table(), table().head(1)]))
    with pytest.raises(DataError, match="is empty"):
        figures.calibration(table().head(0))


def test_a_run_draws_what_it_has_and_a_grid_of_sparsities_its_curve(results, grid):
    assert list(figures.draw(results.run())) == ["accuracy", "core", "search", "circuit", "paths", "reading", "probes"]
    assert list(figures.draw(grid)) == ["accuracy", "sparsity"]
    core = results.core(results.subnetworks())
    assert list(figures.draw([core, results.search()])) == ["core", "search"]


def test_results_given_together_name_the_nodes_and_follow_the_rule(results, small):
    core, found = results.core(results.subnetworks()), results.generalizing()
    drawn = figures.draw([small.edges, core, found], width="single", margin=0.02, most=5)["circuit"]
    whole = figures.circuit(small.edges, core=core, generalizing=found, width="single", margin=0.02, most=5)
    assert drawn.data == whole.data
    assert len(drawn.data["edges"]) == 5
    with pytest.raises(ResultError, match="a second HeuristicCore"):
        figures.draw([core, core])
    assert set(RunResults.of({"a": results.probe(0.8), "b": results.probe(0.7)}).probes) == {"a", "b"}


def test_all_formats_are_written_and_unknown_ones_refused_before_anything_is(results, small, tmp_path):
    drawn = figures.draw([small.edges], width="single")
    paths = figures.write_all(drawn, tmp_path / "f", ["json", "tex"])
    assert [path.name for path in paths] == ["circuit.json", "circuit.tex", "paths.json"]
    assert all(path.is_file() for path in paths)
    with pytest.raises(HCError, match="gif is no format"):
        figures.write_all(drawn, tmp_path / "g", ["json", "gif"])
    assert not (tmp_path / "g").exists()


def test_the_answer_says_no_more_than_the_verdict(results, small):
    verdict = results.verdict(small.edges)
    assert answer(verdict) == verdict.sentence()
    assert question(verdict) == "Do the 5 generalizing heads read from the 9 heads of the heuristic core below them?"
    assert question(replace(verdict, generalizing=())) == "Do the generalizing heads read from the heuristic core?"
