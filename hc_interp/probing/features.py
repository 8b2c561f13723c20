"""Lexical features that a probe may look for: of each word of the second text, or of a pair of texts.

A feature is a rule on two lists of words; `lexical.py` holds the package's own. `feature_values` applies it to examples
and says at which token of each a probe should read: `word_places.py` finds the tokens that stand for words.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hc_interp.data.examples import Examples
from hc_interp.data.overlap import words
from hc_interp.errors import DataError
from hc_interp.models.hooked import HookedModel
from hc_interp.models.word_tokens import word_positions
from hc_interp.probing.classes import target_of
from hc_interp.probing.encoded_words import Encoded, tokens_of
from hc_interp.probing.lexical import (
    Words,
    constituent,
    match_position,
    negation,
    order_violation,
    overlap_share,
    subsequence,
    token_overlap,
)
from hc_interp.records.result import Result

Level = Literal["token", "pair"]
Kind = Literal["binary", "real"]
LEVELS: tuple[Level, ...] = ("token", "pair")
KINDS: tuple[Kind, ...] = ("binary", "real")

__all__ = [  # `hc.features`
    "FEATURES",
    "Feature",
    "FeatureValues",
    "constituent",
    "feature_values",
    "match_position",
    "named_feature",
    "negation",
    "order_violation",
    "overlap_share",
    "subsequence",
    "token_overlap",
]


@dataclass(frozen=True)
class Feature:
    """A rule `fn(first words, second words)`.

    `level="token"`: `fn` gives one value for each word of the second text; `"pair"`: one value. `kind="binary"`: values
    are 0 or 1; `"real"`: any number. NaN says that the feature is not defined there, and nothing is read there.
    """

    name: str
    level: Level
    kind: Kind
    fn: Callable[[Words, Words], Sequence[float] | float]
    doc: str = ""

    def __post_init__(self) -> None:
        if self.level not in LEVELS or self.kind not in KINDS:
            raise DataError(
                f"Feature {self.name!r} was given level={self.level!r} and kind={self.kind!r}; expected a level of "
                f"{LEVELS} and a kind of {KINDS}. Correct them."
            )


def _entry(level: Level, kind: Kind, fn: Callable[[Words, Words], Sequence[float] | float]) -> tuple[str, Feature]:
    name = fn.__name__
    return name, Feature(name, level, kind, fn, (fn.__doc__ or "").strip())


FEATURES: dict[str, Feature] = dict(
    (
        _entry("token", "binary", token_overlap),
        _entry("token", "real", match_position),
        _entry("pair", "real", overlap_share),
        _entry("pair", "binary", subsequence),
        _entry("pair", "binary", order_violation),
        _entry("pair", "binary", negation),
    )
)


def named_feature(name: str) -> Feature:
    """A feature of the registry. Raises `DataError` with the nearest names."""
    if name in FEATURES:
        return FEATURES[name]
    near = difflib.get_close_matches(name, FEATURES, n=2, cutoff=0.4)
    raise DataError(
        f"There is no feature {name!r}; {'did you mean' if near else 'the features are'} "
        f"{', '.join(map(repr, near or FEATURES))}. All are in "
        "hc.features.FEATURES; pass an hc.features.Feature or an array."
    )


@dataclass(frozen=True, eq=False)
class FeatureValues(Result):
    """A feature at every place where it is defined: `value[i]` belongs to token `position[i]` of example `row[i]`.

    `word[i]` is what stands there: the word (of a pair-level feature the second text's last word; of a feature given as
    an array of token values, and of data that is encoded, the token's number). Control tasks give labels to words.
    `classes` names the classes 0 and 1 of values of the user's own.
    """

    name: str
    level: Level
    kind: Kind
    row: Int[np.ndarray, " place"]
    position: Int[np.ndarray, " place"]
    value: Float[np.ndarray, " place"]
    word: tuple[str, ...]
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.value)

    def rows(self, index: Int[np.ndarray, " n"]) -> "FeatureValues":
        """The places with these numbers, in this order."""
        word = tuple(self.word[i] for i in index)
        picked = self.row[index], self.position[index], self.value[index], word
        return FeatureValues(self.name, self.level, self.kind, *picked, self.classes)

    def to_frame(self) -> pd.DataFrame:
        """A row per place: row, position, word, value."""
        return pd.DataFrame({name: getattr(self, name) for name in ("row", "position", "word", "value")})

    @property
    def target(self) -> str:
        """What a probe predicts here, in words: numbers, or which classes."""
        if self.kind == "real":
            return "numbers"
        low, high = self.classes or ("0", "1")
        return f"class {high} against {low}"

    def __repr__(self) -> str:
        size = f"{len(self)} places in {len(np.unique(self.row))} examples"
        return f"FeatureValues({self.name}, {self.kind}: {self.target}, {size})"


def feature_values(model: HookedModel, examples: Examples | Encoded, feature: "str | Feature | Any") -> FeatureValues:
    """The values of a feature on examples and the tokens to read them at.

    `feature` is a name of `FEATURES`, a `Feature`, or values of your own: one per example (pair level), or per example
    one for each of its tokens, special tokens included (token level; a padded `[example, pos]` array will do). Of your
    own values integers, booleans, text and pandas' categories are two classes (binary), floats are numbers (real),
    unless all of them are 0 or 1, or -1 or +1. NaN and None are left out. Pair-level features are read at position 0,
    [CLS] (in a causal model at the last token). Raises `DataError` for an unknown name, for values that do not fit and
    for more than two classes.
    """
    if isinstance(feature, str):
        feature = named_feature(feature)
    if isinstance(feature, Feature):
        found = _from_rule(model, examples, feature)
    else:
        found = _from_array(model, examples, feature)
    found = found.rows(np.flatnonzero(~np.isnan(found.value)))
    if np.isinf(found.value).any() or (found.kind == "binary" and not np.isin(found.value, (0, 1)).all()):
        strange = next(v for v in found.value if np.isinf(v) or v not in (0, 1))
        raise DataError(
            f"The {found.kind} feature {found.name!r} has the value {strange}; expected "
            f"{'0 or 1' if found.kind == 'binary' else 'finite numbers'}, or NaN where it is not defined."
        )
    if len(found) == 0:
        raise DataError(
            f"The feature {found.name!r} is defined nowhere on {examples!r}; expected some value that is not NaN."
        )
    return found


def _from_rule(model: HookedModel, examples: Examples | Encoded, feature: Feature) -> FeatureValues:
    if isinstance(examples, Encoded):
        raise DataError(
            f"The feature {feature.name!r} is a rule on words, and {examples!r} hold tokens only. Give the texts as "
            "Examples, or pass the feature's values as an array."
        )
    if examples.second is None:
        raise DataError(
            f"The feature {feature.name!r} compares two texts and {examples!r} holds single ones. Give Examples a "
            "second text, or pass the feature's values as an array."
        )
    pairs = [(words(a), words(b)) for a, b in zip(examples.first, examples.second, strict=True)]
    given = [feature.fn(first, second) for first, second in pairs]
    if feature.level == "pair":
        if any(np.ndim(value) for value in given):
            raise DataError(
                f"The pair-level feature {feature.name!r} gave a {type(given[0]).__name__} for an example; expected "
                "one number. Return a number, or make it level='token' with one for each word of the second text."
            )
        return _at_summary(model, examples, feature.name, feature.kind, np.array(given, dtype=float))
    rows, positions, values, found_words = [], [], [], []
    for row, (places, (_, second), value) in enumerate(zip(word_positions(model, examples), pairs, given, strict=True)):
        value = np.asarray(value, dtype=float)
        if value.shape != (len(second),):
            raise DataError(
                f"The feature {feature.name!r} gave values of shape {value.shape} for the {len(second)} words of "
                f"example {examples.id[row]!r}; expected one for each word of the second text."
            )
        seen = [i for i, place in enumerate(places) if place is not None]
        rows += [row] * len(seen)
        positions += [places[i] for i in seen]
        values += [value[i] for i in seen]
        found_words += [second[i] for i in seen]
    columns = np.array(rows, dtype=int), np.array(positions, dtype=int), np.array(values, dtype=float)
    return FeatureValues(feature.name, "token", feature.kind, *columns, tuple(found_words))


def _from_array(model: HookedModel, examples: Examples | Encoded, given: Any) -> FeatureValues:
    """Values of the user's own; the level is read from their shape, the kind from their type."""
    try:
        rows = [_column(row) for row in given]
    except (TypeError, ValueError) as error:
        raise DataError(
            f"A feature was given as {type(given).__name__}, which cannot be read as numbers or classes ({error}). "
            "Pass a name of hc.features.FEATURES, a Feature, one value per example or one row of values per example."
        ) from error
    if len(rows) != len(examples) or any(row.ndim != rows[0].ndim or row.ndim > 1 for row in rows):
        raise DataError(
            f"A feature of {len(rows)} entries was given for {len(examples)} examples. Expected one value per "
            "example, or one row per example with a value for each token; compute it on the same examples."
        )
    categories = getattr(getattr(given, "dtype", None), "categories", None)
    value, classes = target_of([item for row in rows for item in row.ravel()], categories)
    kind: Kind = "binary" if classes else "real"
    if rows[0].ndim == 0:
        return _at_summary(model, examples, "custom", kind, value, classes)
    tokens = [row["input_ids"] for row in tokens_of(model, examples)]
    padded = len({len(row) for row in rows}) == 1
    for place, (row, ids) in enumerate(zip(rows, tokens, strict=True)):
        if len(row) != len(ids) and not (padded and len(row) > len(ids)):
            raise DataError(
                f"A feature has {len(row)} values for example {examples.id[place]!r}, which has "
                f"{len(ids)} tokens. Give one for each token, [CLS] and [SEP] included, NaN where it is not defined."
            )
    lengths = [len(ids) for ids in tokens]
    row = np.repeat(np.arange(len(examples)), lengths)
    position = np.concatenate([np.arange(n) for n in lengths])
    by_row = np.split(value, np.cumsum([len(row) for row in rows])[:-1])
    value = np.concatenate([v[:n] for v, n in zip(by_row, lengths, strict=True)])
    word = tuple(str(int(i)) for ids in tokens for i in ids)
    return FeatureValues("custom", "token", kind, row, position, value, word, classes)


def _column(row: Any) -> np.ndarray:
    """One example's value or values, each as it was given: in a list, 1 beside None or NaN stays an integer."""
    return np.array(row if isinstance(row, list | tuple) else np.asarray(row), dtype=object)


def _at_summary(
    model: HookedModel,
    examples: Examples | Encoded,
    name: str,
    kind: Kind,
    value: np.ndarray,
    classes: tuple[str, ...] = (),
) -> FeatureValues:
    """A pair-level feature, read where the model sums its input up."""
    position = np.zeros(len(examples), dtype=int)
    if model.geometry.family.causal:
        position = np.array([len(row["input_ids"]) - 1 for row in tokens_of(model, examples)])
    if isinstance(examples, Encoded):
        last = tuple(str(int(row["input_ids"][-1])) for row in examples.tokens)
    else:
        last = tuple((words(text) or [""])[-1] for text in (examples.second or examples.first))
    return FeatureValues(name, "pair", kind, np.arange(len(examples)), position, value, last, classes)
