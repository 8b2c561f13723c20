"""Contrast pairs: hand-written expectations for every case and kind, and what holds of all pairs."""

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hc_interp.data.examples import Examples
from hc_interp.data.grammar import CASES, case_examples
from hc_interp.data.grammar.shared_words import units_of
from hc_interp.data.overlap import word_overlap
from hc_interp.data.pair_rules import NO_ORDER_PAIRS, make_pairs, pair_kinds
from hc_interp.errors import DataError

LEX, SUB, CON = "lexical_overlap_", "subsequence_", "constituent_"
GROUPS = ((0,), (1, 2))


def examples(*rows: tuple[str, str, int]) -> Examples:
    first, second, label = zip(*rows, strict=True)
    return Examples(first, second, label, groups=GROUPS)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


# A case; then, each time, a gold label, a premise and a hypothesis, and what they become.
ORDER_TABLE = """
lexical_overlap_ln_subject/object_swap
  1 The nurse saw the kings . | The kings saw the nurse .
    The nurse saw the kings . | The nurse saw the kings .
lexical_overlap_ln_passive
  1 The nurse was helped by the kings . | The nurse helped the kings .
    The nurse was helped by the kings . | The kings helped the nurse .
lexical_overlap_le_passive
  0 The nurse was helped by the kings . | The kings helped the nurse .
    The nurse was helped by the kings . | The nurse helped the kings .
lexical_overlap_ln_conjunction
  1 The nurse and the king saw the poet . | The nurse saw the king .
    The nurse and the poet saw the king . | The nurse saw the king .
  1 The nurse and the king saw the poet . | The king saw the nurse .
    The poet and the king saw the nurse . | The king saw the nurse .
  1 The nurse saw the king and the poet . | The king saw the poet .
    The king saw the nurse and the poet . | The king saw the poet .
  1 The nurse saw the king and the poet . | The poet saw the king .
    The poet saw the king and the nurse . | The poet saw the king .
lexical_overlap_le_conjunction
  0 The nurse and the king saw the poet . | The nurse saw the poet .
    The nurse and the king saw the poet . | The poet saw the nurse .
lexical_overlap_ln_preposition
  1 The nurse near the king saw the poet . | The king saw the nurse .
    The king near the poet saw the nurse . | The king saw the nurse .
  1 The nurse near the king saw the poet . | The poet saw the nurse .
    The nurse near the king saw the poet . | The nurse saw the poet .
  1 The nurse saw the king by the poet . | The king saw the poet .
    The king saw the poet by the nurse . | The king saw the poet .
lexical_overlap_le_around_prepositional_phrase
  0 The nurse near the king saw the poet . | The nurse saw the poet .
    The nurse near the king saw the poet . | The poet saw the nurse .
lexical_overlap_ln_relative_clause
  1 The nurse who the king saw hired the poet . | The king hired the nurse .
    The nurse who the king hired saw the poet . | The king hired the nurse .
  1 The nurse that saw the king hired the poet . | The poet hired the nurse .
    The nurse that saw the king hired the poet . | The nurse hired the poet .
  1 The nurse saw the king who hired the poet . | The king saw the poet .
    The nurse hired the king who saw the poet . | The king saw the poet .
  1 The nurse saw the king that the poet hired . | The poet saw the nurse .
    The poet saw the nurse that the king hired . | The poet saw the nurse .
lexical_overlap_le_relative_clause
  0 The nurse who the king saw hired the poet . | The king saw the nurse .
    The nurse who the king saw hired the poet . | The nurse saw the king .
lexical_overlap_le_around_relative_clause
  0 The nurse who slept hired the poet . | The nurse hired the poet .
    The nurse who slept hired the poet . | The poet hired the nurse .
subsequence_sn_NP/Z
  1 While the nurse hid the king helped the poets . | The nurse hid the king .
    While the poets helped the nurse hid the king . | The nurse hid the king .
subsequence_sn_PP_on_subject
  1 The nurse near the kings slept . | The kings slept .
    The kings near the nurse slept . | The kings slept .
subsequence_sn_relative_clause_on_subject
  1 The nurse who saw the king slept . | The king slept .
    The king who saw the nurse slept . | The king slept .
subsequence_sn_past_participle
  1 The nurse paid in the hall saw the king . | The nurse paid in the hall .
    The nurse the king saw paid in the hall . | The nurse paid in the hall .
  1 The nurse saw the king paid in the hall . | The king paid in the hall .
    none: can be seeing that he paid
  1 The nurse hired the king paid in the hall . | The king paid in the hall .
    The king the nurse hired paid in the hall . | The king paid in the hall .
subsequence_se_PP_on_obj
  0 The nurse saw the king near the poet . | The nurse saw the king .
    The nurse saw the king near the poet . | The king saw the nurse .
subsequence_se_adjective
  0 Young nurses saw the kings . | Nurses saw the kings .
    Young nurses saw the kings . | Kings saw the nurses .
  0 Young nurses saw the king . | Nurses saw the king .
    none: "King saw the nurses" is no sentence
subsequence_se_conjunction
  0 The nurse and the king saw the poet . | The king saw the poet .
    The nurse and the king saw the poet . | The poet saw the king .
subsequence_se_relative_clause_on_obj
  0 The nurse saw the king who slept . | The nurse saw the king .
    The nurse saw the king who slept . | The king saw the nurse .
subsequence_se_understood_object
  0 The nurse paid the king . | The nurse paid .
    The king paid the nurse . | The nurse paid .
  0 The nurse ate the soup . | The nurse ate .
    none: soup eats nobody
constituent_ce_embedded_under_since
  0 Since the nurse ran , the king slept . | The nurse ran .
    Since the king ran , the nurse slept . | The nurse ran .
constituent_ce_after_since_clause
  0 Though the nurse ran , the king saw the poet . | The king saw the poet .
    Though the nurse ran , the king saw the poet . | The poet saw the king .
constituent_ce_embedded_under_verb
  0 The nurse knew that the king slept . | The king slept .
    The king knew that the nurse slept . | The king slept .
constituent_ce_conjunction
  0 The nurse ran , and the king slept . | The king slept .
    The king ran , and the nurse slept . | The king slept .
constituent_ce_adverb
  0 Of course the nurse saw the king . | The nurse saw the king .
    Of course the nurse saw the king . | The king saw the nurse .
"""


def order_rows() -> list[tuple[str, ...]]:
    rows, case = [], ""
    lines = ORDER_TABLE.strip("\n").split("\n")
    while lines:
        line = lines.pop(0)
        if not line.startswith(" "):
            case = line
        else:
            rows.append((case, line.strip(), lines.pop(0).strip()))
    return rows


@pytest.mark.parametrize(("case", "before", "after"), order_rows())
def test_order_pairs_by_hand(case, before, after):
    gold, text = int(before[0]), before[2:]
    clean, corrupt = make_pairs(case, examples((*text.split(" | "), gold)), "order")
    if after.startswith("none"):
        assert len(clean) == len(corrupt) == 0
        return
    assert " | ".join(clean.first + clean.second) == text
    assert " | ".join(corrupt.first + corrupt.second) == after
    assert corrupt.label == (1 - gold,)


def test_every_case_with_order_pairs_is_written_out_by_hand():
    assert {case for case, _, _ in order_rows()} == set(CASES) - set(NO_ORDER_PAIRS)


# case: premise, hypothesis
OVERLAP = {
    LEX + "ln_subject/object_swap": ("The nurse saw the king .", "The king saw the nurse ."),
    LEX + "ln_passive": ("The nurse was helped by the king .", "The nurse helped the king ."),
    LEX + "le_passive": ("The nurse was helped by the king .", "The king helped the nurse ."),
    LEX + "ln_conjunction": ("The nurse and the king saw the poet .", "The nurse saw the king ."),
    LEX + "le_conjunction": ("The nurse and the king saw the poet .", "The nurse saw the poet ."),
    LEX + "ln_preposition": ("The nurse near the king saw the poet .", "The king saw the nurse ."),
    LEX + "le_around_prepositional_phrase": ("The nurse near the king saw the poet .", "The nurse saw the poet ."),
    LEX + "ln_relative_clause": ("The nurse who the king saw hired the poet .", "The king hired the nurse ."),
    LEX + "le_relative_clause": ("The nurse who the king saw hired the poet .", "The king saw the nurse ."),
    LEX + "le_around_relative_clause": ("The nurse who slept hired the poet .", "The nurse hired the poet ."),
    SUB + "sn_NP/S": ("The nurse heard the king slept .", "The nurse heard the king ."),
    SUB + "sn_NP/Z": ("While the nurse hid the king slept .", "The nurse hid the king ."),
    SUB + "sn_PP_on_subject": ("The nurse near the king slept .", "The king slept ."),
    SUB + "sn_relative_clause_on_subject": ("The nurse who saw the king slept .", "The king slept ."),
    SUB + "sn_past_participle": ("The nurse paid in the hall slept .", "The nurse paid in the hall ."),
    SUB + "se_PP_on_obj": ("The nurse saw the king near the poet .", "The nurse saw the king ."),
    SUB + "se_adjective": ("Young nurses saw the king .", "Nurses saw the king ."),
    SUB + "se_conjunction": ("The nurse and the king slept .", "The king slept ."),
    SUB + "se_relative_clause_on_obj": ("The nurse saw the king who slept .", "The nurse saw the king ."),
    SUB + "se_understood_object": ("The nurse ate the soup .", "The nurse ate ."),
    CON + "cn_embedded_under_if": ("Unless the nurse ran , the king slept .", "The nurse ran ."),
    CON + "cn_after_if_clause": ("Unless the nurse ran , the king slept .", "The king slept ."),
    CON + "cn_embedded_under_verb": ("The nurse said that the king slept .", "The king slept ."),
    CON + "cn_disjunction": ("The nurse ran , or the king slept .", "The king slept ."),
    CON + "cn_adverb": ("Maybe the nurse saw the king .", "The nurse saw the king ."),
    CON + "ce_embedded_under_since": ("Since the nurse ran , the king slept .", "The nurse ran ."),
    CON + "ce_after_since_clause": ("Though the nurse ran , the king slept .", "The king slept ."),
    CON + "ce_embedded_under_verb": ("The nurse knew that the king slept .", "The king slept ."),
    CON + "ce_conjunction": ("The nurse ran , and the king slept .", "The king slept ."),
    CON + "ce_adverb": ("Of course the nurse saw the king .", "The nurse saw the king ."),
}


@pytest.mark.parametrize("case", CASES)
def test_overlap_pairs_by_hand(case):
    premise, hypothesis = OVERLAP[case]
    gold = int("n_" in case.removeprefix(LEX).removeprefix(SUB).removeprefix(CON)[:3])
    clean, corrupt = make_pairs(case, examples((premise, hypothesis, gold)), "overlap")
    assert (clean.first, clean.second) == ((premise,), (hypothesis,))
    assert corrupt.first == (premise,)
    assert corrupt.label == (1,)
    differing = [(a, b) for a, b in zip(words(hypothesis), words(corrupt.second[0]), strict=True) if a != b]
    assert len(differing) == 1
    old, new = differing[0]
    assert new not in words(premise)
    assert old.endswith("s") == new.endswith("s")


def test_overlap_replacements_are_never_related_to_a_word_of_the_premise():
    """An author or an artist may also be an actor, which no rule excludes: only the tourist is a replacement."""
    rows = [
        (f"The {noun} slept , or the king ran .", f"The {noun} slept .", 1) for noun in ("author", "artist", "tourist")
    ]
    given_ = examples(("The actor saw the king .", "The actor saw the king .", 0), *rows)
    for seed in range(20):
        _, corrupt = make_pairs("lexical_overlap_le_passive", given_, "overlap", seed)
        assert corrupt.second[0] in {"The tourist saw the king .", "The actor saw the tourist ."}


@settings(max_examples=40, deadline=None)
@given(case=st.sampled_from(CASES), seed=st.integers(0, 50), pair_seed=st.integers(0, 50), kind=st.integers(0, 1))
def test_what_holds_of_all_pairs(case, seed, pair_seed, kind):
    kind = pair_kinds(case)[kind % len(pair_kinds(case))]
    made = case_examples(case, 25, seed)
    clean, corrupt = make_pairs(case, made, kind, pair_seed)
    assert len(clean) > 0
    assert (clean.id, clean.source) == (corrupt.id, corrupt.source)
    assert (clean.groups, clean.classes) == (corrupt.groups, corrupt.classes) == (made.groups, made.classes)
    assert len(set(clean.id)) == len(clean)
    place = {name: i for i, name in enumerate(made.id)}
    rows = made.rows([place[name] for name in clean.id])
    assert replace(clean, spans=None).fingerprint() == replace(rows, spans=None).fingerprint()
    assert {role: clean.spans[role] for role in rows.spans} == rows.spans  # beside these, what the pair changes
    sides = zip(clean.first, clean.second, corrupt.first, corrupt.second, strict=True)
    for row, (premise, hypothesis, premise2, hypothesis2) in enumerate(sides):
        assert (premise, hypothesis) != (premise2, hypothesis2)
        for text in (premise2, hypothesis2):
            assert text[0].isupper()
            assert text[1:] == text[1:].lower()
        if kind == "order":
            assert Counter(words(premise)) == Counter(words(premise2))
            assert Counter(words(hypothesis)) == Counter(words(hypothesis2))
            assert corrupt.label[row] == 1 - clean.label[row]
        else:
            assert premise == premise2
            assert word_overlap(premise2, hypothesis2) < word_overlap(premise, hypothesis)
            assert corrupt.label[row] == 1
    assert make_pairs(case, made, kind, pair_seed)[1].fingerprint() == corrupt.fingerprint()


def test_a_row_is_edited_alike_whatever_stands_beside_it():
    made = case_examples("constituent_ce_conjunction", 60, 0)
    _, all_of_them = make_pairs("constituent_ce_conjunction", made, "order")
    _, some = make_pairs("constituent_ce_conjunction", made.rows(range(0, 60, 3)), "order")
    texts = dict(zip(all_of_them.id, zip(all_of_them.first, all_of_them.second, strict=True), strict=True))
    assert all(
        texts[name] == pair for name, pair in zip(some.id, zip(some.first, some.second, strict=True), strict=True)
    )


def test_rows_without_proof_are_left_out():
    rows = examples(
        ("The nurse met the king .", "The king met the nurse .", 1),  # mutual
        ("The nurse saw the king .", "The king saw the nurse .", 0),  # a wrong label
        ("The nurse probably saw the king .", "The king saw the nurse .", 1),  # outside the fragment
        ("The nurse saw the king .", "The king saw the nurse .", 1),
    )
    clean, corrupt = make_pairs(LEX + "ln_subject/object_swap", rows, "order")
    assert clean.id == corrupt.id == ("3",)


def test_slash_and_dash_are_alike_in_case_names():
    assert pair_kinds("subsequence_sn_NP-S") == pair_kinds("subsequence_sn_NP/S") == ("overlap",)
    assert case_examples("subsequence_sn_NP-S", 3, 0).id == case_examples("subsequence_sn_NP/S", 3, 0).id


def test_errors_name_what_is_possible():
    made = case_examples(CASES[0], 3, 0)
    with pytest.raises(DataError, match="constituent_cn_adverb"):
        pair_kinds("constituent_adverb")
    with pytest.raises(DataError, match="'order', 'overlap'"):
        make_pairs(LEX + "le_passive", made, "swap")
    with pytest.raises(DataError, match="has no pairs of kind 'order'; it has 'overlap'"):
        make_pairs("subsequence_sn_NP/S", made, "order")
    with pytest.raises(DataError, match="two groups"):
        make_pairs(LEX + "le_passive", Examples(("a",), ("b",), (0,)), "order")
    with pytest.raises(DataError, match="premise, hypothesis and labels"):
        make_pairs(LEX + "le_passive", Examples(("a",), None, (0,), groups=GROUPS), "order")


# Share of the 1,000 validation rows of HANS that give an order pair and an overlap pair, in percent, rounded down.
COVERAGE = {
    "constituent_ce_adverb": (58, 100),
    "constituent_ce_after_since_clause": (83, 88),
    "constituent_ce_conjunction": (95, 100),
    "constituent_ce_embedded_under_since": (82, 87),
    "constituent_ce_embedded_under_verb": (93, 100),
    "constituent_cn_adverb": (100,),
    "constituent_cn_after_if_clause": (100,),
    "constituent_cn_disjunction": (100,),
    "constituent_cn_embedded_under_if": (99,),
    "constituent_cn_embedded_under_verb": (100,),
    "lexical_overlap_le_around_prepositional_phrase": (98, 100),
    "lexical_overlap_le_around_relative_clause": (95, 100),
    "lexical_overlap_le_conjunction": (99, 100),
    "lexical_overlap_le_passive": (85, 100),
    "lexical_overlap_le_relative_clause": (97, 98),
    "lexical_overlap_ln_conjunction": (87, 87),
    "lexical_overlap_ln_passive": (85, 85),
    "lexical_overlap_ln_preposition": (94, 94),
    "lexical_overlap_ln_relative_clause": (78, 78),
    "lexical_overlap_ln_subject/object_swap": (87, 87),
    "subsequence_se_PP_on_obj": (98, 100),
    "subsequence_se_adjective": (29, 100),
    "subsequence_se_conjunction": (77, 100),
    "subsequence_se_relative_clause_on_obj": (92, 99),
    "subsequence_se_understood_object": (15, 98),
    "subsequence_sn_NP/S": (99,),
    "subsequence_sn_NP/Z": (11, 99),
    "subsequence_sn_PP_on_subject": (87, 87),
    "subsequence_sn_past_participle": (68, 89),
    "subsequence_sn_relative_clause_on_subject": (86, 86),
}


@pytest.mark.parametrize("case", CASES)
def test_coverage_of_hans(case):
    folder = os.environ.get("HC_INTERP_DATA")
    if folder is None:
        pytest.skip("HC_INTERP_DATA does not name the data folder")
    frame = pd.read_parquet(Path(folder) / "hans" / "validation.parquet")
    frame = frame[frame["heuristic"] + "_" + frame["subcase"] == case]
    hans = Examples(tuple(frame["premise"]), tuple(frame["hypothesis"]), tuple(frame["label"]), groups=GROUPS)
    counts = tuple(100 * len(make_pairs(case, hans, kind)[0]) // len(hans) for kind in pair_kinds(case))
    assert counts == COVERAGE[case]


def test_an_edit_is_drawn_by_the_id_of_its_example():
    """A text is edited differently under another id, and equally under the same id in any row."""
    row = ("The nurse was helped by the king .", "The king helped the nurse .", 0)
    given_ = examples(*[row] * 30)
    _, corrupt = make_pairs("lexical_overlap_le_passive", given_, "overlap")
    assert len(set(corrupt.second)) > 5
    _, turned = make_pairs("lexical_overlap_le_passive", given_.rows(range(29, -1, -1)), "overlap")
    assert turned.second == corrupt.second[::-1]


@pytest.mark.parametrize("case", CASES)
def test_pairs_have_many_templates_and_verbs(case: str) -> None:
    """An interval over new words and templates needs many of each: at least 6 templates and 40 verbs a case."""
    made = case_examples(case, 400, seed=0)
    for kind in pair_kinds(case):
        units = units_of(make_pairs(case, made, kind)[0])
        assert len({template for row in units["template"] for template in row}) >= 6
        assert len({verb for row in units["verb"] for verb in row}) >= 40
