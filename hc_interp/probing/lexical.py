"""The lexical features themselves: rules on two lists of words (`data.overlap.words`: lower case, no punctuation).

A rule knows no tokenizer and no model. "Contained in", "in order" and "a constituent of" are the three heuristics of
HANS, each a special case of the one before: McCoy, Pavlick & Linzen 2019 (arXiv 1902.01007, table 1).
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
    """Place in the first text of the same word, the one nearest to the word's own place; NaN without a match."""
    places: dict[str, list[int]] = {}
    for place, word in enumerate(first):
        places.setdefault(word, []).append(place)
    distances = [[(abs(place - own), place) for place in places.get(word, ())] for own, word in enumerate(second)]
    return [float(min(found)[1]) if found else math.nan for found in distances]


def overlap_share(first: Words, second: Words) -> float:
    """Share of the second text's words that occur in the first, 0 to 1; NaN if it has no words.

    1 is HANS' "lexical overlap"; as a number it is the overlap score of Naik et al. 2018 (arXiv 1806.00692).
    """
    found = token_overlap(first, second)
    return sum(found) / len(found) if found else math.nan


def subsequence(first: Words, second: Words) -> float:
    """1 if the second text's words stand in the first one after the other (HANS' "subsequence"); NaN for no words."""
    n = len(second)
    return float(any(list(first[i : i + n]) == list(second) for i in range(len(first) - n + 1))) if n else math.nan


def order_violation(first: Words, second: Words) -> float:
    """1 if the words that both texts have stand in no order of the first text (gaps allowed); NaN for fewer than two.

    It tells "the lawyer saw the doctor" from its swap, which `overlap_share` cannot: both have every word. McCoy et al.
    2019 describe the difference; the measure is this package's own.
    """
    known = set(first)
    shared = [word for word in second if word in known]
    if len(shared) < 2:
        return math.nan
    rest = iter(first)
    return float(not all(word in rest for word in shared))  # `in` moves on in `rest`: each word after the one before


def negation(first: Words, second: Words) -> float:
    """1 if the second text has a negation word ("not", "never", "-n't", ...).

    In MNLI such words go with contradiction: Gururangan et al. 2018 (arXiv 1803.02324).
    """
    return float(any(word in NEGATIONS or word.endswith("n't") for word in second))


def constituent(examples: Examples, parses: Sequence[str | None]) -> Float[np.ndarray, " example"]:
    """1 where the second text is a constituent of the first (HANS' "constituent"); NaN without a parse or words.

    `parses[i]` is a bracketed parse of the first text of example i, as MNLI and HANS carry them: "( ( The doctor ) ran
    )" or "(ROOT (S (NP (DT The) ...". Pass the result as the feature: `fit_probe(model, examples, site, values)`.
    Raises `DataError` for brackets that do not match, or for parses of other texts.
    """
    if examples.second is None or len(parses) != len(examples):
        raise DataError(
            f"{len(parses)} parses were given for {examples!r}. Expected pairs of texts and one parse of each first "
            "text, None where there is none."
        )
    found = np.full(len(examples), np.nan)
    for row, (first, second, parse) in enumerate(zip(examples.first, examples.second, parses, strict=True)):
        asked = words(second)
        if parse is None or not asked:
            continue
        spans = _constituents(parse, examples.id[row])
        if words(first) != max(spans, key=len):
            raise DataError(
                f"The parse of example {examples.id[row]!r} has the words {' '.join(max(spans, key=len))!r}, its first "
                f"text {' '.join(words(first))!r}. Give the parses in the order of the examples."
            )
        found[row] = float(asked in spans)
    return found


def _constituents(parse: str, name: str) -> list[list[str]]:
    """The words under each bracket. In a labelled tree the label is what follows "(" at once."""
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
    # Parsers split "don't" into "do n't"; joined again, and "''" and the like fall to `words`.
    straight = [leaf.translate(STRAIGHT) for leaf in leaves]
    return [words(" ".join(straight[a:b]).replace(" n't", "n't").replace(" '", "'")) for a, b in spans]
