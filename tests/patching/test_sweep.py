"""The fast engine equals the general one, and keeps what must hold of path patching whatever the model."""

import itertools
from dataclasses import replace

import pytest
import torch
from path_pairs import GROUPS, RECEIVERS, SENDERS, make_pairs, twin_effect
from texts import word_tokenizer
from tiny import LABELS, tiny_batch, tiny_module

from hc_interp.components import EMBED, MLP, OUTPUT, Head
from hc_interp.data.align import encode_pairs
from hc_interp.data.contrast import ContrastPairs
from hc_interp.errors import HCError
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Ablate, Keep, Scale, SoftMask
from hc_interp.interventions.path_steps import ROUTES
from hc_interp.interventions.sites import Steer
from hc_interp.metrics import logit_diff
from hc_interp.models.load import load
from hc_interp.models.site import Site
from hc_interp.patching import sweep as sweep_module
from hc_interp.patching.equal_lengths import equal_lengths
from hc_interp.patching.path_effects import path_effects
from hc_interp.subnetwork import Subnetwork

GROUPED = [(Head(0, 0), Head(1, 2)), (EMBED, MLP(1)), Head(1, 1)]
INTO = [(Head(1, 0), Head(2, 1)), (MLP(1), Head(2, 2)), (Head(2, 0), Head(2, 1)), MLP(2), (Head(1, 1), MLP(1))]


def general(monkeypatch, *args, **kwargs):
    with monkeypatch.context() as patch:
        patch.setattr(sweep_module, "is_fast", lambda model, interventions: False)
        return path_effects(*args, **kwargs)


def assert_same(result, expected, atol=1e-10) -> None:
    assert result.rows == expected.rows
    for name in ("effects", "node", "total", "explained", "extent"):
        torch.testing.assert_close(getattr(result, name), getattr(expected, name), atol=atol, rtol=1e-9, equal_nan=True)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("through", ["each", "qk"])
def test_groups_equal_the_general_engine(any_model, monkeypatch, route, through) -> None:
    args = (any_model, make_pairs(7), GROUPED, INTO, through)
    result = path_effects(*args, route=route)
    assert result.effects.abs().max() > 1e-3
    assert_same(result, general(monkeypatch, *args, route=route))


@pytest.mark.parametrize("route", ROUTES)
def test_under_interventions_equal_the_general_engine(any_model, family, monkeypatch, route) -> None:
    """Means by position: an encoder's last layer runs at its first position, a decoder's at its last.

    An encoder and a decoder by all routes, the other families by the one that recomputes everything.
    """
    if route != "all" and family not in ("bert", "llama"):
        return
    means = mean_activations(any_model, tiny_batch(8, seed=5), positional=True)
    keep = Keep(Subnetwork(frozenset(set(any_model.components) - {Head(2, 2), MLP(1)}), any_model.components), means)
    mask = SoftMask(torch.linspace(0.2, 1, len(any_model.components), dtype=torch.float64), 0)
    for interventions in ([keep], [mask, Scale(Head(2, 0), 1.5)], [Ablate([Head(1, 0), MLP(2)], means)]):
        args = (any_model, make_pairs(6), [*SENDERS, Head(0, 0)], [*RECEIVERS, Head(2, 0)], "each")
        result = path_effects(*args, route=route, interventions=interventions)
        assert result.effects.abs().max() > 1e-4
        assert_same(result, general(monkeypatch, *args, route=route, interventions=interventions))


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", ["mistral", "qwen3-lm", "MPNet", "GPTNeoX", "OPT", "Phi3", "Gemma3Text"])
def test_windows_and_normed_heads_equal_the_general_engine(monkeypatch, name, route) -> None:
    """A window shorter than the texts; q and k that are normed head by head, read at label words; and other families.

    Of these: biases of distances, parallel layers, joint projections, norms of what is added.
    """
    words = {"tokenizer": word_tokenizer(["yes no maybe"]), "labels": ["yes", "no", "maybe"]} if "-lm" in name else {}
    module = tiny_module(name if name.islower() else f"{name}ForSequenceClassification")
    model = load(module, **({"labels": LABELS} | words))
    assert sweep_module.is_fast(model, [])
    args = (model, make_pairs(7), GROUPED, INTO, "each")
    inside = [Scale(Head(1, 0), 0.5), Ablate([MLP(0), Head(2, 2)], 0)]
    result = path_effects(*args, route=route, interventions=inside)
    assert result.effects.abs().max() > 1e-3
    # Norms round to float32.
    assert_same(result, general(monkeypatch, *args, route=route, interventions=inside), atol=1e-7)


def test_other_interventions_are_served_by_the_general_engine(tiny_bert) -> None:
    steer = Steer(Site(1, "resid_pre"), torch.linspace(-1, 1, tiny_bert.d_model, dtype=torch.float64))
    plain, steered = (
        path_effects(tiny_bert, make_pairs(5), SENDERS, RECEIVERS, interventions=i) for i in ([], [steer])
    )
    assert not torch.allclose(plain.effects, steered.effects)


@pytest.mark.parametrize("layer", [1, 2])
def test_passes_that_start_at_an_edited_stream_do_not_edit_it_again(any_model, layer) -> None:
    direction = torch.linspace(-1, 1, any_model.d_model, dtype=torch.float64)
    senders = [Head(0, 1), Head(layer, 0), MLP(layer)]
    before, after = (
        path_effects(any_model, make_pairs(5), senders, [OUTPUT], interventions=[Steer(site, direction)])
        for site in (Site(layer, "resid_pre"), Site(layer - 1, "resid_post"))
    )
    assert before.effects.abs().max() > 1e-4
    assert_same(before, after)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("rows", [1, 17])
def test_float32_equals_the_twin(route, rows) -> None:
    model = load(tiny_module("bert", dtype=torch.float32), labels=LABELS)
    pairs = make_pairs(rows, seed=rows)
    result = path_effects(model, pairs, SENDERS, RECEIVERS, "each", route=route)
    for sender, receiver in itertools.product(SENDERS, RECEIVERS):
        for through in "qkv" if isinstance(receiver, Head) else ["in"]:
            expected, _ = twin_effect(model.module, pairs, [sender], [receiver], through, route)
            torch.testing.assert_close(
                result.per_example(sender, receiver, through).float(), expected, atol=1e-5, rtol=1e-5
            )


@pytest.mark.parametrize("route", ROUTES)
def test_corrupt_that_is_clean_gives_exactly_nothing(any_model, route) -> None:
    pairs = make_pairs(5)
    same = ContrastPairs(pairs.clean, replace(pairs.clean, ids=None), pairs.gold, groups=GROUPS)
    result = path_effects(any_model, same, [*SENDERS, tuple(SENDERS)], [*RECEIVERS, *INTO], "each", route=route)
    for values in (result.effects, result.node, result.total, result.extent):
        assert bool((values[~values.isnan()] == 0).all())
    one = replace(pairs.corrupt, input_ids=pairs.corrupt.input_ids.clone())
    one.input_ids[2] = pairs.clean.input_ids[2]
    mixed = path_effects(any_model, replace(pairs, corrupt=one), SENDERS, RECEIVERS, route=route)
    assert bool((mixed.effects[2] == 0).all())
    assert mixed.effects[[0, 1, 3, 4]].abs().max() > 1e-3


def test_all_direct_paths_into_the_output_at_once_give_the_corrupt_run(any_model) -> None:
    senders = [EMBED, *any_model.components]
    result = path_effects(any_model, make_pairs(5), senders, OUTPUT, joint=True)
    assert result.total.abs().max() > 1e-2
    torch.testing.assert_close(result.effects[:, 0], result.total, atol=1e-10, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_order_of_pairs_does_not_matter_to_the_last_bit(dtype) -> None:
    model, pairs = load(tiny_module("bert", dtype=dtype), labels=LABELS), make_pairs(9)
    order = [4, 0, 8, 2, 7, 1, 6, 3, 5]
    for method in ("exact", "attribution"):
        result = path_effects(model, pairs, SENDERS, RECEIVERS, "each", method=method)
        moved = path_effects(model, pairs.rows(order), SENDERS, RECEIVERS, "each", method=method)
        assert torch.equal(moved.effects, result.effects[order])


def test_batch_and_memory_bounds_change_nothing(tiny_bert) -> None:
    pairs = make_pairs(9)
    result = path_effects(tiny_bert, pairs, SENDERS, [*RECEIVERS, *INTO], "each")
    for options in ({"batch_size": 1}, {"batch_size": 2, "memory_mib": 1}, {"memory_mib": 1}):
        assert_same(path_effects(tiny_bert, pairs, SENDERS, [*RECEIVERS, *INTO], "each", **options), result, 1e-12)


def test_a_memory_bound_that_is_too_small_says_what_is_enough() -> None:
    model = load(tiny_module("bert", dtype=torch.float64), labels=LABELS)
    clean = tiny_batch(150, length=30, seed=1)
    full = replace(clean, attention_mask=torch.ones_like(clean.attention_mask), input_ids=clean.input_ids.clamp(min=5))
    pairs = ContrastPairs(full, replace(full, input_ids=full.input_ids.flip(0)), [0] * 150, groups=GROUPS)
    with pytest.raises(HCError, match=r"Set memory_mib=(\d+)") as error:
        path_effects(model, pairs, "L0H1", "L2H1", memory_mib=1, batch_size=150)
    enough = int(str(error.value).split("Set memory_mib=")[1].split()[0])
    path_effects(model, pairs, "L0H1", "L2H1", memory_mib=enough, batch_size=150)


def test_a_metric_of_the_user_sees_one_run_of_the_clean_rows_at_a_time(tiny_bert) -> None:
    pairs = make_pairs(5)
    sizes = set()

    def mine(logits, rows):
        sizes.add((len(logits), len(rows)))
        return logit_diff(logits, rows)

    result = path_effects(tiny_bert, pairs, SENDERS, RECEIVERS, metric=mine)
    expected = path_effects(tiny_bert, pairs, SENDERS, RECEIVERS)
    torch.testing.assert_close(result.effects, expected.effects, atol=1e-12, rtol=0)
    assert all(left == right <= 5 for left, right in sizes)


def test_groups_of_equal_length_hold_every_pair_once_without_padding(tiny_bert) -> None:
    pairs = make_pairs(17, seed=3)
    parts = equal_lengths(encode_pairs(tiny_bert, pairs).batches, 4)
    assert sorted(i for part in parts for i in part.index.tolist()) == list(range(17))
    for part in parts:
        assert len(part.clean) <= 4
        assert bool(part.clean.attention_mask.all())
        for row, place in enumerate(part.index.tolist()):
            length = int(pairs.clean.attention_mask[place].sum())
            assert torch.equal(part.clean.input_ids[row], pairs.clean.input_ids[place, :length])
            assert torch.equal(part.corrupt.input_ids[row], pairs.corrupt.input_ids[place, :length])
            assert int(part.clean.labels[row]) == pairs.gold[place]
            assert part.clean.ids[row] == pairs.ids[place]


@pytest.mark.filterwarnings("ignore:path_effects was asked:hc_interp.errors.HCWarning")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_as_near_as_the_general_engine(monkeypatch, dtype) -> None:
    args = make_pairs(5), SENDERS, RECEIVERS, "each"
    model, wide = (load(tiny_module("bert", dtype=kind), labels=LABELS) for kind in (dtype, torch.float64))
    exact = path_effects(wide, *args).effects
    errors = [
        float((result.effects - exact).abs().max())
        for result in (path_effects(model, *args), general(monkeypatch, model, *args))
    ]
    assert errors[0] < 2 * errors[1]
    assert bool(path_effects(model, *args, method="attribution").effects.isfinite().all())
