"""`claim_examples`: hypotheses of one clause made of the premise's own words, in any order, active or passive.

They are the counterexamples to lexical overlap at their densest: the 30 diagnostic cases have a few templates for each
construction, these have every noun as subject and object of every verb.
"""

from collections.abc import Collection, Iterator
from functools import cache

import numpy as np

from hc_interp.data.examples import Examples
from hc_interp.data.grammar import lexicon
from hc_interp.data.grammar.cases import TEMPLATES, TWO_WAY, frame_for, known_case, sentence, words_of_slots
from hc_interp.data.grammar.constructions import NOUN_SLOTS, PREMISES, SLOTS, VERB_SLOTS
from hc_interp.data.grammar.meaning import Tokens, label, parse_claim, parse_premise
from hc_interp.data.tables import NLI_CLASSES
from hc_interp.errors import DataError

PATTERNS = tuple(dict.fromkeys(item.pattern for item in PREMISES))
TWO_CLAUSES = 0.4  # how often a pattern of two clauses is drawn for one of a single clause, since there are many
WITHOUT_OBJECT, WITH_OBJECT = "IJZ", "TUZNFGRX"  # verb slots by the clauses that a claim makes of them
PASSIVE = "TURX"  # verb slots whose verbs have a passive
_TRIES = 5_000

Claim = tuple[str, str]  # the claim in the active voice, whose label is proved, and as it is written


def claim_examples(n: int, seed: int, *, label: int, held_out: Collection[str] = ()) -> Examples:
    """`n` distinct examples with one label, 0 (entailment) or 1 (non-entailment), drawn by `seed`.

    A premise is any construction of the label rules in a frame. A hypothesis has nouns and a verb of the premise: "the
    X VERB the Y" with any two nouns, its passive ("the Y was VERB by the X"), or "the X VERB". `source` is the sorted
    words of the premise. Ids are `claims:<label>:<seed>:<number>`; a larger `n` only adds examples.

    Of the cases in `held_out` none of the pairs of templates is used. Their premises occur with other hypotheses,
    passives of theirs included. Where holding out leaves only active claims of one label about such a premise, these
    are left out too: else the premise would give the answer away.

    Raises `DataError` for another label, an unknown case, n < 1, or if fewer examples are found.
    """
    if label not in (0, 1) or n < 1:
        raise DataError(f"claim_examples was asked for n={n} examples of label {label!r}; expected n >= 1, and 0 or 1.")
    rng = np.random.default_rng([seed, 2_000, label])
    held = frozenset(form for case in held_out for form in _forms_of_case(known_case(case)))
    weights = np.array([TWO_CLAUSES if "," in pattern else 1.0 for pattern in PATTERNS])
    weights /= weights.sum()
    rows: dict[tuple[Tokens, Tokens], str] = {}
    tries = 0
    while len(rows) < n:
        tries += 1
        if tries > _TRIES:
            raise DataError(
                f"The grammar found {len(rows)} distinct claims of label {label} and {_TRIES} draws brought no further "
                f"one; {n} were asked for. Ask for fewer."
            )
        pattern = PATTERNS[rng.choice(len(PATTERNS), p=weights)]
        if (row := _draw(pattern, label, held, rng)) is not None and row not in rows:
            rows[row] = " ".join(sorted(word for word in row[0] if word != ","))
            tries = 0
    return Examples(
        first=tuple(sentence(premise) for premise, _ in rows),
        second=tuple(sentence(hypothesis) for _, hypothesis in rows),
        label=(label,) * n,
        id=tuple(f"claims:{label}:{seed}:{i}" for i in range(n)),
        source=tuple(rows.values()),
        groups=TWO_WAY,
        classes=NLI_CLASSES,
    )


def _draw(
    pattern: str, wanted: int, held: frozenset[tuple[str, str]], rng: np.random.Generator
) -> tuple[Tokens, Tokens] | None:
    """A premise of the pattern with a hypothesis of the label; None if these words have none or several parses."""
    filled = words_of_slots(pattern, rng)
    verbs = [word for slot, word in filled.items() if slot in VERB_SLOTS]
    premise = frame_for(pattern, rng).around(_fill(pattern, filled))
    if len(set(verbs)) < len(verbs) or (parsed := parse_premise(premise)) is None:
        return None
    claims = _trained_claims(pattern, held)
    for i in rng.permutation(len(claims)):
        active, shown = claims[i]
        claim = parse_claim(_fill(active, filled))
        if claim is not None and label(parsed, claim) == wanted:
            return premise, _fill(shown, filled)
    return None


@cache
def _trained_claims(pattern: str, held: frozenset[tuple[str, str]]) -> tuple[Claim, ...]:
    """The claims that may be made: not the held-out ones, and no active ones of one label alone beside these."""
    claims = _claims(pattern)
    left = tuple(claim for claim in claims if claim[0] != claim[1] or form(pattern, claim[0]) not in held)
    if len(left) == len(claims):
        return claims
    kept = []
    for active, shown in left:
        beside = {_label_of(pattern, a) for a, b in left if a == b and _has_object(a) is _has_object(active)}
        if active != shown or {0, 1} <= beside:
            kept.append((active, shown))
    return tuple(kept)


def _has_object(active: str) -> bool:
    return len(active.split()) > 3


@cache
def _label_of(pattern: str, active: str) -> int | None:
    """The label of a claim for words that are not related: that of the first draw which can be parsed."""
    for seed in range(_TRIES):
        filled = words_of_slots(pattern, np.random.default_rng(seed))
        verbs = [word for slot, word in filled.items() if slot in VERB_SLOTS]
        parsed, claim = parse_premise(_fill(pattern, filled)), parse_claim(_fill(active, filled))
        if parsed is not None and claim is not None and not any(map(lexicon.related, verbs, verbs[1:])):
            return label(parsed, claim)
    return None


@cache
def _claims(pattern: str) -> tuple[Claim, ...]:
    """All claims about the nouns and verbs of a pattern."""
    return tuple(_all_claims([slot for slot in pattern.split() if slot in SLOTS]))


def _all_claims(slots: list[str]) -> Iterator[Claim]:
    nouns = [slot for slot in slots if slot in NOUN_SLOTS]
    for verb in (slot for slot in slots if slot in VERB_SLOTS):
        for subject in nouns:
            if verb in WITHOUT_OBJECT:
                yield f"the {subject} {verb}", f"the {subject} {verb}"
            if verb in PASSIVE and "L" in slots:
                yield f"the {subject} {verb} in the L", f"the {subject} {verb} in the L"
            for other in nouns if verb in WITH_OBJECT else ():
                if other != subject:
                    active = f"the {subject} {verb} the {other}"
                    yield active, active
                    if verb in PASSIVE:
                        yield active, f"the {other} BE {verb} by the {subject}"


def _fill(pattern: str, filled: dict[str, str]) -> Tokens:
    """The words of a pattern. BE agrees with the noun before it."""
    tokens: list[str] = []
    for slot in pattern.split():
        word = filled.get(slot, slot)
        if slot == "BE":
            word = "were" if lexicon.is_plural(tokens[-1]) else "was"
        tokens += word.split()
    return tuple(tokens)


def form(premise: str, hypothesis: str) -> tuple[str, str]:
    """A pair of templates with its slots renamed in the order in which they stand, so that equal forms are equal."""
    names: dict[str, str] = {"was": "BE", "were": "BE"}
    counts = {"noun": 0, "verb": 0}
    for slot in premise.split():
        if len(slot) == 1 and slot.isupper() and slot not in names:
            kind = "noun" if slot in NOUN_SLOTS else "verb"
            names[slot] = f"{kind}{counts[kind]}" if slot not in "LE" else slot
            counts[kind] += slot not in "LE"

    def renamed(text: str) -> str:
        return " ".join(names.get(word, word) for word in text.split())

    return renamed(premise), renamed(hypothesis)


def _forms_of_case(case: str) -> set[tuple[str, str]]:
    return {form(premise, hypothesis) for premise, hypothesis in TEMPLATES[case]}
