"""Features that a probe can be fitted to, with one value for each word of the second text or for each pair of texts.

A feature is a rule on the words of two texts; `lexical.py` holds the package's own rules. `feature_values` applies a
rule to examples and chooses the token at which a probe reads each value; `models/word_tokens.py` finds a word's token.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from torch import Tensor

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
FeatureKind = Literal["binary", "real"]
LEVELS: tuple[Level, ...] = ("token", "pair")
FEATURE_KINDS: tuple[FeatureKind, ...] = ("binary", "real")

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
    """A rule `fn(first words, second words)` that gives the values of a feature.

    `level="token"`: one value for each word of the second text. `"pair"`: one value. `kind="binary"`: values are 0 or
    1. `"real"`: values are numbers. NaN: the feature is not defined there, and no probe reads there.
    """

    name: str
    level: Level
    kind: FeatureKind
    fn: Callable[[Words, Words], Sequence[float] | float]
    doc: str = ""

    def __post_init__(self) -> None:
        if self.level not in LEVELS or self.kind not in FEATURE_KINDS:
            raise DataError(
                f"Feature {self.name!r} was given level={self.level!r} and kind={self.kind!r}; expected a level of "
                f"{LEVELS} and a kind of {FEATURE_KINDS}. Correct them."
            )


def _entry(
    level: Level, kind: FeatureKind, fn: Callable[[Words, Words], Sequence[float] | float]
) -> tuple[str, Feature]:
    name = fn.__name__
    return name, Feature(name, level, kind, fn, (fn.__doc__ or "").strip())


# The values of a user's own feature: one for each example, or one sequence of values for each example.
FeatureArray = Sequence[Any] | np.ndarray | pd.Series | pd.Categorical | Tensor
FeatureInput = str | Feature | FeatureArray

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
    """The feature of this name in `FEATURES`. Raises `DataError` with similar names if there is none."""
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
    """A feature at each place where it is defined: `value[i]` belongs to token `position[i]` of example `row[i]`.

    `word[i]` is the word there, to which control tasks give a label. Of a pair-level feature it is the last word of the
    second text; of token values given as an array, and of encoded data, the token's number. `classes` are the names of
    the classes 0 and 1 of a user's own values.
    """

    name: str
    level: Level
    kind: FeatureKind
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
        """What a probe of these values predicts, in words: "numbers", or the two classes."""
        if self.kind == "real":
            return "numbers"
        low, high = self.classes or ("0", "1")
        return f"class {high} against {low}"

    def __repr__(self) -> str:
        size = f"{len(self)} places in {len(np.unique(self.row))} examples"
        return f"FeatureValues({self.name}, {self.kind}: {self.target}, {size})"


def feature_values(model: HookedModel, examples: Examples | Encoded, feature: FeatureInput) -> FeatureValues:
    """The values of a feature on examples, and the token at which a probe reads each of them.

    `feature` is a name of `FEATURES`, a `Feature`, or your own values. Own values are one per example (pair level), or
    for each example one per token, special tokens included (token level; a padded `[example, pos]` array will do). Own
    integers, booleans, text and pandas' categories are two classes (binary). Own floats are numbers (real), unless all
    of them are 0 or 1, or all are -1 or +1. NaN and None are left out. A token-level value is read at its own token, a
    pair-level value at position 0, [CLS] (in a causal model at the last token). Raises `DataError` for an unknown name,
    for values that do not fit the examples, and for more than two classes.
    """
    if isinstance(feature, str):
        feature = named_feature(feature)
    if isinstance(feature, Feature):
        values = _from_rule(model, examples, feature)
    else:
        values = _from_array(model, examples, feature)
    values = values.rows(np.flatnonzero(~np.isnan(values.value)))
    if np.isinf(values.value).any() or (values.kind == "binary" and not np.isin(values.value, (0, 1)).all()):
        strange = next(v for v in values.value if np.isinf(v) or v not in (0, 1))
        raise DataError(
            f"The {values.kind} feature {values.name!r} has the value {strange}; expected "
            f"{'0 or 1' if values.kind == 'binary' else 'finite numbers'}, or NaN where it is not defined."
        )
    if len(values) == 0:
        raise DataError(
            f"The feature {values.name!r} is defined nowhere on {examples!r}; expected some value that is not NaN."
        )
    return values


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
    by_pair = [feature.fn(first, second) for first, second in pairs]
    if feature.level == "pair":
        if any(np.ndim(value) for value in by_pair):
            raise DataError(
                f"The pair-level feature {feature.name!r} gave a {type(by_pair[0]).__name__} for an example; expected "
                "one number. Return a number, or make it level='token' with one for each word of the second text."
            )
        return _at_summary(model, examples, feature.name, feature.kind, np.array(by_pair, dtype=float))
    rows, positions, values, read_words = [], [], [], []
    tokens = word_positions(model, examples)
    for row, (position, (_, second), value) in enumerate(zip(tokens, pairs, by_pair, strict=True)):
        value = np.asarray(value, dtype=float)
        if value.shape != (len(second),):
            raise DataError(
                f"The feature {feature.name!r} gave values of shape {value.shape} for the {len(second)} words of "
                f"example {examples.id[row]!r}; expected one for each word of the second text."
            )
        kept = [i for i, token in enumerate(position) if token is not None]  # None: the tokenizer dropped the word
        rows += [row] * len(kept)
        positions += [position[i] for i in kept]
        values += [value[i] for i in kept]
        read_words += [second[i] for i in kept]
    columns = np.array(rows, dtype=int), np.array(positions, dtype=int), np.array(values, dtype=float)
    return FeatureValues(feature.name, "token", feature.kind, *columns, tuple(read_words))


def _from_array(model: HookedModel, examples: Examples | Encoded, array: FeatureArray) -> FeatureValues:
    """A user's own values. Their shape tells the level, their type the kind."""
    try:
        rows = [_column(row) for row in array]
    except (TypeError, ValueError) as error:
        raise DataError(
            f"A feature was given as {type(array).__name__}, which cannot be read as numbers or classes ({error}). "
            "Pass a name of hc.features.FEATURES, a Feature, one value per example or one row of values per example."
        ) from error
    if len(rows) != len(examples) or any(row.ndim != rows[0].ndim or row.ndim > 1 for row in rows):
        raise DataError(
            f"A feature of {len(rows)} entries was given for {len(examples)} examples. Expected one value per "
            "example, or one row per example with a value for each token; compute it on the same examples."
        )
    categories = getattr(getattr(array, "dtype", None), "categories", None)
    value, classes = target_of([item for row in rows for item in row.ravel()], categories)
    kind: FeatureKind = "binary" if classes else "real"
    if rows[0].ndim == 0:
        return _at_summary(model, examples, "custom", kind, value, classes)
    tokens = [row["input_ids"] for row in tokens_of(model, examples)]
    padded = len({len(row) for row in rows}) == 1
    for name, row, ids in zip(examples.id, rows, tokens, strict=True):
        if len(row) != len(ids) and not (padded and len(row) > len(ids)):
            raise DataError(
                f"A feature has {len(row)} values for example {name!r}, which has "
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
    """One example's value or values, each with its own type: in a list, 1 beside None or NaN stays an integer."""
    return np.array(row if isinstance(row, list | tuple) else np.asarray(row), dtype=object)


def _at_summary(
    model: HookedModel,
    examples: Examples | Encoded,
    name: str,
    kind: FeatureKind,
    value: np.ndarray,
    classes: tuple[str, ...] = (),
) -> FeatureValues:
    """A pair-level feature, read at position 0 ([CLS]), in a causal model at the last token."""
    position = np.zeros(len(examples), dtype=int)
    if model.geometry.family.causal:
        position = np.array([len(row["input_ids"]) - 1 for row in tokens_of(model, examples)])
    if isinstance(examples, Encoded):
        last = tuple(str(int(row["input_ids"][-1])) for row in examples.tokens)
    else:
        last = tuple((words(text) or [""])[-1] for text in (examples.second or examples.first))
    return FeatureValues(name, "pair", kind, np.arange(len(examples)), position, value, last, classes)
