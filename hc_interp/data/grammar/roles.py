"""The roles of words in sentences that the grammar can parse, as spans.

`subject`, `verb` and `object` are those of the hypothesis, which is one clause. `premise_subject`, `premise_verb` and
`premise_object` are the same words where the premise has them. On pairs, `moved` (kind "order") or `replaced` (kind
"overlap") are the words of both texts that differ between the sides.
"""

import re
from collections.abc import Sequence

from hc_interp.data.examples import Examples
from hc_interp.data.grammar.meaning import parse_claim, parse_premise, tokens_of
from hc_interp.data.spans import Span, Spans

CLAUSE_ROLES = ("subject", "verb", "object")
CHANGED = {"order": "moved", "overlap": "replaced"}  # the role of the words that a pair of this kind changes


def roles_of(examples: Examples) -> Spans:
    """The spans of the clause roles of each row; a row outside the grammar has none."""
    rows = [_clause_spans(a, b) for a, b in zip(examples.first, examples.second or (), strict=True)]
    names = [*CLAUSE_ROLES, *(f"premise_{role}" for role in CLAUSE_ROLES)]
    return {name: tuple(row.get(name, ()) for row in rows) for name in names}


def changed_words(examples: Examples, other: Examples) -> tuple[tuple[Span, ...], ...]:
    """The spans of each row's words that `other` has changed: the same number of words in another order, or others."""
    rows = []
    for row in range(len(examples)):
        spans: list[Span] = []
        for name in ("first", "second"):
            here, there = ((getattr(part, name) or ())[row] for part in (examples, other))
            words = zip(_words(here), _words(there), strict=True)
            spans += [(start, end, name) for (word, start, end), (new, *_) in words if word != new]
        rows.append(tuple(spans))
    return tuple(rows)


def _clause_spans(first: str, second: str) -> dict[str, tuple[Span, ...]]:
    premise, hypothesis = tokens_of(first), tokens_of(second)
    claim = None if hypothesis is None else parse_claim(hypothesis)
    if premise is None or hypothesis is None or claim is None or parse_premise(premise) is None:
        return {}
    (slots,) = claim.construction.asserted
    spans: dict[str, tuple[Span, ...]] = {}
    for role, slot in zip(CLAUSE_ROLES, slots, strict=False):
        if slot not in claim.filled:
            continue
        index = len(claim.frame.before) + claim.construction.slot_index[slot]
        spans[role] = _spans(second, [index], "second")
        mentions = [i for i, word in enumerate(premise) if word == hypothesis[index]]
        spans[f"premise_{role}"] = _spans(first, mentions, "first")
    return spans


def _spans(text: str, indices: Sequence[int], name: str) -> tuple[Span, ...]:
    words = _words(text)
    return tuple((words[index][1], words[index][2], name) for index in indices)


def _words(text: str) -> list[tuple[str, int, int]]:
    """The words and commas of a text in lower case, as `tokens_of` counts them, each with its start and end."""
    return [(match[0].lower(), *match.span()) for match in re.finditer(r"[A-Za-z]+|,", text)]
