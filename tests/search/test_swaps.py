"""Swaps: predictions equal slow twins, only measured gains count, the best mask of all is found where it can be."""

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from tiny import FAMILIES, LABELS, tiny_batch, tiny_module

from hc_interp.errors import SearchError
from hc_interp.interventions.donors import Donors
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Keep, Scale, SoftMask
from hc_interp.interventions.sites import Steer
from hc_interp.metrics import kl_divergence
from hc_interp.models.load import load
from hc_interp.models.site import Site
from hc_interp.search import swaps as module
from hc_interp.search.objective import Objective
from hc_interp.search.pool import build_pool
from hc_interp.search.swaps import linear_logits, mask_losses, perturbed, ranked_swaps, swap_components
from hc_interp.subnetwork import Subnetwork


@pytest.fixture(scope="module")
def goal():
    model = load(tiny_module("bert", seed=3), labels=LABELS)
    rows = tiny_batch(30, 9)
    pool = build_pool(model, [rows], with_gold=False, interventions=(), size=16)
    return Objective(model, model.components, mean_activations(model, rows), pool, "kl")


def half(goal, rng):
    kept = torch.zeros(len(goal.universe), dtype=torch.bool)
    kept[rng.permutation(len(kept))[: len(kept) // 2]] = True
    return kept


def test_losses_are_those_of_one_mask_at_a_time(goal):
    rng = np.random.default_rng(0)
    rows = torch.tensor([3, 0, 17, 8, 25])
    masks = torch.stack([half(goal, rng) for _ in range(7)])
    batch = goal.pool.take(rows)
    full = goal.model.logits(batch)
    for mask, loss in zip(masks, mask_losses(goal, masks, rows), strict=True):
        kept = Subnetwork([goal.universe[i] for i in mask.nonzero()[:, 0]], goal.universe)
        slow = kl_divergence(full, goal.model.logits(batch, Keep(kept, goal.source))).mean()
        assert float(loss) == pytest.approx(float(slow), rel=1e-9)


def test_losses_from_the_first_changed_layer_on_are_those_of_whole_passes(goal, monkeypatch):
    rng = np.random.default_rng(10)
    near, rows = half(goal, rng), torch.tensor([3, 0, 17, 8, 25, 29])
    flips = near.repeat(len(near), 1)
    flips[torch.arange(len(near)), torch.arange(len(near))] ^= True
    masks = torch.cat([flips, near[None], half(goal, rng)[None]])
    direction = torch.linspace(-1, 1, goal.model.d_model)
    before = tuple(Steer(Site(layer, "resid_pre"), direction) for layer in range(goal.model.n_layers))
    goal = replace(goal, interventions=(Scale(goal.universe[0], 0.5), *before))
    whole = module.row_losses(goal, masks, rows)
    starts, run = [], type(goal).logits

    def spy(self, gates, rows, start=None):
        starts.append(0 if start is None else start[0])
        return run(self, gates, rows, start)

    monkeypatch.setattr(type(goal), "logits", spy)
    assert torch.allclose(module.row_losses(goal, masks, rows, near), whole, rtol=1e-9, atol=1e-12)
    assert set(starts) == set(range(goal.model.n_layers))


@pytest.mark.parametrize("source", ["means", "zero", "donors"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_and_source_gives_the_same_losses_from_the_first_changed_layer_on(family, source):
    model, rows = load(tiny_module(family, seed=3), labels=LABELS), tiny_batch(24, 9)
    sources = {"means": mean_activations(model, rows), "zero": 0, "donors": Donors(model, tiny_batch(80, 9, seed=4), 0)}
    pool = build_pool(model, [rows], with_gold=False, interventions=(), size=8)
    goal = Objective(model, model.components, sources[source], pool, "kl")
    near = half(goal, np.random.default_rng(11))
    flips = near.repeat(len(near), 1)
    flips[torch.arange(len(near)), torch.arange(len(near))] ^= True
    whole = module.row_losses(goal, flips, torch.arange(24))
    assert torch.allclose(module.row_losses(goal, flips, torch.arange(24), near), whole, rtol=1e-8, atol=1e-12)
    assert float((whole.amax(0) - whole.amin(0)).min()) > 1e-6  # the masks differ


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_both_ways_err_by_rounding_alone(dtype):
    """Against each other and against double precision, masks' mean losses stay within what rounding explains."""
    exact, rows = load(tiny_module("bert", seed=3), labels=LABELS), tiny_batch(24, 9)
    losses = []
    for model in (exact, load(tiny_module("bert", seed=3, dtype=dtype), labels=LABELS)):
        pool = build_pool(model, [rows], with_gold=False, interventions=(), size=8)
        goal = Objective(model, model.components, mean_activations(model, rows), pool, "kl")
        near = half(goal, np.random.default_rng(11))
        flips = near.repeat(len(near), 1)
        flips[torch.arange(len(near)), torch.arange(len(near))] ^= True
        losses += [module.row_losses(goal, flips, torch.arange(24), prefix).mean(1) for prefix in (None, near)]
    unit = torch.finfo(dtype).eps * float(losses[0].mean())
    assert losses[2].dtype == torch.float64
    assert float((losses[3] - losses[2]).abs().max()) < unit
    assert float((losses[2] - losses[0]).abs().max()) < 8 * unit


def test_a_loss_that_is_not_finite_is_an_error(goal):
    broken = {kind: value * float("nan") for kind, value in goal.source.values.items()}
    masks = torch.stack([half(goal, np.random.default_rng(seed)) for seed in range(3)])
    with pytest.raises(SearchError, match="loss of 3 of 3 binary masks is not finite on 2 examples"):
        mask_losses(replace(goal, source=replace(goal.source, values=broken)), masks, torch.tensor([1, 2]))


def test_slopes_of_logits_are_those_of_finite_differences(goal):
    kept, rows = half(goal, np.random.default_rng(1)), torch.tensor([11, 2, 29, 5])
    surrogate = linear_logits(goal, kept, rows)
    batch = goal.pool.take(rows)
    mask = kept.double()
    assert torch.allclose(surrogate.logits, goal.model.logits(batch, SoftMask(mask, goal.source)))
    for i in range(len(kept)):
        ends = []
        for step in (-1e-5, 1e-5):
            moved = mask.clone()
            moved[i] += step
            logits = goal.model.logits(batch, SoftMask(moved, goal.source))
            ends.append(logits - logits[:, -1:])
        assert torch.allclose(surrogate.slopes[..., i], (ends[1] - ends[0]) / 2e-5, atol=1e-6)


def test_swaps_are_ranked_by_the_loss_of_linear_logits(goal):
    kept, rows = half(goal, np.random.default_rng(2)), torch.arange(12)
    start = linear_logits(goal, kept, rows)
    removed, added = ranked_swaps(goal, start, rows)
    assert len(removed) == 36
    losses = []
    for i, j in zip(removed.tolist(), added.tolist(), strict=True):
        assert kept[i]
        assert not kept[j]
        losses.append(float(goal.loss(start.swap(i, j).logits, rows).mean()))
    assert losses == sorted(losses)


def test_a_perturbation_keeps_the_size(goal):
    rng = np.random.default_rng(3)
    kept = half(goal, rng)
    moved = perturbed(kept, rng)
    assert moved.sum() == kept.sum()
    assert int((moved & ~kept).sum()) == 2
    almost = torch.ones(5, dtype=torch.bool)
    almost[2] = False
    assert perturbed(almost, rng).sum() == 4


def test_losses_never_rise_and_are_measured(goal):
    rng = np.random.default_rng(4)
    kept, rows = half(goal, rng), torch.arange(30)
    best, history = swap_components(goal, kept, rows, 4, rng)
    assert len(history) == 4
    assert all(entry.after <= entry.before for entry in history)
    assert all((entry.traded > 0) == (entry.after < entry.before) for entry in history)
    assert history[0].before == pytest.approx(float(mask_losses(goal, kept[None], rows)[0]))
    assert min(entry.after for entry in history) == pytest.approx(float(mask_losses(goal, best[None], rows)[0]))
    assert best.sum() == kept.sum()


def test_first_rounds_take_few_examples_and_the_last_all(goal, monkeypatch):
    monkeypatch.setattr(module, "FIRST_SIZE", 4)
    kept, rows = half(goal, np.random.default_rng(6)), torch.arange(30)
    best, history = swap_components(goal, kept, rows, 20, np.random.default_rng(6))
    sizes = [entry.examples for entry in history]
    assert sizes == sorted(sizes)
    assert set(sizes) == {4, 8, 16, 30}
    for before, after in pairwise(history):
        assert (after.examples == before.examples) == (before.traded > 0 or before.examples == 30)
    start, end = mask_losses(goal, torch.stack([kept, best]), rows)
    assert end < start


def test_a_swap_that_only_few_examples_favour_is_taken_back(goal, monkeypatch):
    """Rounds end before all examples were used: what is worse on them than the start is not returned."""
    monkeypatch.setattr(module, "FIRST_SIZE", 2)
    monkeypatch.setattr(module, "CLEAR", 0.0)
    rows, taken_back = torch.arange(30), 0
    for seed in range(6):
        kept = half(goal, np.random.default_rng(seed))
        best, (only,) = swap_components(goal, kept, rows, 1, np.random.default_rng(seed))
        start, end = mask_losses(goal, torch.stack([kept, best]), rows)
        assert end <= start
        taken_back += only.traded > 0 and torch.equal(best, kept)
    assert taken_back > 0


def test_ends_early_where_a_large_model_has_no_swap_left(goal, monkeypatch):
    monkeypatch.setattr(module, "EXHAUSTIVE", 0)
    kept = half(goal, np.random.default_rng(7))
    _, history = swap_components(goal, kept, torch.arange(30), 50, np.random.default_rng(7))
    assert len(history) < 50
    idle = [entry.gain < module.IDLE_GAIN * entry.before for entry in history if entry.examples == 30]
    assert idle[-2:] == [True, True]
    assert (True, True) not in pairwise(idle[:-1])


def test_finds_the_best_of_all_subsets_from_most_starts(goal):
    rows = torch.arange(30)
    n = len(goal.universe)
    every = torch.zeros(220, n, dtype=torch.bool)
    for i, kept in enumerate(combinations(range(n), 3)):
        every[i, list(kept)] = True
    losses = mask_losses(goal, every, rows)
    gap = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        start = every[rng.integers(len(every))]
        loss = float(mask_losses(goal, swap_components(goal, start, rows, 8, rng)[0][None], rows)[0])
        gap.append((loss - float(losses.min())) / float(losses.mean() - losses.min()))
    assert sum(item <= 0.01 for item in gap) >= 3, gap


def test_nothing_to_swap(goal):
    whole = torch.ones(len(goal.universe), dtype=torch.bool)
    best, history = swap_components(goal, whole, torch.arange(4), 3, np.random.default_rng(0))
    assert torch.equal(best, whole)
    assert history == []


def test_few_candidates_are_measured_where_there_are_many(goal, monkeypatch):
    monkeypatch.setattr(module, "EXHAUSTIVE", 0)
    kept, rows = half(goal, np.random.default_rng(5)), torch.arange(10)
    masks, _ = module.candidates(goal, linear_logits(goal, kept, rows), rows)
    assert 1 <= len(masks) <= module.FINALISTS + len(module.CHAINS)
    assert bool((masks.sum(1) == kept.sum()).all())
    assert not (masks == kept).all(1).any()


@pytest.mark.parametrize("few", [8, 30])
def test_errors_make_the_prediction_of_one_change_exact(goal, monkeypatch, few):
    monkeypatch.setattr(module, "PROMISING", 3)
    monkeypatch.setattr(module, "FIRST_SIZE", 2 * few)
    kept, rows = half(goal, np.random.default_rng(8)), torch.arange(30).flip(0)
    at = linear_logits(goal, kept, rows)
    unknown = torch.full_like(at.errors, torch.nan)
    errors = module.measured_errors(goal, replace(at, errors=unknown), rows)
    chosen = errors.isfinite().nonzero()[:, 0]
    assert kept[chosen].tolist().count(True) == 3
    assert kept[chosen].tolist().count(False) == 3
    for i in chosen.tolist():
        mask = kept.clone()
        mask[i] = not kept[i]
        moved = (at.logits + (1 if mask[i] else -1) * at.slopes[..., i])[:few]
        exact = float(mask_losses(goal, mask[None], rows[:few])[0])
        assert float(goal.loss(moved, rows[:few]).mean() + errors[i]) == pytest.approx(exact, abs=1e-9)


def test_what_is_known_of_errors_stays_and_what_is_not_is_measured_next(goal, monkeypatch):
    monkeypatch.setattr(module, "PROMISING", 2)
    kept, rows = half(goal, np.random.default_rng(8)), torch.arange(30)
    at = linear_logits(goal, kept, rows)
    known = torch.full_like(at.errors, 1.0)  # so bad that nothing known is promising
    known[[int(kept.nonzero()[0]), int((~kept).nonzero()[0])]] = torch.nan
    errors = module.measured_errors(goal, replace(at, errors=known), rows)
    assert errors.isfinite().all()
    assert int((errors == 1.0).sum()) == len(known) - 4
    assert bool((errors[known.isnan()] < 1.0).all())


def test_hopeful_masks_are_measured_on_all_rows(goal, monkeypatch):
    monkeypatch.setattr(module, "COMPARED", 7)
    rng, rows = np.random.default_rng(11), torch.from_numpy(np.random.default_rng(11).permutation(30))
    current, masks = half(goal, rng), torch.stack([half(goal, rng) for _ in range(5)])
    every = module.row_losses(goal, masks, rows)
    hopeful, losses, now = module.evaluated(goal, masks, current, rows, 2)
    best = every[:, :7].mean(1).argsort()[:2]
    assert torch.equal(hopeful, masks[best])
    assert torch.allclose(losses, every[best], rtol=1e-9, atol=1e-12)
    assert torch.allclose(now, module.row_losses(goal, current[None], rows)[0], rtol=1e-9, atol=1e-12)


def test_which_gain_counts():
    rows = torch.linspace(-1, 1, 401, dtype=torch.float64)
    rows /= rows.std()
    error = 401**-0.5
    large_but_noisy, small_but_sure = 0.9 * error + rows, torch.full_like(rows, 0.1 * error)
    gains = torch.stack([large_but_noisy, small_but_sure, small_but_sure / 2])
    assert module._best_gain(gains, last=False, rounding=0.0) == 1
    assert module._best_gain(gains, last=True, rounding=0.0) == 0
    assert module._best_gain(gains, last=True, rounding=error) is None
    for size, taken in ((module.CLEAR - 0.01, None), (module.CLEAR + 0.01, 0)):
        assert module._best_gain((size * error + rows)[None], last=False, rounding=0.0) == taken


def test_rounds_on_some_of_the_rows_carry_errors_over(goal, monkeypatch):
    """The path of a large model: errors kept from round to round, logits of a part of the rows."""
    for name, value in {"EXHAUSTIVE": 0, "FIRST_SIZE": 8, "SURROGATE_SIZE": 16, "COMPARED": 8, "PROMISING": 3}.items():
        monkeypatch.setattr(module, name, value)
    rows, improved = torch.arange(30), 0
    for seed in range(4):
        kept = half(goal, np.random.default_rng(seed))
        best, history = swap_components(goal, kept, rows, 30, np.random.default_rng(seed))
        start, end = mask_losses(goal, torch.stack([kept, best]), rows)
        assert best.sum() == kept.sum()
        assert end <= start
        assert {entry.examples for entry in history} == {8, 16, 30}
        again, _ = swap_components(goal, kept, rows, 30, np.random.default_rng(seed))
        assert torch.equal(best, again)
        improved += int(end < start)
    assert improved >= 3


def test_a_gain_that_does_not_stand_out_is_not_taken_on_few_examples(goal, monkeypatch):
    monkeypatch.setattr(module, "FIRST_SIZE", 8)
    monkeypatch.setattr(module, "CLEAR", 1e6)
    kept = half(goal, np.random.default_rng(6))
    _, history = swap_components(goal, kept, torch.arange(30), 6, np.random.default_rng(6))
    assert [entry.examples for entry in history[:3]] == [8, 16, 30]
    assert [entry.traded for entry in history[:2]] == [0, 0]
    assert history[2].traded > 0


def test_what_was_swapped_is_not_swapped_again(goal):
    rows = torch.arange(12)
    chain, seen = linear_logits(goal, half(goal, np.random.default_rng(9)), rows), []
    for n in range(6, 0, -1):
        removed, added = ranked_swaps(goal, chain, rows)
        assert len(removed) == n**2
        seen += [int(removed[0]), int(added[0])]
        chain = chain.swap(*seen[-2:])
    assert len(set(seen)) == 12
    assert len(ranked_swaps(goal, chain, rows)[0]) == 0


def scripted(monkeypatch, gains):
    """Swaps whose measured gains are these shares of the loss, one for each round, in a model with many swaps."""
    script = iter(gains)

    def evaluated(goal, masks, current, rows, hopeful):
        before = torch.ones(len(rows), dtype=torch.float64)
        return masks[:1], (1 - next(script)) * before[None], before

    monkeypatch.setattr(module, "EXHAUSTIVE", 0)
    monkeypatch.setattr(module, "evaluated", evaluated)


def test_only_idle_rounds_in_a_row_end_it(goal, monkeypatch):
    scripted(monkeypatch, [0.0, 0.1, 0.0, 0.1, 0.0, 0.0, 0.1])
    kept = half(goal, np.random.default_rng(7))
    _, history = swap_components(goal, kept, torch.arange(12), 20, np.random.default_rng(7))
    assert [round(entry.gain, 6) for entry in history] == [0.0, 0.1, 0.0, 0.1, 0.0, 0.0]


def test_the_examples_of_the_last_rounds_are_drawn(goal, monkeypatch):
    """Of more than `LAST_SIZE` not the first, which may all be of one kind."""
    monkeypatch.setattr(module, "LAST_SIZE", 8)
    seen, losses = set(), module.row_losses

    def noted(goal, masks, rows, near=None):
        seen.update(rows.tolist())
        return losses(goal, masks, rows, near)

    monkeypatch.setattr(module, "row_losses", noted)
    swap_components(goal, half(goal, np.random.default_rng(7)), torch.arange(30), 2, np.random.default_rng(7))
    assert len(seen) == 8
    assert seen != set(range(8))
