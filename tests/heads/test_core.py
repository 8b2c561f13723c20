"""The core and what chance would give, against enumeration."""

import warnings
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_results import mask_search

from hc_interp.components import MLP, Head, universe
from hc_interp.errors import ComponentError, HCError, HCWarning
from hc_interp.heads.core import HeuristicCore, core_size_by_chance, heuristic_core, jaccard_by_chance, needed
from hc_interp.search.result import MaskSearch
from hc_interp.subnetwork import Subnetwork

ALL = universe(2, 3)


def keep(*names: str, items=ALL) -> Subnetwork:
    return Subnetwork(frozenset(names), items)


@pytest.fixture
def three() -> list[Subnetwork]:
    return [keep("L0H0", "L0H1", "L0MLP"), keep("L0H0", "L1H2", "L0MLP"), keep("L0H0", "L0H1", "L1MLP")]


def test_core_is_what_all_keep(three):
    core = heuristic_core(three)
    assert core.components == core.heads == (Head(0, 0),)
    assert core.mlps == ()
    assert core.subnetworks == 3
    assert core.frequency[Head(0, 1)] == pytest.approx(2 / 3)
    assert core.frequency[Head(1, 0)] == 0
    assert Head(0, 0) in core
    assert len(core) == 1


def test_share_lowers_the_bar(three):
    core = heuristic_core(three, share=2 / 3)
    assert core.components == (Head(0, 0), Head(0, 1), MLP(0))
    assert heuristic_core(three, share=0.7).components == (Head(0, 0),)
    assert len(heuristic_core(three, share=0.01)) == 5


def test_jaccard_is_the_mean_over_pairs_of_heads(three):
    core = heuristic_core(three)
    assert core.jaccard == pytest.approx((1 / 3 + 1 + 1 / 3) / 3)
    assert core.jaccard_by_chance == pytest.approx(jaccard_by_chance(2, 2, 6))


@given(st.integers(1, 6), st.data())
def test_expected_jaccard_is_exact(n_all, data):
    n_a, n_b = data.draw(st.integers(0, n_all)), data.draw(st.integers(0, n_all))
    a = set(range(n_a))
    found = [len(a & set(b)) / len(a | set(b)) if a or b else float("nan") for b in combinations(range(n_all), n_b)]
    assert jaccard_by_chance(n_a, n_b, n_all) == pytest.approx(np.mean(found), nan_ok=True)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.integers(1, 3))
def test_expected_core_size_is_exact(kept, least):
    sizes = []
    for sets in product(*(list(combinations(range(4), size)) for size in kept)):
        sizes.append(sum(sum(item in drawn for drawn in sets) >= least for item in range(4)))
    assert core_size_by_chance(kept, 4, least) == pytest.approx(np.mean(sizes))


def test_core_of_random_subnetworks_is_as_large_as_chance_says():
    rng, items, sizes, agreement = np.random.default_rng(0), universe(4, 6), [], []
    heads = [item for item in items if isinstance(item, Head)]
    mlps = [item for item in items if isinstance(item, MLP)]
    for _ in range(300):
        drawn = [
            Subnetwork(
                frozenset([heads[i] for i in rng.permutation(24)[:16]] + [mlps[i] for i in rng.permutation(4)[:3]]),
                items,
            )
            for _ in range(4)
        ]
        core = heuristic_core(drawn, share=0.75)
        sizes.append(len(core))
        agreement.append(core.jaccard)
    assert np.mean(sizes) == pytest.approx(core.size_by_chance, rel=0.05)
    assert np.mean(agreement) == pytest.approx(core.jaccard_by_chance, rel=0.02)


@given(st.integers(1, 200), st.data())
def test_needed_is_the_smallest_sufficient_count(n, data):
    count = data.draw(st.integers(1, n))
    assert needed(count / n, n) == count


def test_one_subnetwork_is_noted(three):
    core = heuristic_core(three[:1])
    assert set(core.components) == three[0].kept
    assert np.isnan(core.jaccard)
    assert core.notes == ("one subnetwork is its own core",)
    assert "its own core" in repr(core)


def test_seeds_that_find_one_mask_are_warned_of() -> None:
    items = universe(2, 8, mlps=False)
    heads = [str(item) for item in items]
    kept = [keep(*heads[:8], items=items), keep(*heads[:7], heads[9], items=items), keep(*heads[:8], items=items)]
    with pytest.warns(HCWarning) as caught:
        core = heuristic_core(kept)
    assert core.jaccard == pytest.approx((1 + 2 * 7 / 9) / 3)
    message = str(caught[0].message)
    assert "mean Jaccard of their heads is 0.85 (by chance at this sparsity 0.34; expected at most 0.75)" in message
    assert "exchanges=0" in message
    assert caught[0].filename == __file__
    assert core.notes == (message[0].lower() + message[1:-1],)
    assert core.notes[0] in repr(core)


@pytest.mark.parametrize("exchanges", [0, 4])
def test_a_search_without_swaps_is_not_told_to_leave_them_out(exchanges) -> None:
    search = search_of(0.1, 0.1)
    one = replace(search, subnetworks=search.subnetworks[:1] * 2, settings={"exchanges": exchanges})
    with pytest.warns(HCWarning, match="nearly one mask.* at a higher sparsity") as caught:
        heuristic_core(one)
    assert ("without swaps" in str(caught[0].message)) == (exchanges > 0)


def test_seeds_that_differ_and_a_single_one_are_not(recwarn) -> None:
    """Heads of 6 and 7 of 8: a Jaccard of exactly 0.75 is not above it."""
    items = universe(1, 8, mlps=False)
    heads = [str(item) for item in items]
    core = heuristic_core([keep(*heads[:7], items=items), keep(*heads[1:], items=items)])
    assert core.jaccard == 0.75
    assert core.notes == ()
    heuristic_core([keep(*heads, items=items)])
    assert not recwarn.list


def test_heads_only_and_the_order_of_the_universe_does_not_matter():
    items = universe(2, 3, mlps=False)
    with pytest.warns(HCWarning, match="nearly one mask"):
        core = heuristic_core([keep("L0H1", items=items), keep("L0H1", items=items[::-1])])
    assert core.components == (Head(0, 1),)
    assert core.universe == items


def test_frame_and_file(three, tmp_path):
    core = heuristic_core(three, share=2 / 3)
    frame = core.to_frame()
    assert list(frame.columns) == ["component", "kind", "layer", "head", "frequency", "in_core"]
    assert frame["component"].tolist() == [str(item) for item in ALL]
    assert frame.loc[frame["in_core"], "component"].tolist() == ["L0H0", "L0H1", "L0MLP"]
    assert frame["head"].isna().tolist() == [isinstance(item, MLP) for item in ALL]
    again = HeuristicCore.load(core.save(tmp_path / "core.json"))
    assert again.components == core.components
    assert again.frequency == core.frequency
    assert again.to_frame().equals(frame)
    assert core._repr_html_().startswith("<p>")


def test_nothing_is_an_error():
    with pytest.raises(HCError, match="No subnetworks were given"):
        heuristic_core([])
    with pytest.raises(HCError, match="L0H0 is not a Subnetwork"):
        heuristic_core([Head(0, 0)])


def test_different_universes_are_an_error(three):
    with pytest.raises(ComponentError, match="different universes"):
        heuristic_core([three[0], keep("L0H0", items=universe(2, 3, mlps=False))])


@pytest.mark.parametrize("share", [0, -1, 1.5, float("nan")])
def test_share_outside_its_range_is_an_error(three, share):
    with pytest.raises(HCError, match="share="):
        heuristic_core(three, share=share)


def test_components_by_name(three, tmp_path):
    core = heuristic_core(three)
    for found in (core, HeuristicCore.load(core.save(tmp_path / "core.json"))):
        assert found.frequency["L0H1"] == found.frequency[Head(0, 1)] == pytest.approx(2 / 3)
        assert found.frequency.get("L0MLP") == pytest.approx(2 / 3)
        assert found.frequency.get("L7H0", 0.5) == 0.5
        assert "L0H1" in found.frequency
        assert "L7H0" not in found.frequency
        assert "L0H0" in found
        assert "L0H1" not in found
        for name in ("L7H0", Head(7, 0)):
            with pytest.raises(ComponentError, match="L7H0 is not among the 8 components"):
                found.frequency[name]
        with pytest.raises(ComponentError, match="is not a component"):
            found.frequency["H1"]


def search_of(*kl: float, sparsities: tuple[float, ...] = ()) -> MaskSearch:
    """A search whose runs have this held-out KL."""
    search = mask_search(n=len(kl))
    kl_per_example = torch.tensor(kl)[:, None].expand_as(search.kl_per_example).clone()
    return replace(search, kl_per_example=kl_per_example, sparsities=sparsities or (0.5,) * len(kl))


@pytest.mark.parametrize(
    ("kl", "far"),
    [
        ((0.37, 2.35, 0.57), (1,)),
        ((0.09, 0.08, 0.10), ()),
        ((0.009, 0.02, 0.09), ()),  # ten times the least, but all masks are near
        ((0.3, 0.3, 0.89), ()),
        ((0.3, 0.3, 0.91), (2,)),
        ((0.2, 2.0), (1,)),
        ((2.0,), ()),
    ],
)
def test_a_mask_far_from_the_others_is_told(kl, far):
    search = search_of(*kl)
    assert search.far == far
    assert search.near == tuple(item for run, item in enumerate(search.subnetworks) if run not in far)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        core = heuristic_core(search)
    said = [str(warning.message) for warning in caught if "far worse" in str(warning.message)]
    assert len(said) == bool(far)
    assert [note for note in core.notes if "far worse" in note] == [search.far_in_words()] * bool(far)
    for run in far:
        assert f"seed {search.seeds[run]} at sparsity" in said[0]
        assert "hc.heuristic_core(found.near)" in said[0]
    assert not any("far worse" in note for note in heuristic_core(search.near).notes)


def test_masks_are_compared_within_their_sparsity():
    assert search_of(0.1, 0.12, 1.0, 1.1, sparsities=(0.3, 0.3, 0.7, 0.7)).far == ()
    assert search_of(0.1, 1.0, 1.0, 1.1, sparsities=(0.3, 0.3, 0.7, 0.7)).far == (1,)
