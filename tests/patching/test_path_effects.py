"""What `path_effects` takes, and what it refuses."""

import inspect
from dataclasses import replace

import pytest
import torch
from tiny import tiny_batch

from hc_interp.components import MLP, OUTPUT, Head
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples
from hc_interp.errors import ComponentError, DataError, HCError, InterventionError, LabelError
from hc_interp.heads.core import heuristic_core
from hc_interp.interventions.nodes import Ablate, Scale
from hc_interp.interventions.path_steps import ROUTES
from hc_interp.interventions.paths import PatchPath
from hc_interp.patching.effects import PathEffects
from hc_interp.patching.path_effects import path_effects
from hc_interp.subnetwork import Subnetwork

CLEAN = tiny_batch(5)
CORRUPT = replace(CLEAN, input_ids=torch.where(CLEAN.attention_mask > 0, CLEAN.input_ids * 7 % 50 + 5, CLEAN.input_ids))
PAIRS = ContrastPairs(CLEAN, CORRUPT, [0, 1, 0, 1, 0], groups=((0,), (1, 2)))


def core_of(model, *names):
    return heuristic_core([Subnetwork(frozenset(names), model.components)])


def test_results_stand_for_their_heads_and_subnetworks_for_all_they_keep(tiny_bert) -> None:
    core, gen = core_of(tiny_bert, "L0H1", "L0H2", "L0MLP"), core_of(tiny_bert, "L2H1")
    result = path_effects(tiny_bert, PAIRS, core, gen)
    named = path_effects(tiny_bert, PAIRS, ["L0H1", "L0H2"], ["L2H1"])
    assert result.rows == named.rows == (("L0H1", "L2H1", "qkv"), ("L0H2", "L2H1", "qkv"))
    assert torch.equal(result.effects, named.effects)
    kept = Subnetwork(frozenset(["L0H1", "L0MLP"]), tiny_bert.components)
    assert [row[0] for row in path_effects(tiny_bert, PAIRS, kept, "L2H1").rows] == ["L0H1", "L0MLP"]
    assert path_effects(tiny_bert, PAIRS, [core], "L2H1").rows == (("L0H1+L0H2", "L2H1", "qkv"),)


def test_kinds_of_components_are_each_of_them(tiny_bert) -> None:
    heads = [item for item in tiny_bert.components if isinstance(item, Head)]
    mlps = [item for item in tiny_bert.components if isinstance(item, MLP)]
    result = path_effects(tiny_bert, PAIRS, "heads", ["L1H1", "mlps"])
    assert result.rows == path_effects(tiny_bert, PAIRS, heads, [Head(1, 1), *mlps]).rows
    assert path_effects(tiny_bert, PAIRS, "L0H1, L0MLP", "output").rows == (
        ("L0H1", "output", "in"),
        ("L0MLP", "output", "in"),
    )


@pytest.mark.parametrize("through", ["q", "qk", "vk", ("k", "q"), ["v", "v"]])
def test_inputs_as_text_or_tuple(tiny_bert, through) -> None:
    names = tuple(name for name in "qkv" if name in through)
    result = path_effects(tiny_bert, PAIRS, "L0H1", ["L2H1", "L2MLP"], through=through)
    expected = path_effects(tiny_bert, PAIRS, "L0H1", ["L2H1", "L2MLP"], through=names)
    assert [row[2] for row in result.rows] == ["".join(names), "in"]
    assert torch.equal(result.effects, expected.effects)
    assert torch.equal(result.per_example("L0H1", "L2H1", through), result.effects[:, 0])


@pytest.mark.parametrize("through", ["", "qx", (), None, 3, ("each",)])
def test_inputs_that_are_none(tiny_bert, through) -> None:
    with pytest.raises(InterventionError, match="give some of q, k, v"):
        path_effects(tiny_bert, PAIRS, "L0H1", "L2H1", through=through)


@pytest.mark.parametrize("joint", [False, True])
def test_no_senders_or_receivers(tiny_bert, joint) -> None:
    with pytest.raises(InterventionError, match="given no senders"):
        path_effects(tiny_bert, PAIRS, [], "L2H1", joint=joint)
    with pytest.raises(InterventionError, match="given no receivers"):
        path_effects(tiny_bert, PAIRS, "L0H1", core_of(tiny_bert), joint=joint)


@pytest.mark.parametrize("pairs", [Examples(["a b"], label=[0]), PAIRS.clean, {"order": PAIRS}, None])
def test_what_are_no_pairs(tiny_bert, pairs) -> None:
    with pytest.raises(DataError, match="expected ContrastPairs"):
        path_effects(tiny_bert, pairs, "L0H1", "L2H1")


def test_ends_that_the_model_lacks(tiny_bert) -> None:
    with pytest.raises(ComponentError, match="layers 0 to 2"):
        path_effects(tiny_bert, PAIRS, "L0H1", "L7H1")


@pytest.mark.parametrize("joint", [False, True])
def test_a_receiver_that_a_path_holds_already(tiny_bert, joint) -> None:
    path = PatchPath("L0H0", "L2H1", source=PAIRS)
    with pytest.raises(InterventionError, match="share the receiver L2H1"):
        path_effects(tiny_bert, PAIRS, "L0H1", ["L2H0", "L2H1"], interventions=[path], joint=joint)
    assert path_effects(tiny_bert, PAIRS, "L0H1", "L2H0", interventions=[path]).effects.abs().max() > 1e-6


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("removed", ["L0H1", "L2H1"])
def test_removed_ends_carry_nothing(tiny_bert, removed, route) -> None:
    result = path_effects(tiny_bert, PAIRS, "L0H1", "L2H1", interventions=Ablate(removed, 0), route=route)
    assert bool((result.effects == 0).all())


def test_one_intervention_is_a_list_of_one_and_an_iterator_is_not_lost(tiny_bert) -> None:
    one = Scale(Head(1, 1), 2.0)
    expected = path_effects(tiny_bert, PAIRS, "L0H1", "L2H1", interventions=[one])
    assert not torch.equal(expected.effects, path_effects(tiny_bert, PAIRS, "L0H1", "L2H1").effects)
    for given in (one, iter([one])):
        assert torch.equal(
            path_effects(tiny_bert, PAIRS, "L0H1", "L2H1", interventions=given).effects, expected.effects
        )


def test_help_defines_what_it_speaks_of() -> None:
    for item in (path_effects, PatchPath):
        text = inspect.getdoc(item)
        assert all(word in text for word in ("1. ", "2. ", "3. ", *ROUTES)), item
    text = inspect.getdoc(PathEffects.to_frame)
    assert all(word in text for word in ("`share`", "`node_share`", "`response`", "negative"))


def test_output_cannot_be_joined(tiny_bert) -> None:
    with pytest.raises(InterventionError, match="cannot be joined"):
        path_effects(tiny_bert, PAIRS, [Head(0, 1)], [Head(2, 1), OUTPUT], joint=True)


def test_a_metric_must_give_one_number_for_each_pair(tiny_bert) -> None:
    with pytest.raises(HCError, match="one number for each pair"):
        path_effects(tiny_bert, PAIRS, [Head(0, 1)], [Head(2, 1)], metric=lambda logits, rows: logits.sum())


def test_a_label_that_the_model_lacks(tiny_bert) -> None:
    foreign = ContrastPairs(CLEAN, CORRUPT, [0, 7, 1, 0, 1])
    with pytest.raises(LabelError, match="label 7 in row 1"):
        path_effects(tiny_bert, foreign, [Head(0, 1)], [Head(2, 1)])


def test_the_one_input_of_an_mlp_may_be_named(tiny_bert) -> None:
    named = path_effects(tiny_bert, PAIRS, [Head(0, 1)], [MLP(1), OUTPUT], through=("in",))
    assert torch.equal(named.effects, path_effects(tiny_bert, PAIRS, [Head(0, 1)], [MLP(1), OUTPUT]).effects)
    with pytest.raises(InterventionError, match="give some of q, k, v"):
        path_effects(tiny_bert, PAIRS, [Head(0, 1)], [Head(2, 1)], through=("in",))


@pytest.mark.parametrize("method", ["exact", "attribution", "auto"])
@pytest.mark.parametrize("side", ["clean", "corrupt"])
def test_pairs_of_another_models_tokens_are_refused(tiny_bert, method, side) -> None:
    ids = torch.where(torch.arange(CLEAN.input_ids.shape[1]) == 2, 999, CLEAN.input_ids)
    wrong = replace(CLEAN, input_ids=ids)
    sides = (wrong, CORRUPT) if side == "clean" else (CLEAN, wrong)
    with pytest.raises(DataError, match=r"holds token 999; .* knows tokens 0 to 59"):
        path_effects(tiny_bert, ContrastPairs(*sides, PAIRS.gold, groups=PAIRS.groups), "L0H0", "L1H1", method=method)
