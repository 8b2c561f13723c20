"""The rule of evidence by contrast on effects that were written down: each condition alone refuses a head."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from hc_interp.heads.contrast_rule import PairEffects, contrast_table
from hc_interp.statistics.units import Units

N, LABEL, OTHER = 40, 1, 0  # LABEL is the heuristic's
# The shares of each head: on order pairs, on these reversed, on overlap pairs; and whether it passes.
HEADS = {
    "order": (0.5, 0.5, 0.1, True),
    "answer": (0.5, 0.5, 0.5, False),
    "overlap": (0.2, 0.2, 0.6, False),
    "one way": (0.5, 0.008, 0.1, False),
    "other way": (0.008, 0.5, 0.1, False),
    "against": (-0.3, -0.3, -0.6, False),
    "small": (0.009, 0.009, 0.0, False),
    "idle": (0.0, 0.0, 0.0, False),
}
ORDER, BACK, OVERLAP = range(3)
RULE: dict[str, Any] = {"label": LABEL, "margin": 0.01, "alpha": 0.05, "seed": 0}


def effects(
    shares, seed: int = 0, total: float = -4.0, clean: float = 2.0, gold: int = LABEL, n: int = N
) -> PairEffects:
    rng = np.random.default_rng(seed)
    totals = total + rng.normal(0, 0.4, n)
    shares = np.asarray(shares)
    nodes = totals[:, None] * shares + rng.normal(0, 0.02, (n, len(shares))) * (shares != 0)
    levels = {"source": tuple((f"{seed} {i // 2}",) for i in range(n)), "verb": tuple((f"v{i % 8}",) for i in range(n))}
    return PairEffects(nodes, totals, np.full(n, clean), np.full(n, gold), levels)


def given(**changes: Any) -> dict[str, Any]:
    columns = np.array([shares[:3] for shares in HEADS.values()])
    sets = {"order": ORDER, "back": BACK, "overlap": OVERLAP}
    gold = {"back": OTHER}
    return {name: effects(columns[:, i], seed=i, gold=gold.get(name, LABEL)) for name, i in sets.items()} | changes


def table(margin: float = 0.01, alpha: float = 0.05, **changes: Any) -> pd.DataFrame:
    found = contrast_table(**given(**changes), label=LABEL, margin=margin, alpha=alpha, seed=0)
    return found.set_index(pd.Index(list(HEADS)[: len(found)]))


def test_each_condition_refuses_the_head_that_breaks_it() -> None:
    found = table()
    assert found["passes"].to_dict() == {name: head[-1] for name, head in HEADS.items()}
    assert found.index[found["carries_answer"]].tolist() == ["answer", "overlap"]
    assert found["more_than_overlap"].to_dict() == {
        "order": "yes", "answer": "no", "overlap": "no", "one way": "yes", "other way": "no", "against": "yes",
        "small": "yes", "idle": "no",
    }  # fmt: skip


def test_the_columns() -> None:
    found = table()
    assert list(found) == [
        "node_effect", "low", "high", "share", "share_low", "share_high", "share_reversed", "share_matched",
        "share_overlap", "more", "more_low", "p_more", "q_more", "more_than_overlap", "carries_answer", "p", "q",
        "passes",
    ]  # fmt: skip
    row = found.loc["order"]
    assert [row["share"], row["share_reversed"], row["share_overlap"]] == pytest.approx([0.5, 0.5, 0.1], abs=0.01)
    assert row["more"] == pytest.approx(row["share_matched"] - row["share_overlap"])
    assert row["share_low"] < row["share"] < row["share_high"]
    assert row["low"] < row["node_effect"] < row["high"] < 0
    assert 0.3 < row["more_low"] < row["more"]
    idle = found.loc["idle"]
    assert (idle["node_effect"], idle["p"], idle["p_more"]) == (0, 1, 1)


def test_intervals_count_the_words_that_pairs_share() -> None:
    order = given()["order"]
    units = Units.of(order.levels)
    assert set(units.members) == {"source", "verb"}
    mean, share = units.mean(order.nodes), units.ratio(order.nodes, order.total)
    found = table()
    assert np.allclose(found[["low", "high"]], np.stack([mean.low, mean.high], axis=1))
    assert np.allclose(found[["share_low", "share_high"]], np.stack([share.low, share.high], axis=1))


def test_without_overlap_pairs_the_rule_is_not_checked() -> None:
    """The same holds where the total effect on the overlap pairs may be 0: there are no shares of it."""
    even = effects([0.5] * len(HEADS), seed=2)
    sign = np.where(np.arange(N) % 4 < 2, 1, -1)
    for overlap in (None, replace(even, nodes=even.nodes * sign[:, None], total=even.total * sign)):
        found = table(overlap=overlap)
        assert (found["more_than_overlap"] == "not checked").all()
        assert found[["more", "more_low", "p_more", "q_more"]].isna().all(axis=None)
        assert not found["carries_answer"].any()
        assert found.index[found["passes"]].tolist() == ["order", "answer", "overlap"]


def test_pairs_are_compared_in_the_direction_of_the_overlap_pairs() -> None:
    """Only the rows whose clean side has the heuristic's label, from the pairs as they are and reversed."""
    turned = table(order=replace(given()["order"], gold=np.full(N, OTHER)), back=effects([0.3] * 8, seed=1))
    assert turned["share_matched"].tolist() == turned["share_reversed"].tolist()
    half = np.where(np.arange(N) < N // 2, LABEL, OTHER)
    order, back = replace(given()["order"], gold=half), replace(given()["back"], gold=LABEL + OTHER - half)
    mixed = table(order=order, back=back).loc["one way"]
    total = order.total[: N // 2].sum() + back.total[N // 2 :].sum()
    node = order.nodes[: N // 2, 3].sum() + back.nodes[N // 2 :, 3].sum()
    assert mixed["share_matched"] == pytest.approx(node / total)
    found = table(order=replace(given()["order"], gold=np.full(N, OTHER)), back=None)
    assert (found["more_than_overlap"] == "not checked").all()


def test_pairs_that_cannot_be_reversed_ask_for_one_direction() -> None:
    found = table(back=None)
    assert found.index[found["passes"]].tolist() == ["order", "one way"]
    assert found["share_reversed"].isna().all()


def test_p_is_the_larger_of_the_directions() -> None:
    """In the reversed pairs the effects of "order" cancel, though two large ones leave its share above the margin."""
    back = given()["back"]
    nodes = back.nodes.copy()
    nodes[:, 0] = np.where(np.arange(N) % 4 < 2, 1.0, -1.0)
    nodes[:2, 0] = -8
    found = table(back=replace(back, nodes=nodes))
    assert found.loc["order", "share_reversed"] > 0.01
    assert found.loc["order", "p"] > 0.05 > table(back=None).loc["order", "p"]
    assert not found.loc["order", "passes"]


def test_a_model_at_floor_and_a_total_of_zero_let_nothing_pass() -> None:
    order = given()["order"]
    for clean in (-1.0, 9.0):
        assert not table(order=replace(order, clean=np.full(N, clean)))["passes"].any()
    assert replace(order, clean=np.where(np.arange(N) < 4, 2.0, -1.0)).both_right == 0.1
    assert table(order=replace(order, clean=np.where(np.arange(N) < 4, 2.0, -1.0)))["passes"].any()
    sign = np.where(np.arange(N) % 4 < 2, 1, -1)
    even = replace(order, nodes=order.nodes * sign[:, None], total=order.total * sign)
    found = table(order=even)
    assert found["share"].isna().all()
    assert not found[["passes", "carries_answer"]].any(axis=None)


def test_margin_and_alpha() -> None:
    assert not table(margin=0.6)["passes"].any()
    low = table(margin=0.0001)
    assert low.index[low["passes"]].tolist() == ["order", "one way", "small"]
    assert not table(alpha=1e-9)["passes"].any()


def test_the_two_sets_share_their_rows() -> None:
    """The same sources have the same deviations in both sets, so that they cancel in the difference of the shares."""
    rng = np.random.default_rng(7)
    order, overlap = (effects([0.5], seed=1), effects([0.3], seed=1))
    total = np.full(N, -4.0)
    noise = np.repeat(rng.normal(0, 0.5, N // 2), 2)[:, None]
    order, overlap = (
        replace(item, nodes=share * total[:, None] + noise, total=total)
        for item, share in ((order, 0.5), (overlap, 0.3))
    )
    row = contrast_table(order, None, overlap, **RULE).iloc[0]
    assert row["more"] == pytest.approx(0.2)
    assert row["more_low"] == pytest.approx(0.2)
    assert row["share_low"] < row["share"] - 0.01
    apart = replace(overlap, levels={"source": tuple((f"other {i // 2}",) for i in range(N))})
    assert contrast_table(order, None, apart, **RULE).iloc[0]["more_low"] < 0.19


def test_each_set_is_a_block_of_its_own() -> None:
    """Five verbs of a set are a fifth of its pairs each, not a tenth of all pairs."""
    rng = np.random.default_rng(8)
    sets, influences = [], []
    for name, share in (("order", 0.5), ("overlap", 0.3)):
        nodes = -4.0 * share + rng.normal(0, 0.3, 5)[np.arange(N) % 5] + rng.normal(0, 0.1, N)
        levels = {unit: tuple((f"{name} {i % k}",) for i in range(N)) for unit, k in (("source", N), ("verb", 5))}
        sets.append(PairEffects(nodes[:, None], np.full(N, -4.0), np.full(N, 2.0), np.full(N, LABEL), levels))
        influences.append((nodes - nodes.mean()) / (-4.0 * N))
    u = np.stack(influences)
    by_verb = u.reshape(2, N // 5, 5).sum(axis=1)
    variance = (2 * N - 1) / (2 * N) * (u**2).sum() / (1 - 1 / N) ** 2
    variance += 9 / 10 * ((by_verb**2).sum() - (u**2).sum()) / (1 - 1 / 5) ** 2
    row = contrast_table(sets[0], None, sets[1], **RULE).iloc[0]
    assert row["more"] - row["more_low"] == pytest.approx(student.ppf(0.975, 9) * variance**0.5)


def test_p_more_holds_its_level() -> None:
    """Heads with the same share on both sets, which share half of their sources."""
    order, overlap = effects([0.3] * 400, seed=5, n=80), effects([0.3] * 400, seed=6, n=80)
    overlap = replace(overlap, levels=overlap.levels | {"source": order.levels["source"]})
    found = contrast_table(order, None, overlap, **RULE)
    assert 0.01 < (found["p_more"] <= 0.05).mean() < 0.1
    assert found["carries_answer"].mean() > 0.98


def test_no_candidates() -> None:
    nothing = effects([])
    assert len(contrast_table(nothing, nothing, None, **RULE)) == 0
