"""Evidence by contrast: its p is over sources, a model must tell both sides apart, heads must do more than answer."""

from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from built_reading import CLASSES, CORE, DECOYS, GROUPS, READER, built_model, examples
from built_reading import pairs as order_pairs

from hc_interp import testbeds
from hc_interp.components import Head
from hc_interp.data.contrast import ContrastPairs, split_of
from hc_interp.data.task import Task
from hc_interp.heads.generalizing import GeneralizingHeads, generalizing_heads
from hc_interp.models.load import load


def found_on(given: ContrastPairs, bias: float = 0.0) -> GeneralizingHeads:
    """On the built model, with `bias` added to the logit of entailment."""
    model = built_model("direct")
    module = deepcopy(model.module)
    with torch.no_grad():
        module.classifier.bias[0] += bias
    moved = load(module, tokenizer=model.tokenizer, labels=model.labels)
    return generalizing_heads(moved, Task("built", pairs={("built", "order"): given}), core=CORE)


def test_p_is_over_sources() -> None:
    given = order_pairs(60, split=None)
    names = tuple(f"premise {i % 8}" for i in range(60))
    sides = {name: replace(getattr(given, name), source=names) for name in ("clean", "corrupt")}
    found = found_on(replace(given, **sides))
    n = sum(split_of(name) == "select" for name in set(names))
    assert 1 < n < 8
    assert found.table.set_index("head").loc[str(READER), "p"] == pytest.approx(2 / 2**n)


@pytest.mark.parametrize("bias", [60.0, -60.0])
def test_an_answer_that_is_always_the_same_is_at_floor(bias) -> None:
    """It is right on one side of every pair, though the logits move as before."""
    found = found_on(order_pairs(60, split=None), bias)
    assert (found.table["share"] > 0.05).any()
    assert found.heads == found.relay == ()
    assert "both sides of 0% of the order pairs" in found.notes[0]
    assert READER in found_on(order_pairs(60, split=None)).heads


def overlap_pairs(n: int = 40, word: str = "b", label: int = 0, prefix: str = "o") -> ContrastPairs:
    """The sign in B alone is turned, which the decoys carry to L2H1, and the answer with it."""
    clean = examples(n, word, label, prefix=prefix)
    other = {"b": "o", "o": "b"}[word]
    texts = tuple(text.replace(word, other) for text in clean.first)
    return ContrastPairs(clean, replace(clean, first=texts, label=(1 - label,) * n), clean.label or (), kind="overlap")


def screened(pairs: dict[tuple[str, str], ContrastPairs], label: int | None = 0, **options: Any) -> GeneralizingHeads:
    named = {("built", "order"): order_pairs(60, split=None)} | pairs
    task = Task("built", pairs=named, heuristic_label=label, groups=GROUPS, classes=CLASSES)
    return generalizing_heads(built_model("direct"), task, core=CORE, **options)


def test_heads_that_carry_the_answer_alone_are_refused() -> None:
    """All pairs turn the answer; those of overlap by B alone, which the reader does not see."""
    found = screened({("swapped", "overlap"): overlap_pairs()})
    assert (found.heads, found.relay, found.unscreened) == ((READER,), (), False)
    table = found.table.set_index("head")
    assert table.index[table["carries_answer"]].tolist() == [*map(str, DECOYS), "L2H1"]
    assert table.loc[str(READER), "share_overlap"] == pytest.approx(0, abs=1e-6)
    assert table.loc["L2H1", "share_overlap"] == pytest.approx(1, abs=0.05)
    assert found.notes[0].startswith("3 heads have a share of the effect of order pairs that is not shown to be larger")
    sources = {source for source in overlap_pairs().sources if split_of(source) == "select"}
    assert sources <= set(found.select_sources)


STILL = replace(overlap_pairs(), corrupt=replace(overlap_pairs().corrupt, label=(0,) * 40))
UNLABELLED = replace(overlap_pairs(), corrupt=replace(overlap_pairs().corrupt, label=None))


@pytest.mark.parametrize(
    ("pairs", "label", "options", "why"),
    [
        ({}, 0, {}, "for want of overlap pairs that take the heuristic's label away"),
        ({("swapped", "overlap"): overlap_pairs()}, None, {}, "because task 'built' has no heuristic_label"),
        ({("swapped", "overlap"): overlap_pairs(word="o", label=1)}, 0, {}, "for want of overlap pairs"),
        ({("swapped", "overlap"): STILL}, 0, {}, "for want of overlap pairs"),
        ({("swapped", "overlap"): UNLABELLED}, 0, {}, "for want of overlap pairs"),
        ({("swapped", "overlap"): replace(overlap_pairs(), groups=((0,), (1,), (2,)))}, 0, {}, "for want of overlap"),
        ({("swapped", "overlap"): overlap_pairs()}, 0, {"kinds": ("order", "overlap")}, "because overlap pairs are"),
    ],
)
def test_without_such_pairs_the_heads_are_unscreened(pairs, label, options, why) -> None:
    found = screened(pairs, label, **options)
    assert {READER, Head(2, 1), *DECOYS} == {*found.heads, *found.relay}
    assert found.unscreened
    assert "; unscreened)" in repr(found)
    assert why in found.notes[0]
    assert (found.table["more_than_overlap"] == "not checked").all()


def test_overlap_pairs_are_those_of_the_cases_heuristic() -> None:
    """A case of another heuristic, or one where the heuristic is wrong, does not count beside one of the same."""
    one, other = (f"lexical_overlap_le_{name}" for name in ("passive", "conjunction"))
    third, wrong = "subsequence_se_conjunction", "lexical_overlap_ln_passive"
    cases = {case: examples(4, label=int(case == wrong), prefix=case) for case in (one, other, third, wrong)}
    pairs = {(case, "overlap"): overlap_pairs(20, prefix=case) for case in (one, third, wrong)}
    pairs |= {(case, "order"): order_pairs(40, split=None) for case in (other, third)}
    task = Task("named", cases=cases, groups=GROUPS, classes=CLASSES, pairs=pairs)

    def used(cases: list[str] | None, **changes: Any) -> set[str]:
        given = replace(task, **changes)
        found = generalizing_heads(built_model("direct"), given, core=CORE, cases=cases)
        return {source.rstrip("0123456789") for source in found.select_sources} - {"e"}

    assert used(None) == {one, third}
    assert used([other]) == {one}
    assert used([third]) == {third}
    assert used([other], pairs={key: part for key, part in pairs.items() if key[0] != one}) == {third}


def test_pairs_without_labels_on_the_corrupt_side_are_used_as_they_are() -> None:
    given = order_pairs(60, split=None)
    bare = replace(given, corrupt=replace(given.corrupt, label=None))
    found = screened({("built", "order"): bare, ("swapped", "overlap"): overlap_pairs()})
    assert found.heads == (READER,)
    assert found.table["share_reversed"].isna().all()
    n = sum(split_of(source) == "select" for source in given.sources)
    assert found.notes[-1] == f"{n} pairs (built) cannot be reversed, as their corrupt sides have no labels"


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("kind", [*(f"core, {through}" for through in testbeds.THROUGH), "competing_subnetworks",
                                  "mixed", "exchangeable", "null"])  # fmt: skip
def test_the_heads_that_were_built_in_are_found(kind, noise) -> None:
    """In exchangeable worlds all heads of layer 0 leak into the checkers: they may be relays beside the built ones."""
    make = partial(testbeds.heuristic_core, through=kind[6:]) if "," in kind else getattr(testbeds, kind)
    world = make(3, noise=noise)
    found = generalizing_heads(world.model, replace(world.task, heuristic_label=0), core=world.core)
    assert not found.unscreened
    relays = {head for head in found.relay if kind != "exchangeable"}
    assert {*found.heads, *relays} == set(world.generalizing)
    assert found.heads or kind == "null"
