"""D, S and p_D: against slow loops, on made-up responses with a known answer, and their invariants."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hc_interp.components import Head
from hc_interp.patching.joint_effects import Responses
from hc_interp.reading.specificity import Specificity, count_labellings, specificity
from hc_interp.statistics.units import Units

N_PAIRS = 30


def made(response: dict[Head, float], extent: dict[Head, float] | None = None, noise: float = 0.0, seed: int = 0):
    """Responses of heads with these ratios; `extent` is each head's mean |dz_full|^2 (1 by default)."""
    rng = np.random.default_rng(seed)
    heads = tuple(response)
    size = np.array([(extent or {}).get(head, 1.0) for head in heads]) * (1 + 0.2 * rng.random((N_PAIRS, len(heads))))
    ratio = np.array(list(response.values())) + noise * rng.normal(size=(N_PAIRS, len(heads)))
    return Responses(heads, ratio * size, size)


def found(
    responses: Responses, generalizing: tuple[Head, ...], seed: int = 0, kinds: int = 1, level: float = 0.95
) -> Specificity:
    units = Units.of({"source": [(str(i),) for i in range(N_PAIRS)]})
    return specificity(responses, generalizing, units, margin=0.05, level=level, seed=seed, kinds=kinds)


def slow_statistic(responses: Responses, labelled: set[Head], compared: list[Head]) -> tuple[float, float]:
    """R(G) and R(O) by loops over layers and heads."""
    ratio = {
        head: min(max(responses.explained[:, i].sum() / responses.extent[:, i].sum(), -1), 2)
        for i, head in enumerate(responses.heads)
    }
    size = {head: responses.extent[:, i].sum() for i, head in enumerate(responses.heads)}
    top_g = top_o = whole = 0.0
    for layer in sorted({head.layer for head in compared}):
        g = [head for head in compared if head.layer == layer and head in labelled]
        o = [head for head in compared if head.layer == layer and head not in labelled]
        weight = sum(size[head] for head in g)
        top_g += weight * sum(ratio[head] for head in g) / len(g)
        top_o += weight * sum(ratio[head] for head in o) / len(o)
        whole += weight
    return top_g / whole, top_o / whole


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_statistics_and_p_are_those_of_loops_over_all_labellings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heads = [Head(layer, i) for layer in (1, 2) for i in range(5)]
    responses = made({head: float(rng.uniform(-1.2, 1.2)) for head in heads}, noise=0.1, seed=seed)
    generalizing = (Head(1, 0), Head(1, 3), Head(2, 2))
    result = found(responses, generalizing)
    r_g, r_o = slow_statistic(responses, set(generalizing), heads)
    assert (float(result.R_G), float(result.R_O), float(result.D)) == pytest.approx((r_g, r_o, r_g - r_o))
    if not math.isnan(float(result.S)):
        assert float(result.S) == pytest.approx((r_g - r_o) / r_g)
    null = []
    for first in itertools.combinations(heads[:5], 2):
        for second in itertools.combinations(heads[5:], 1):
            one, other = slow_statistic(responses, {*first, *second}, heads)
            null.append(one - other)
    assert result.labellings == len(null) == 50
    assert result.p_D == pytest.approx(np.mean(np.array(null) >= r_g - r_o - 1e-6 * max(map(abs, null))))


def test_intervals_are_over_pairs_and_over_heads() -> None:
    """Without noise over pairs only the heads differ; their jackknife is that of a mean of the others."""
    values = [0.0, 0.2, 0.4, 0.1]
    response = {Head(1, 0): 1.0, Head(1, 1): 1.0, **{Head(1, 2 + i): value for i, value in enumerate(values)}}
    result = found(made(response), (Head(1, 0), Head(1, 1)))
    means = [np.mean(np.delete(values, i)) for i in range(4)] + [np.mean(values)] * 2
    variance = 5 / 6 * np.sum((np.array(means) - np.mean(means)) ** 2)
    from scipy.stats import t as student

    assert float(result.R_O.high) - float(result.R_O) == pytest.approx(student.ppf(0.975, 29) * variance**0.5, rel=1e-3)
    noisy = found(made(response, noise=0.3), (Head(1, 0), Head(1, 1)))
    assert float(noisy.R_O.high) - float(noisy.R_O) > float(result.R_O.high) - float(result.R_O)


def test_idle_heads_are_no_comparison() -> None:
    """Ten of sixteen heads follow the core alike; six idle ones would make any eight of them look special."""
    response = {Head(1, i): 0.8 if i < 10 else 0.0 for i in range(16)}
    idle = {Head(1, i): 0.001 for i in range(10, 16)}
    generalizing = tuple(Head(1, i) for i in range(8))
    result = found(made(response, idle, noise=0.05), generalizing)
    assert float(result.S.high) < 0.3
    assert result.labellings == math.comb(10, 8)
    awake = found(made(response, noise=0.05), generalizing)
    assert float(awake.S) == pytest.approx(0.75, abs=0.05)


def test_layers_without_other_heads_are_left_out_and_named() -> None:
    response = {Head(1, 0): 1.0, Head(2, 0): 1.0, Head(2, 1): 0.0, Head(3, 0): 1.0, Head(3, 1): 0.0}
    extent = {Head(1, 0): 2.0, Head(3, 1): 1e-4, Head(2, 0): 4.0}
    result = found(made(response, extent), (Head(1, 0), Head(2, 0), Head(3, 0)))
    assert result.left_out == {"L1": "no other heads", "L3": "the other heads hardly change"}
    assert result.covered == pytest.approx(4 / 7, abs=0.05)
    assert result.compared
    nothing = found(made({Head(1, 0): 1.0, Head(1, 1): 1.0}), (Head(1, 0), Head(1, 1)))
    assert not nothing.compared
    assert math.isnan(nothing.p_D)
    assert math.isnan(float(nothing.D))


def test_a_share_of_no_response_is_undefined() -> None:
    response = {Head(1, i): 0.0 for i in range(6)}
    result = found(made(response, noise=0.02), (Head(1, 0), Head(1, 1)))
    assert math.isnan(float(result.S))
    assert abs(float(result.D)) < 0.05


def test_a_head_that_hardly_changes_cannot_carry_the_mean_away() -> None:
    response = {Head(1, 0): 1.0, Head(1, 1): 1.0, Head(1, 2): -50.0, Head(1, 3): 0.0}
    result = found(made(response, {Head(1, 2): 0.05}), (Head(1, 0), Head(1, 1)))
    assert float(result.R_O) == pytest.approx(-0.5)


def test_drawn_labellings_differ_from_the_observed_one_and_from_each_other(monkeypatch) -> None:
    """10 labellings, of which 9 are drawn: p is that of all 10."""
    responses = made({Head(1, i): value for i, value in enumerate((0.9, 0.8, 0.2, 0.1, 0.3))}, noise=0.01)
    every = found(responses, (Head(1, 0), Head(1, 2)))
    monkeypatch.setattr("hc_interp.reading.specificity.EXHAUSTIVE", 9)
    monkeypatch.setattr("hc_interp.reading.specificity.count_labellings", lambda *arguments: 10)
    drawn = found(responses, (Head(1, 0), Head(1, 2)))
    assert (every.labellings, drawn.labellings) == (10, 9)
    assert every.p_D == pytest.approx(0.3)
    assert drawn.p_D in (pytest.approx(2 / 9), pytest.approx(3 / 9))  # one labelling was not drawn


def test_many_labellings_are_drawn_and_seeded() -> None:
    heads = [Head(1, i) for i in range(16)]
    responses = made({head: 1.0 if head.head < 8 else 0.0 for head in heads}, noise=0.1)
    first, again = (found(responses, tuple(heads[:8]), seed=3) for _ in range(2))
    assert first.labellings == 2000 < count_labellings([1] * 16, np.arange(16) < 8)
    assert first.p_D == again.p_D == pytest.approx(1 / 2000)
    frame = first.to_frame()
    assert list(frame.columns) == ["head", "layer", "response", "extent", "is_G"]
    assert frame["is_G"].sum() == 8


def test_the_interval_that_decides_is_that_of_a_level_corrected_for_the_kinds() -> None:
    heads = [Head(layer, i) for layer in (1, 2) for i in range(5)]
    generalizing = (Head(1, 0), Head(1, 3), Head(2, 2))
    responses = made({head: 0.8 if head in generalizing else 0.4 for head in heads}, noise=0.3)
    alone, one_of_two = found(responses, generalizing), found(responses, generalizing, kinds=2)
    stricter = found(responses, generalizing, level=0.975).S
    assert alone.S_over_kinds == alone.S == one_of_two.S
    assert one_of_two.S_over_kinds == stricter
    assert stricter.low < alone.S.low  # type: ignore[operator]
    assert alone.S.high < stricter.high  # type: ignore[operator]


def test_neither_interval_of_s_is_known_where_the_heads_do_not_respond() -> None:
    heads = [Head(1, i) for i in range(6)]
    result = found(made(dict.fromkeys(heads, 0.01), noise=0.1), (Head(1, 0), Head(1, 1)), kinds=2)
    assert result.S_over_kinds is not None
    assert math.isnan(float(result.S))
    assert math.isnan(float(result.S_over_kinds.low))
