"""Word overlap, the shallow feature, and the split of examples that probes for it use."""

import re
import unicodedata
from dataclasses import replace

import numpy as np
import regex

from hc_interp.data.examples import Examples
from hc_interp.errors import DataError

# What is not seen: soft hyphens, joiners, variation selectors, but for the zero width space, which parts words.
_UNSEEN = r"\p{Default_Ignorable_Code_Point}--\u200b"
_MARK = rf"[\p{{M}}[{_UNSEEN}]]"
_LETTER = rf"[[\w\p{{N}}]--{_MARK}--[\p{{Han}}\p{{Hiragana}}\u02bc]]"
_RUN = rf"{_LETTER}(?:{_LETTER}|{_MARK})*+"
_APOSTROPHES = "'\u2019\u2018\u02bc\uff07\u00b4"
_WORD = regex.compile(
    rf"{_RUN}(?:[{_APOSTROPHES}]{_RUN})?|\p{{Han}}{_MARK}*+|\p{{Hiragana}}(?:{_MARK}|\u30fc)*+", regex.V1
)
_ASCII_WORD = re.compile(r"\w+(?:'\w+)?", re.ASCII)  # what `_WORD` finds in ASCII, several times as fast
_NOT_SEEN = regex.compile(rf"[{_UNSEEN}]", regex.V1)
STRAIGHT = str.maketrans(dict.fromkeys(_APOSTROPHES, "'"))


def words(text: str) -> list[str]:
    """Words in lower case, without punctuation.

    Two ways to write one word are one: canonical equivalents are composed (Unicode's NFC), apostrophes are straight,
    and characters that are not seen are left out. As in Unicode's rules for word boundaries (UAX 29), a Chinese
    character is a word, and so is a Hiragana one; Katakana in a row are one word. Texts in scripts whose words only a
    dictionary can tell (Thai, Lao, Khmer, Burmese) are parted at spaces and zero width spaces only: segment them first.
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return [word for word, _, _ in located_words(text)]


def located_words(text: str) -> list[tuple[str, int, int]]:
    """Each word of `words`, with the start and the end of its characters in the text as given."""
    return [(_normal(match[0]), *match.span()) for match in _WORD.finditer(text)]


def _normal(word: str) -> str:
    return unicodedata.normalize("NFC", _NOT_SEEN.sub("", word).translate(STRAIGHT).lower())


def word_overlap(first: str, second: str) -> float:
    """Share of the second text's words (with repeats) that occur in the first, 0 to 1; 0 if it has none."""
    known, asked = set(words(first)), words(second)
    return sum(word in known for word in asked) / len(asked) if asked else 0.0


def overlap_mix(in_domain: Examples, challenge: Examples, per_cell: int = 500, seed: int = 0) -> Examples:
    """Examples in which overlap says nothing of the label: equal numbers of each label in each of three strata.

    The strata are in-domain pairs below and from their median overlap, and challenge pairs (HANS, PAWS), whose overlap
    is high by construction. `per_cell` is an upper limit; the smallest cell sets the number. Overlap still goes with
    the domain, since a challenge set has no pairs of low overlap: a probe's control tasks, not this split, answer for
    that. Both parts must have labels over the same groups.
    """
    if in_domain.label is None or challenge.label is None or in_domain.groups != challenge.groups:
        raise DataError(
            f"The two parts have labels over different groups ({in_domain.groups}, {challenge.groups}) or none; "
            "expected the same. Map one part's labels first (regroup)."
        )
    overlap = np.array([word_overlap(a, b) for a, b in zip(in_domain.first, in_domain.second or (), strict=True)])
    high = overlap >= np.median(overlap)
    labels = np.array(in_domain.label)
    rng = np.random.default_rng(seed)
    cells: list[tuple[Examples, np.ndarray]] = []
    for label in sorted(set(in_domain.label) | set(challenge.label)):
        cells += [(in_domain, np.flatnonzero((labels == label) & (high == part))) for part in (False, True)]
        cells.append((challenge, np.flatnonzero(np.array(challenge.label) == label)))
    size = min(per_cell, *(len(rows) for _, rows in cells))
    if size == 0:
        raise DataError(
            "A label or a level of overlap does not occur, so no balanced split can be made; expected every label "
            "among in-domain pairs of low and of high overlap, and among the challenge pairs. Add examples of those."
        )
    drawn = [part.rows(np.sort(rng.choice(rows, size=size, replace=False))) for part, rows in cells]
    return concatenate(drawn)


def concatenate(parts: list[Examples]) -> Examples:
    """Examples one after the other; groups and classes are those of the first, which all must share."""

    def joined(name: str) -> tuple | None:
        values = [getattr(part, name) for part in parts]
        return None if any(v is None for v in values) else tuple(item for value in values for item in value)

    if len({(part.groups, part.classes) for part in parts}) != 1:
        raise DataError("Examples with different groups or classes cannot be joined; map their labels first (regroup).")
    fields = {name: joined(name) for name in ("first", "second", "label", "id", "source")}
    return replace(parts[0], **fields)


def regroup(examples: Examples, groups: tuple[tuple[int, ...], ...]) -> Examples:
    """Relabel examples whose labels are classes, one group each, by coarser groups of the same classes."""
    place = {c: number for number, group in enumerate(groups) for c in group}
    fine = examples.groups
    if examples.label is None or (fine is not None and any(len(group) != 1 for group in fine)):
        raise DataError(
            "Only examples labelled by single classes can be regrouped; these have coarser groups or no labels."
        )
    label = [place[label if fine is None else fine[label][0]] for label in examples.label]
    return replace(examples, label=tuple(label), groups=groups)
