"""The rules of lexical features. A rule takes two lists of words (`data.overlap.words`: lower case, no punctuation).

Rules use no tokenizer and no model. The three heuristics of HANS are among them: "lexical overlap", "subsequence" and
"constituent", each a special case of the one before (McCoy, Pavlick & Linzen 2019, arXiv 1902.01007, table 1).
"""

import math
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from hc_interp.data.examples import Examples
from hc_interp.data.overlap import STRAIGHT, words
from hc_interp.errors import DataError

Words = Sequence[str]

NEGATIONS = frozenset(
    {"no", "not", "never", "none", "nobody", "nothing", "nowhere", "neither", "nor", "cannot", "without"}
)


def token_overlap(first: Words, second: Words) -> list[float]:
    """1 for each word of the second text that occurs anywhere in the first (HANS' "lexical overlap", word by word)."""
    known = set(first)
    return [float(word in known) for word in second]


def match_position(first: Words, second: Words) -> list[float]:
    """For each word of the second text, the index of the same word in the first text; NaN if the word is not there.

    Of several the index nearest to the word's own index is taken, of two as near the lower one.
    """
    indices: dict[str, list[int]] = {}
    for i, word in enumerate(first):
        indices.setdefault(word, []).append(i)
    matches = [[(abs(i - j), i) for i in indices.get(word, ())] for j, word in enumerate(second)]
    return [float(min(pairs)[1]) if pairs else math.nan for pairs in matches]


def overlap_share(first: Words, second: Words) -> float:
    """Share of the second text's words that occur in the first, 0 to 1; NaN if the second text has no words.

    A share of 1 is HANS' "lexical overlap". The share is the overlap score of Naik et al. 2018 (arXiv 1806.00692).
    """
    overlap = token_overlap(first, second)
    return sum(overlap) / len(overlap) if overlap else math.nan


def subsequence(first: Words, second: Words) -> float:
    """1 if the second text is a contiguous part of the first (HANS' "subsequence"), else 0; NaN if it has no words."""
    n = len(second)
    return float(any(list(first[i : i + n]) == list(second) for i in range(len(first) - n + 1))) if n else math.nan


def order_violation(first: Words, second: Words) -> float:
    """1 if the second text has the words of both texts in an order that the first text does not have, else 0.

    Other words in between do not matter. NaN if the texts share fewer than two words. The rule tells "the lawyer saw
    the doctor" from its swap, in which `overlap_share` is the same. McCoy et al. 2019 describe the difference; the rule
    is this package's own.
    """
    known = set(first)
    shared = [word for word in second if word in known]
    if len(shared) < 2:
        return math.nan
    rest = iter(first)
    return float(
        not all(word in rest for word in shared)
    )  # `in` consumes `rest`, so each word is looked for after the one before


def negation(first: Words, second: Words) -> float:
    """1 if the second text has a negation word ("not", "never", "-n't", ...), else 0. `first` does not matter.

    In MNLI such words are correlated with contradiction: Gururangan et al. 2018 (arXiv 1803.02324).
    """
    return float(any(word in NEGATIONS or word.endswith("n't") for word in second))


def constituent(examples: Examples, parses: Sequence[str | None]) -> Float[np.ndarray, " example"]:
    """1 where the second text is a constituent of the first (HANS' "constituent"), else 0; NaN without parse or words.

    `parses[i]` is a bracketed parse of the first text of example i, as MNLI and HANS carry them: "( ( The doctor ) ran
    )" or "(ROOT (S (NP (DT The) ...". Pass the result as the feature: `fit_probe(model, examples, site, values)`.
    Raises `DataError` for brackets that do not match, or for parses of other texts.
    """
    if examples.second is None or len(parses) != len(examples):
        raise DataError(
            f"{len(parses)} parses were given for {examples!r}. Expected pairs of texts and one parse of each first "
            "text, None where there is none."
        )
    values = np.full(len(examples), np.nan)
    for row, (first, second, parse) in enumerate(zip(examples.first, examples.second, parses, strict=True)):
        hypothesis = words(second)
        if parse is None or not hypothesis:
            continue
        spans = _constituents(parse, examples.id[row])
        if words(first) != max(spans, key=len):
            raise DataError(
                f"The parse of example {examples.id[row]!r} has the words {' '.join(max(spans, key=len))!r}, its first "
                f"text {' '.join(words(first))!r}. Give the parses in the order of the examples."
            )
        values[row] = float(hypothesis in spans)
    return values


def _constituents(parse: str, name: str) -> list[list[str]]:
    """The words under each bracket. In a labelled tree the label follows "(" without a space."""
    leaves: list[str] = []
    starts: list[int] = []
    spans: list[tuple[int, int]] = []
    for token in re.findall(r"\([^\s()]*|\)|[^\s()]+", parse):
        if token.startswith("("):
            starts.append(len(leaves))
        elif token != ")":
            spans.append((len(leaves), len(leaves) + 1))
            leaves.append(token)
        elif starts:
            spans.append((starts.pop(), len(leaves)))
        else:
            starts = [0]
            break
    if starts or not leaves:
        raise DataError(
            f"The parse of example {name!r} is {parse[:60]!r}, whose brackets do not match. Expected a bracketed tree, "
            "or None where there is none."
        )
    # Parsers split "don't" into "do n't", which is joined again. `words` removes tokens such as "''".
    straight = [leaf.translate(STRAIGHT) for leaf in leaves]
    return [words(" ".join(straight[a:b]).replace(" n't", "n't").replace(" '", "'")) for a, b in spans]
