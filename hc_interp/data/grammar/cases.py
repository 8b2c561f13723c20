"""The 30 diagnostic cases: templates, and the examples made from them.

The case ids are those of HANS (McCoy, Pavlick and Linzen, ACL 2019); templates and words were written for this package.
An example is made only if `meaning.label` proves its label.
"""

import re
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hc_interp.data.examples import Examples, LabelGroups
from hc_interp.data.grammar import lexicon
from hc_interp.data.grammar.constructions import WORD_CLASSES
from hc_interp.data.grammar.frames import BY_KIND, Frame
from hc_interp.data.grammar.meaning import Tokens, label, parse_claim, parse_premise
from hc_interp.data.grammar.roles import roles_of
from hc_interp.data.tables import NLI_CLASSES
from hc_interp.errors import DataError

TWO_WAY: LabelGroups = ((0,), (1, 2))  # HANS' own rule: neutral and contradiction both count as non-entailment

_SUBORDINATE = "the A T the B|the A I"
_MAIN = "the C U the D|the C J"


def _clause_pairs(joint: str, keep: str) -> list[tuple[str, str]]:
    """Templates of two clauses; `keep` names the clause that becomes the hypothesis: "first", "second" or "both"."""
    rows = []
    for first in _SUBORDINATE.split("|"):
        for second in _MAIN.split("|"):
            premise = joint.replace("CLAUSE1", first).replace("CLAUSE2", second)
            rows += [(premise, first)] * (keep != "second") + [(premise, second)] * (keep != "first")
    return rows


def _both(premise: str, hypothesis: str) -> list[tuple[str, str]]:
    """Two templates: one that ends in a verb with an object, one that ends in a verb without."""
    rows = []
    for tail in ("T the C", "I"):
        rows.append((f"{premise} {tail}", f"{hypothesis} {tail}"))
    return rows


# Case -> (premise, hypothesis) in the slots of `constructions`. A template listed twice is drawn twice as often.
TEMPLATES: dict[str, list[tuple[str, str]]] = {
    "lexical_overlap_ln_subject/object_swap": [("the A T the B", "the B T the A")],
    "lexical_overlap_ln_passive": [("the A BE T by the B", "the A T the B")],
    "lexical_overlap_le_passive": [("the A BE T by the B", "the B T the A")],
    "lexical_overlap_ln_conjunction": [
        *(("the A and the B T the C", hypothesis) for hypothesis in ("the A T the B", "the B T the A")),
        *(("the A T the B and the C", hypothesis) for hypothesis in ("the B T the C", "the C T the B")),
    ],
    "lexical_overlap_le_conjunction": [
        ("the A and the B T the C", "the A T the C"),
        ("the A T the B and the C", "the A T the C"),
    ],
    "lexical_overlap_ln_preposition": [
        *(("the A PREP the B T the C", f"the {pair}") for pair in ("B T the A", "C T the A", "C T the B")),
        *(("the A T the B PREP the C", f"the {pair}") for pair in ("B T the A", "B T the C", "C T the A")),
    ],
    "lexical_overlap_le_around_prepositional_phrase": [("the A PREP the B T the C", "the A T the C")],
    "lexical_overlap_ln_relative_clause": [
        *(("the A REL the B T U the C", f"the {pair}") for pair in ("B U the A", "C U the A", "C U the B")),
        *(("the A REL T the B U the C", f"the {pair}") for pair in ("B U the A", "C U the A", "C U the B")),
        *(("the A T the B REL U the C", f"the {pair}") for pair in ("B T the A", "B T the C", "C T the A")),
        *(("the A T the B REL the C U", f"the {pair}") for pair in ("B T the A", "B T the C", "C T the A")),
    ],
    "lexical_overlap_le_relative_clause": [
        ("the A REL the B T U the C", "the B T the A"),
        ("the A REL T the B U the C", "the A T the B"),
        ("the A T the B REL U the C", "the B U the C"),
        ("the A T the B REL the C U", "the C U the B"),
    ],
    "lexical_overlap_le_around_relative_clause": [
        ("the A REL the B T U the C", "the A U the C"),
        ("the A REL T the B U the C", "the A U the C"),
        ("the A REL I T the B", "the A T the B"),
    ],
    "subsequence_sn_NP/S": [
        ("the A N the B T the C", "the A N the B"),
        ("the A N the B I", "the A N the B"),
    ],
    "subsequence_sn_NP/Z": [
        ("SINCE the A Z the B U the C", "the A Z the B"),
        ("SINCE the A Z the B Y the C", "the A Z the B"),
        ("SINCE the A Z the B I", "the A Z the B"),
    ],
    "subsequence_sn_PP_on_subject": _both("the A PREP the B", "the B"),
    "subsequence_sn_relative_clause_on_subject": [
        ("the A REL T the B U the C", "the B U the C"),
        ("the A REL T the B I", "the B I"),
    ],
    "subsequence_sn_past_participle": [
        ("the A V in the L U the C", "the A V in the L"),
        ("the A T the B V in the L", "the B V in the L"),
        ("the A V in the L I", "the A V in the L"),
    ],
    "subsequence_se_PP_on_obj": [("the A T the B PREP the C", "the A T the B")],
    "subsequence_se_adjective": [("E P T the B", "P T the B"), ("E P T the B", "P T the B"), ("E P I", "P I")],
    "subsequence_se_conjunction": [
        *_both("the A and the B", "the B"),
        ("the A T the B and the C", "the A T the B"),
    ],
    "subsequence_se_relative_clause_on_obj": [
        ("the A T the B REL U the C", "the A T the B"),
        ("the A T the B REL the C U", "the A T the B"),
        ("the A T the B REL I", "the A T the B"),
    ],
    "subsequence_se_understood_object": [("the A O the W", "the A O"), ("the A Q the B", "the A Q")],
    "constituent_cn_embedded_under_if": [
        *_clause_pairs("IF CLAUSE1 , CLAUSE2", "first"),
        *_clause_pairs("WHETHER CLAUSE1 , CLAUSE2", "first"),
        *_clause_pairs("INCASE CLAUSE1 , CLAUSE2", "first"),
    ],
    "constituent_cn_after_if_clause": _clause_pairs("IF CLAUSE1 , CLAUSE2", "second"),
    "constituent_cn_embedded_under_verb": _both("the A G that the B", "the B"),
    "constituent_cn_disjunction": _clause_pairs("CLAUSE1 , or CLAUSE2", "both"),
    "constituent_cn_adverb": _both("MAYBE the A", "the A"),
    "constituent_ce_embedded_under_since": _clause_pairs("SINCE CLAUSE1 , CLAUSE2", "first"),
    "constituent_ce_after_since_clause": [
        *2 * _clause_pairs("SINCE CLAUSE1 , CLAUSE2", "second"),
        *_clause_pairs("BEFORE CLAUSE1 , CLAUSE2", "second"),
        *_clause_pairs("WHETHER CLAUSE1 , CLAUSE2", "second"),
    ],
    "constituent_ce_embedded_under_verb": _both("the A F that the B", "the B"),
    "constituent_ce_conjunction": _clause_pairs("CLAUSE1 , and CLAUSE2", "both"),
    "constituent_ce_adverb": _both("SURELY the A", "the A"),
}
CASES: tuple[str, ...] = tuple(sorted(TEMPLATES))

_VERBS: dict[str, tuple[str, ...]] = {
    "T": lexicon.TRANSITIVE,
    "U": lexicon.TRANSITIVE,
    "I": lexicon.INTRANSITIVE,
    "J": lexicon.INTRANSITIVE,
    "Z": lexicon.GARDEN_PATH,
    "Y": lexicon.GARDEN_PATH,  # needs no object either, so that the two verbs can be exchanged
    "V": lexicon.REDUCED,
    "R": lexicon.TRANSITIVE,
    "X": lexicon.REDUCED,
    "N": lexicon.CLAUSE_TAKING,
    "F": lexicon.FACTIVE,
    "G": lexicon.NONFACTIVE,
    "Q": lexicon.UNDERSTOOD_PEOPLE,
    "O": tuple(lexicon.UNDERSTOOD_OBJECTS),
    "E": lexicon.ADJECTIVES,
    "L": lexicon.LOCATIONS,
}
_TRIES = 2_000


class CaseParts(NamedTuple):
    """The parts of a case id: "lexical_overlap_ln_passive" has heuristic "lexical_overlap" and subcase "passive".

    `label` is the label of all examples of the case, "entailment" or "non-entailment".
    """

    heuristic: str
    label: str
    subcase: str

    @property
    def heuristic_is_right(self) -> bool:
        """Whether the case is entailment, which is what all three heuristics answer."""
        return self.label == "entailment"


def case_of(name: str) -> CaseParts | None:
    """The parts of a case id of HANS' form, `<heuristic>_<le|ln|se|sn|ce|cn>_<subcase>`; None for any other name."""
    match = re.fullmatch(r"(.+?)_[lsc]([en])_(.+)", name)
    return match and CaseParts(match[1], {"e": "entailment", "n": "non-entailment"}[match[2]], match[3])


def case_key(name: str) -> str:
    """The spelling of `name` by which case names are compared: "/" and "-" are alike."""
    return str(name).replace("/", "-")


_CASE_IDS = {case_key(case): case for case in CASES}


def known_case(name: str) -> str:
    """The id in `CASES` that `name` means. Raises `DataError`, which lists the ids, for any other name."""
    if case_key(name) not in _CASE_IDS:
        raise DataError(f"{name!r} is not a case of the grammar. Expected one of: {', '.join(CASES)}.")
    return _CASE_IDS[case_key(name)]


def case_examples(case: str, n: int, seed: int) -> Examples:
    """`n` distinct examples of one case, drawn by `seed`, with label 0 (entailment) or 1 (non-entailment).

    Ids are `<case>:<seed>:<number>`; a larger `n` only adds examples. `source` is the sorted words of the premise, so
    that premises with the same words in another order have the same source. `spans` has the roles of `grammar.roles`.
    Raises `DataError` for an unknown case and
    if fewer than `n` distinct examples are found.
    """
    case = known_case(case)
    if n < 1:
        raise DataError(f"case_examples was asked for n={n} examples; expected 1 or more.")
    rng = np.random.default_rng([seed, CASES.index(case)])
    parts, templates = case_of(case), TEMPLATES[case]
    gold = int(parts is not None and not parts.heuristic_is_right)
    rows: dict[tuple[Tokens, Tokens], str] = {}
    tries = 0
    while len(rows) < n:
        inner, hypothesis = _draw(*templates[rng.integers(len(templates))], rng)
        premise = frame_for(case, rng).around(inner)
        tries += 1
        if tries > _TRIES:
            raise DataError(
                f"The grammar found {len(rows)} distinct examples of {case} and {_TRIES} draws brought no further one; "
                f"{n} were asked for. Ask for fewer."
            )
        if (premise, hypothesis) not in rows and _proved_label(premise, hypothesis) == gold:
            rows[premise, hypothesis] = " ".join(sorted(word for word in premise if word != ","))
            tries = 0
    examples = Examples(
        first=tuple(sentence(premise) for premise, _ in rows),
        second=tuple(sentence(hypothesis) for _, hypothesis in rows),
        label=(gold,) * n,
        id=tuple(f"{case}:{seed}:{i}" for i in range(n)),
        source=tuple(rows.values()),
        groups=TWO_WAY,
        classes=NLI_CLASSES,
    )
    return replace(examples, spans=roles_of(examples))


def frame_for(template: str, rng: np.random.Generator) -> Frame:
    """A frame of a drawn kind. "Yesterday" and other adverbs may contradict a time."""
    adverb = template.endswith("_adverb") or any(word in ("SURELY", "MAYBE") for word in template.split())
    kinds = [kind for kind in BY_KIND if "TIME" not in kind or not adverb]
    frames = BY_KIND[kinds[rng.integers(len(kinds))]]
    return frames[rng.integers(len(frames))]


def _proved_label(premise: Tokens, hypothesis: Tokens) -> int | None:
    parsed, claim = parse_premise(premise), parse_claim(hypothesis)
    return None if parsed is None or claim is None else label(parsed, claim)


def _draw(premise: str, hypothesis: str, rng: np.random.Generator) -> tuple[Tokens, Tokens]:
    """Fill the slots of one template with drawn words; a slot has the same word in premise and hypothesis."""
    filled = words_of_slots(premise, rng)

    def fill(pattern: str) -> Tokens:
        return tuple(" ".join(filled.get(token, token) for token in pattern.split()).split())

    return fill(premise), fill(hypothesis)


def words_of_slots(premise: str, rng: np.random.Generator) -> dict[str, str]:
    """Drawn words for the slots of a premise's template, its word classes (`REL`, ...) and the verb BE."""

    def pick(choices: tuple[str, ...]) -> str:
        return choices[rng.integers(len(choices))]

    people = iter(rng.permutation(len(lexicon.PEOPLE)))
    filled: dict[str, str] = {}
    for slot in premise.split():
        if slot in WORD_CLASSES:
            filled[slot] = pick(WORD_CLASSES[slot])
        elif slot in _VERBS:
            filled[slot] = pick(_VERBS[slot])
        elif slot in set("ABCDPS"):
            noun = lexicon.PEOPLE[next(people)]
            many = slot == "P" or (slot != "S" and rng.integers(2))
            filled[slot] = lexicon.plural(noun) if many else noun
        elif slot == "W":
            filled[slot] = pick(lexicon.UNDERSTOOD_OBJECTS[filled["O"]])
        elif slot == "BE":
            filled[slot] = "were" if lexicon.is_plural(filled["A"]) else "was"
    return filled


def sentence(tokens: Tokens) -> str:
    """Words and commas as text, with a capital at the start and a full stop."""
    text = " ".join(tokens).replace(" ,", ",")
    return text[0].upper() + text[1:] + "."
