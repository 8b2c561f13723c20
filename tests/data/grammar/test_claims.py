"""Claims about a premise's own words: proved labels, both voices, and nothing of the held-out cases."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hc_interp.data.grammar import CASES, case_examples, claim_examples
from hc_interp.data.grammar.claims import PATTERNS, _claims, _forms_of_case, _trained_claims, form
from hc_interp.data.grammar.meaning import label, parse_claim, parse_premise, tokens_of
from hc_interp.errors import DataError

PREPOSITION = ("lexical_overlap_ln_preposition", "lexical_overlap_le_around_prepositional_phrase")
BE = ("was", "were")


def in_the_active(hypothesis: tuple[str, ...]) -> tuple[str, ...]:
    """The same claim without a passive: "the Y was VERB by the X" -> "the X VERB the Y"."""
    if len(hypothesis) == 7 and hypothesis[2] in BE and hypothesis[4] == "by":
        _, patient, _, verb, _, _, agent = hypothesis
        return ("the", agent, verb, "the", patient)
    return hypothesis


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10**6), st.sampled_from([0, 1]))
def test_labels_are_those_of_the_rules_and_words_those_of_the_premise(seed, wanted) -> None:
    made = claim_examples(40, seed, label=wanted)
    voices = set()
    for first, second in zip(made.first, made.second or (), strict=True):
        premise, hypothesis = tokens_of(first), tokens_of(second)
        assert premise is not None
        assert hypothesis is not None
        active = in_the_active(hypothesis)
        voices.add(active == hypothesis)
        assert label(parse_premise(premise), parse_claim(active)) == wanted
        assert set(active) <= {*premise, "the"}
    assert voices == {True, False}
    assert set(made.label) == {wanted}
    assert made.groups == ((0,), (1, 2))


def forms_of(examples) -> set[tuple[str, str]]:
    """The forms of examples, by the templates that they parse to."""
    found = set()
    for first, second in zip(examples.first, examples.second, strict=True):
        premise, claim = parse_premise(tokens_of(first)), parse_claim(tokens_of(second))
        if claim is None:  # a passive
            continue
        assert premise is not None
        slots = {word: slot for slot, word in premise.filled.items()}
        hypothesis = " ".join(slots.get(word, word) for word in tokens_of(second))
        found.add(form(premise.construction.pattern, hypothesis))
    return found


def test_no_form_of_a_held_out_case_is_made_and_all_are_without_holding_out() -> None:
    held = {case: forms_of(case_examples(case, 150, 1)) for case in PREPOSITION}
    with_all = forms_of(claim_examples(6000, 3, label=0)) | forms_of(claim_examples(6000, 3, label=1))
    without = [forms_of(claim_examples(6000, 3, label=label, held_out=PREPOSITION)) for label in (0, 1)]
    for forms in held.values():
        assert forms <= with_all
        assert not forms & (without[0] | without[1])


def test_about_a_held_out_premise_active_claims_have_both_labels_or_are_left_out() -> None:
    """The premises occur all the same, with passives; other premises keep all their claims."""
    held_out = (*PREPOSITION, "constituent_cn_disjunction", "constituent_ce_conjunction")
    touched = {premise for case in held_out for premise, _ in forms_of(case_examples(case, 300, 1))}
    labels: dict[tuple[str, bool], set[int]] = {}
    seen = set()
    for wanted in (0, 1):
        made = claim_examples(8000, 3, label=wanted, held_out=held_out)
        seen |= {form(parse_premise(tokens_of(first)).construction.pattern, "")[0] for first in made.first}
        for premise, hypothesis in forms_of(made):
            if premise in touched:
                labels.setdefault((premise, "verb" in hypothesis.split()[-1]), set()).add(wanted)
    assert {premise for premise in touched if re.search(r"verb\d the noun", premise)} <= seen
    assert all(found == {0, 1} for found in labels.values())
    held = frozenset(form for case in held_out for form in _forms_of_case(case))
    for pattern in PATTERNS:
        if form(pattern, "")[0] not in touched:
            assert _trained_claims(pattern, held) == _claims(pattern)


def test_more_examples_only_add_and_seeds_differ() -> None:
    few, more = claim_examples(20, 5, label=1), claim_examples(50, 5, label=1)
    assert more.first[:20] == few.first
    assert more.second[:20] == few.second
    assert claim_examples(20, 6, label=1).first != few.first
    assert len({*zip(more.first, more.second, strict=True)}) == 50
    assert set(claim_examples(20, 5, label=0).first) != set(few.first)


def test_all_constructions_occur() -> None:
    seen = set()
    for wanted in (0, 1):
        for first in claim_examples(6000, 0, label=wanted).first:
            seen.add(parse_premise(tokens_of(first)).construction.pattern)
    assert seen == set(PATTERNS)


def test_wrong_input_is_refused() -> None:
    for n, wanted in ((0, 0), (5, 2), (5, None)):
        with pytest.raises(DataError, match="expected n >= 1, and 0 or 1"):
            claim_examples(n, 0, label=wanted)
    with pytest.raises(DataError, match="is not a case of the grammar"):
        claim_examples(5, 0, label=0, held_out=["nothing"])
    assert claim_examples(3, 0, label=0, held_out=[CASES[0].replace("/", "-")])
