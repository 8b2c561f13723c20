"""Contrast pairs made by rule from texts. A pair is made only if the rules of `grammar.meaning` prove both labels."""

from dataclasses import replace
from zlib import crc32

import numpy as np

from hc_interp.data.examples import Examples
from hc_interp.data.grammar.cases import known_case
from hc_interp.data.grammar.meaning import parse_claim, parse_premise, rewrite, tokens_of
from hc_interp.data.grammar.roles import CHANGED, changed_words, roles_of
from hc_interp.data.grammar.shared_words import units_of
from hc_interp.data.pair_rules.order import agents_of, order_edit
from hc_interp.data.pair_rules.overlap import WordPool, overlap_edit
from hc_interp.errors import DataError

RULE_KINDS = ("order", "overlap")
# For these cases no order of the premise's words makes the hypothesis follow.
NO_ORDER_PAIRS = (
    "constituent_cn_adverb",
    "constituent_cn_after_if_clause",
    "constituent_cn_disjunction",
    "constituent_cn_embedded_under_if",
    "constituent_cn_embedded_under_verb",
    "subsequence_sn_NP/S",
)


def pair_kinds(case: str) -> tuple[str, ...]:
    """The kinds of pairs that the rules can make for a case. Raises `DataError` for an unknown case."""
    return ("overlap",) if known_case(case) in NO_ORDER_PAIRS else RULE_KINDS


def make_pairs(case: str, examples: Examples, kind: str, seed: int = 0) -> tuple[Examples, Examples]:
    """The clean and the corrupt side of the pairs that the rules can make from examples of one case.

    `kind="order"` moves words so that the gold label flips. `kind="overlap"` replaces a word of the hypothesis by one
    that the premise does not have, so that the hypothesis does not follow. The clean side has rows of `examples`. The
    corrupt side has the same ids and sources, with new texts and labels. Rows without two proved labels are left out,
    so the sides can be shorter than `examples`, or empty. The edit of an example depends on `seed`, its id, and (for
    replacements) the words of the other examples. Both sides have units, and spans of the roles of `grammar.roles`.
    Raises `DataError` for an unknown case, a kind that the case does
    not have, and examples without second texts or without two labels. Alignment is not checked here, because it depends
    on the tokenizer.
    """
    kinds = pair_kinds(case)
    if kind not in kinds:
        raise DataError(f"{case} has no pairs of kind {kind!r}; it has {', '.join(map(repr, kinds))}.")
    second, gold = examples.second, examples.label
    if second is None or gold is None or examples.groups is None or len(examples.groups) != 2 or set(gold) - {0, 1}:
        raise DataError(
            f"make_pairs was given {examples!r} with groups={examples.groups}; it needs premise, hypothesis and labels "
            "0 (entailment) or 1 (non-entailment) in two groups, like ((0,), (1, 2))."
        )
    both = zip(map(tokens_of, examples.first), map(tokens_of, second), strict=True)
    texts = [(row, p, h) for row, (p, h) in enumerate(both) if p is not None and h is not None]
    claims = [claim for _, _, hypothesis in texts if (claim := parse_claim(hypothesis)) is not None]
    premises = [parsed for _, premise, _ in texts if (parsed := parse_premise(premise)) is not None]
    agents = agents_of((*claims, *premises))
    pool = WordPool.of(claims)
    ids = examples.id or ()
    rows: list[int] = []
    edits: list[tuple[str, str]] = []
    corrupt_label: list[int] = []
    for row, premise, hypothesis in texts:
        rng = np.random.default_rng([seed, crc32(ids[row].encode())])
        if kind == "order":
            edit = order_edit(premise, hypothesis, gold[row], agents, rng)
        else:
            edit = overlap_edit(premise, hypothesis, gold[row], pool, rng)
        if edit is not None:
            rows.append(row)
            corrupt_label.append(1 - gold[row] if kind == "order" else 1)
            edits.append((rewrite(examples.first[row], edit[0]), rewrite(second[row], edit[1])))
    clean = examples.rows(rows)
    corrupt = Examples(
        first=tuple(premise for premise, _ in edits),
        second=tuple(hypothesis for _, hypothesis in edits),
        label=tuple(corrupt_label),
        id=clean.id,
        source=clean.source,
        groups=clean.groups,
        classes=clean.classes,
    )
    changed = CHANGED[kind]
    given = clean.spans or {}  # a user's own, which only the clean side has
    clean_spans = {**roles_of(clean), changed: changed_words(clean, corrupt), **given}
    corrupt_spans = {**roles_of(corrupt), changed: changed_words(corrupt, clean)}
    return (
        replace(clean, units=units_of(clean), spans=clean_spans),
        replace(corrupt, units=units_of(corrupt), spans=corrupt_spans),
    )
