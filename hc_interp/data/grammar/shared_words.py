"""The units of sentences that the grammar can parse: their template, verbs and nouns."""

from hc_interp.data.examples import Examples
from hc_interp.data.grammar import lexicon
from hc_interp.data.grammar.constructions import NOUN_SLOTS
from hc_interp.data.grammar.meaning import Parsed, parse_claim, parse_premise, tokens_of
from hc_interp.data.units import Levels


def units_of(examples: Examples) -> dict[str, Levels]:
    """`template`, `verb` and `noun` of each row; a noun in singular and plural is one level.

    The template is the pattern of the premise, with its frame, and that of the hypothesis. A text outside the grammar
    has no levels: its row shares nothing but its source.
    """
    rows = [_levels(first, second) for first, second in zip(examples.first, examples.second or (), strict=False)]
    rows += [((), (), ())] * (len(examples) - len(rows))
    return {name: tuple(row[i] for row in rows) for i, name in enumerate(("template", "verb", "noun"))}


def _levels(first: str, second: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    tokens = tokens_of(first), tokens_of(second)
    if tokens[0] is None or tokens[1] is None:
        return (), (), ()
    parsed = parse_premise(tokens[0]), parse_claim(tokens[1])
    if parsed[0] is None or parsed[1] is None:
        return (), (), ()
    both = (parsed[0], parsed[1])
    template = " -> ".join(item.template for item in both)
    nouns = dict.fromkeys(lexicon.lemma(noun) for item in both for noun in item.nouns)
    return (template,), tuple(dict.fromkeys(verb for item in both for verb in _verbs(item))), tuple(nouns)


def _verbs(parsed: Parsed) -> list[str]:
    return [word for slot, word in parsed.filled.items() if slot not in NOUN_SLOTS and slot not in "LE"]
