"""The figure of the premises: its points, clouds and strips, and what stands in for a pull that was not measured."""

import json

import numpy as np
import pytest

from hc_interp import figures
from hc_interp.figures.premises import set_shares
from hc_interp.figures.registry import SECTIONS, figures_in_order
from hc_interp.figures.style import INCHES
from hc_interp.reports.report import report
from hc_interp.reports.words import premise_words
from hc_interp.runs.results import RunResults


@pytest.fixture(scope="module")
def premises(results):
    return results.premises()


@pytest.mark.parametrize("width", ["single", "double"])
def test_it_shows_four_systems_with_bars_two_clouds_of_each_kind_and_strips(premises, width) -> None:
    figure = figures.premises(premises, width=width)
    assert figure.plot.layout.width == pytest.approx(INCHES[width] * 96)
    assert figure.plot.layout.height < 9.2 * 96
    assert len(figure.plot.to_json()) < 50_000
    assert json.loads(json.dumps(figure.data, default=str))
    first = [trace for trace in figure.plot.data if trace.xaxis is None]
    frame = premises.to_frame().set_index("system")
    for name, words in (("full", "full model"), ("core", "core alone"), ("core_and_heads", "core + heads")):
        point = next(trace for trace in first if trace.name == words)
        assert (point.x[0], point.y[0]) == pytest.approx((frame.loc[name, "separation"], frame.loc[name, "pull"]))
        assert point.error_x.array[0] > 0 < point.error_y.array[0]
    assert len([trace for trace in first if len(trace.x) == 25]) == 4
    strips = [trace for trace in figure.plot.data if trace.xaxis == "x2" and trace.name != "the generalizing heads"]
    assert len(strips) == 4
    heads = next(trace for trace in figure.plot.data if trace.name == "the generalizing heads")
    s = premises.set_scores.order_sensitivity(premises.heuristic).value
    shares = [(s[2] - s[1]) / s[0], 1 - s[3] / s[0]]
    assert list(heads.x) == pytest.approx(np.clip(shares, -0.5, 1.5).tolist())
    assert " not " in figure.caption


def test_shares_of_sets_are_of_their_own_rows(premises) -> None:
    signal = premises.set_scores.order_sensitivity(premises.heuristic).value
    names = premises.set_scores.names
    third = signal[names.index("without disjoint 2")] / signal[0]
    assert set_shares(premises, "loss", "disjoint")[2] == pytest.approx(1 - third)


def test_without_overlap_pairs_the_in_domain_auc_is_drawn(results) -> None:
    figure = figures.premises(results.premises(overlap=False))
    assert figure.plot.layout.yaxis.title.text == "in-domain AUC"
    assert "no overlap pairs" in figure.caption


def test_it_comes_first_in_the_report_with_its_words_and_table(premises, tmp_path) -> None:
    assert next(iter(SECTIONS)) == figures_in_order()[0].section == "premises"
    run = RunResults.of([premises])
    assert run.premises is premises
    text = report(run, tmp_path / "report.html").read_text()
    assert "Do the premises hold?" in text
    assert "word &lt;overlap&gt;" in text
    assert premise_words(premises)[-1] == "Note: a note."
