"""The view of one example, for the browser and for print, and the panels of all heads."""

import json

import numpy as np
import pytest
from attention_model import attention_model, attention_texts

from hc_interp import figures
from hc_interp.attention.profile import attention_profile
from hc_interp.components import Head
from hc_interp.errors import ComponentError, DataError, ResultError
from hc_interp.figures.style import INCHES
from hc_interp.models.site import Site

TEXT = ("worda wordb wordc", "wordc wordd")


@pytest.fixture(scope="module")
def model():
    return attention_model()


@pytest.mark.parametrize("width", INCHES)
def test_print_has_a_panel_per_head_with_the_second_text_asking(model, width) -> None:
    figure = figures.attention(model, *TEXT, heads=["L0H0", "L0H2", "L1H0"], width=width)
    batch = model.tokenize([TEXT[0]], [TEXT[1]])
    pattern = model.run(batch, capture=Site(0, "pattern")).captured[Site(0, "pattern")][0]
    assert [np.array(trace.z).shape for trace in figure.plot.data] == [(3, 8)] * 3
    np.testing.assert_allclose(np.array(figure.plot.data[1].z, dtype=float), pattern[2, 5:].numpy(), atol=1e-4)
    assert list(figure.plot.layout.yaxis.ticktext) == ["wordc", "wordd", "[SEP]"]
    assert list(figure.plot.layout.xaxis.tickvals) == list(range(8))
    assert not figure.plot.layout.updatemenus
    assert figure.plot.layout.width == pytest.approx(INCHES[width] * 96)
    assert "not what it moves" in figure.caption
    assert json.loads(json.dumps(figure.data))["heads"].keys() == {"L0H0", "L0H2", "L1H0"}


def test_the_menu_shows_one_of_all_heads_at_a_time_and_needs_no_network(model, tmp_path) -> None:
    figure = figures.attention(model, *TEXT)
    (menu,) = figure.plot.layout.updatemenus
    assert [button.label for button in menu.buttons] == [str(Head(i, j)) for i in range(2) for j in range(4)]
    assert [trace.visible for trace in figure.plot.data] == [True, *[False] * 7]
    assert [sum(button.args[0]["visible"]) for button in menu.buttons] == [1] * 8
    page = figure.write(tmp_path / "attention.html").read_text()
    assert 'src="http' not in page


def test_a_single_text_asks_from_all_its_tokens(model) -> None:
    figure = figures.attention(model, TEXT[0], heads="L0H1")
    assert np.array(figure.plot.data[0].z).shape == (5, 5)
    assert "query tokens (all tokens)" in figure.caption


def test_what_cannot_be_drawn(model) -> None:
    with pytest.raises(DataError, match="was given list and NoneType"):
        figures.attention(model, ["a"])  # type: ignore[arg-type]
    with pytest.raises(ComponentError, match="expected 1 to 6 heads"):
        figures.attention(model, *TEXT, heads=[Head(i, j) for i in range(2) for j in range(4)])
    with pytest.raises(ComponentError, match="expected 1 to 6 heads"):
        figures.attention(model, *TEXT, heads="L0MLP")
    with pytest.raises(ComponentError, match="not a component"):
        figures.attention(model, *TEXT, heads="L7H0")


@pytest.mark.parametrize("width", INCHES)
def test_a_panel_per_measure_with_its_own_scale(model, width) -> None:
    profile = attention_profile(model, attention_texts(8))
    figure = figures.attention_profile(profile, core=["L0H0"], width=width)
    grids = [trace for trace in figure.plot.data if trace.type == "heatmap"]
    assert len(grids) == 6
    assert np.array(grids[0].z)[0, 0] == pytest.approx(profile.score("L0H0", "same_word").value)
    assert grids[0].zmax == pytest.approx(np.array(grids[0].z, dtype=float).max())
    assert "L0H0" in figure.caption
    assert " not " in figure.caption
    assert figure.plot.layout.width == pytest.approx(INCHES[width] * 96)


def test_results_outside_a_run_are_drawn_too(model):
    found = attention_profile(model, attention_texts(8))
    assert list(figures.draw(found)) == ["attention"]
    assert list(figures.draw({"a": found})) == ["attention"]
    with pytest.raises(ResultError, match="a second AttentionProfile"):
        figures.draw([found, found])
