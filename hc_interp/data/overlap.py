"""Words of a text, word overlap (the shallow feature of the package), and the split of examples that probes use."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import regex

from hc_interp.data.examples import Examples, LabelGroups
from hc_interp.data.spans import joined_spans
from hc_interp.data.units import Levels, stacked, with_source
from hc_interp.errors import DataError

# Characters that are not displayed: soft hyphens, joiners, variation selectors. The zero width space is not among them:
# it separates words.
_INVISIBLE = r"\p{Default_Ignorable_Code_Point}--\u200b"
_MARK = rf"[\p{{M}}[{_INVISIBLE}]]"
_LETTER = rf"[[\w\p{{N}}]--{_MARK}--[\p{{Han}}\p{{Hiragana}}\u02bc]]"
_RUN = rf"{_LETTER}(?:{_LETTER}|{_MARK})*+"
_APOSTROPHES = "'\u2019\u2018\u02bc\uff07\u00b4"
_WORD = regex.compile(
    rf"{_RUN}(?:[{_APOSTROPHES}]{_RUN})?|\p{{Han}}{_MARK}*+|\p{{Hiragana}}(?:{_MARK}|\u30fc)*+", regex.V1
)
_ASCII_WORD = re.compile(r"\w+(?:'\w+)?", re.ASCII)  # equals `_WORD` on ASCII texts, and is several times as fast
_INVISIBLE_CHARACTER = regex.compile(rf"[{_INVISIBLE}]", regex.V1)
STRAIGHT = str.maketrans(dict.fromkeys(_APOSTROPHES, "'"))


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    Different spellings of one word in Unicode give the same word: canonical equivalents are composed (NFC), apostrophes
    become straight, and invisible characters are removed. As in Unicode's rules for word boundaries (UAX 29), each
    Chinese and each Hiragana character is a word, and a run of Katakana is one word. Texts in scripts that do not mark
    words (Thai, Lao, Khmer, Burmese) are split at spaces and zero width spaces only: segment such texts first.
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return [word for word, _, _ in located_words(text)]


def located_words(text: str) -> list[tuple[str, int, int]]:
    """Each word of `words`, with the start and the end of its characters in the unchanged text."""
    return [(_normal(match[0]), *match.span()) for match in _WORD.finditer(text)]


def _normal(word: str) -> str:
    return unicodedata.normalize("NFC", _INVISIBLE_CHARACTER.sub("", word).translate(STRAIGHT).lower())


def word_overlap(first: str, second: str) -> float:
    """The share, 0 to 1, of the second text's words (with repeats) that occur in the first; 0 without any words."""
    premise, hypothesis = set(words(first)), words(second)
    return sum(word in premise for word in hypothesis) / len(hypothesis) if hypothesis else 0.0


def overlap_mix(in_domain: Examples, challenge: Examples, per_cell: int = 500, seed: int = 0) -> Examples:
    """Examples in which word overlap does not predict the label: equally many of each label in each of three strata.

    The strata are in-domain pairs below their median overlap, in-domain pairs from the median up, and challenge pairs
    (HANS, PAWS), whose overlap is high by construction. A cell is one label in one stratum; the smallest cell, or
    `per_cell` if that is less, sets the size of all cells. Overlap still predicts the domain, since a challenge set has
    no pairs of low overlap; the control tasks of a probe account for this, not this split. Raises `DataError` for
    missing labels, labels over different groups, and an empty cell.
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


def concatenate(parts: Sequence[Examples]) -> Examples:
    """All examples in one; groups and classes are those of the first. Raises `DataError` if parts differ in these."""

    def joined(name: str) -> tuple | None:
        values = [getattr(part, name) for part in parts]
        return None if any(v is None for v in values) else tuple(item for value in values for item in value)

    if len({(part.groups, part.classes) for part in parts}) != 1:
        raise DataError("Examples with different groups or classes cannot be joined; map their labels first (regroup).")
    fields = {name: joined(name) for name in ("first", "second", "label", "id", "source", "answer", "foil")}
    spans = joined_spans([(part.spans, len(part)) for part in parts])  # pyright: ignore[reportArgumentType]
    return replace(parts[0], **fields, units=_joined_units(parts), spans=spans)


def _joined_units(parts: Sequence[Examples]) -> dict[str, Levels] | None:
    """The units of all rows; a row has no levels of a unit that its part does not name."""
    units = stacked(*(with_source(part.source, part.units) for part in parts))
    del units["source"]
    return units or None


def regroup(examples: Examples, groups: LabelGroups) -> Examples:
    """Relabel examples, each of whose labels is one class, by coarser `groups` of the same classes.

    Raises `DataError` for examples without labels, or whose own groups hold several classes.
    """
    group_of = {c: number for number, group in enumerate(groups) for c in group}
    fine = examples.groups
    if examples.label is None or (fine is not None and any(len(group) != 1 for group in fine)):
        raise DataError(
            "Only examples labelled by single classes can be regrouped; these have coarser groups or no labels."
        )
    label = [group_of[label if fine is None else fine[label][0]] for label in examples.label]
    return replace(examples, label=tuple(label), groups=groups)
