"""`Examples`: labelled texts, not yet tokenized."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hc_interp.data.answers import as_words, check_words
from hc_interp.data.label_groups import LabelGroups, as_groups
from hc_interp.data.labels import label_numbers
from hc_interp.data.row_indices import row_indices
from hc_interp.data.spans import as_spans, span_rows
from hc_interp.data.units import UnitLevels, as_unit_levels, unit_rows
from hc_interp.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 5  # rows in a notebook


@dataclass(frozen=True, eq=False)
class Examples:
    """Texts (`first`, and `second` for pairs of texts) with one label each. Sequences are stored as tuples.

    `label` indexes `groups`, a partition of the class indices (None: every class is its own group). Names of `classes`
    are taken as well, and stored as these numbers. `classes` names the classes that `groups` indexes: a model's classes
    are found by name, in whatever order the model has them (None: the order of the model's classes). `id` names each
    example (default: its number). `source` is the premise or template
    that an example came from (default: `first`): no split separates examples of one source, and the bootstrap resamples
    sources. `units` names what rows share besides their source: `{"verb": [["saw"], ["saw", "met"], ...]}` gives the
    levels of each row, and intervals take rows with a common level as dependent. `n_labels` is the number of labels in
    the whole data set, where neither groups nor classes give it; a `Task` counts it over all its splits.

    `answer` and `foil` say what is right for a language model that is read over its whole vocabulary: one word for each
    row, or a tuple of words, as the text goes on with them (" Mary", with its space). Each must be one token of the
    model where it stands, which is checked when the examples are encoded.

    `spans` says which characters of a row play a role, so that a component can stand there alone,
    `Head(2, 9).at("subject")`: `{"subject": [(4, 9), ...]}` gives one span `(start, end)` for each row. Rows of two
    texts say which text it is in: `(4, 9, "first")` or `(4, 9, "second")`. A row may have several spans of a role, as a
    list, or None. The tokenizer's offsets find the tokens (`hc_interp.data.roles`, which lists the roles that need no
    spans).

    Raises `DataError` for entries that are not text, labels that are neither whole numbers nor names of classes,
    columns of unequal length, and for one of `answer` and `foil` without the other. Raises `LabelError` for names that
    are not among `classes`.
    """

    first: Sequence[str]
    second: Sequence[str] | None = None
    label: Sequence[Any] | None = None  # stored as whole numbers
    id: Sequence[str] = None  # pyright: ignore[reportAssignmentType] - set in __post_init__
    source: Sequence[str] = None  # pyright: ignore[reportAssignmentType] - set in __post_init__
    groups: LabelGroups | None = None
    classes: Sequence[str] | None = None
    n_labels: int | None = None
    units: UnitLevels | None = None
    # None without; `Any` spares users, who know their examples, a check at each use.
    answer: Sequence[str | Sequence[str]] | Any = None
    foil: Sequence[str | Sequence[str]] | Any = None
    spans: Mapping[str, Sequence[Any]] | None = None

    def __post_init__(self) -> None:
        def freeze(name: str, kind: Callable[[Any], Any]) -> None:
            value = getattr(self, name)
            if value is None:
                return
            value = tuple(kind(item) for item in value)
            if len(value) != len(self.first):
                raise DataError(
                    f"Examples.{name} has {len(value)} entries, first has {len(self.first)}; give one for each example."
                )
            object.__setattr__(self, name, value)

        for name in ("first", "second"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise DataError(f"Examples.{name} is the one text {value[:40]!r}; expected a list of texts: [{name}].")
            object.__setattr__(self, name, None if value is None else tuple(value))
        for text in (*self.first, *(self.second or ())):
            if not isinstance(text, str):
                raise DataError(f"Examples holds {text!r} where a text was expected; drop rows without text first.")
        freeze("first", str)  # a NumPy string has another repr than a str, and fingerprints are made of reprs
        freeze("second", str)
        object.__setattr__(self, "groups", as_groups(self.groups))
        object.__setattr__(self, "classes", None if self.classes is None else tuple(map(str, self.classes)))
        if self.label is not None:
            numbers = label_numbers(self.label, self.classes, self.groups, "Examples.label")
            object.__setattr__(self, "label", numbers)
        freeze("label", int)
        if self.id is None:
            object.__setattr__(self, "id", tuple(f"{i}" for i in range(len(self.first))))
        freeze("id", str)
        if self.source is None:
            object.__setattr__(self, "source", self.first)
        freeze("source", str)
        object.__setattr__(self, "units", as_unit_levels(self.units, len(self.first)))
        answer, foil = (as_words(getattr(self, name), len(self.first), name) for name in ("answer", "foil"))
        check_words(answer, foil)
        object.__setattr__(self, "answer", answer)
        object.__setattr__(self, "foil", foil)
        object.__setattr__(self, "spans", as_spans(self.spans, self.first, self.second))

    def __len__(self) -> int:
        return len(self.first)

    def __repr__(self) -> str:
        return f"Examples({len(self)}{' pairs' if self.second else ''}, {len(set(self.source))} sources)"

    def _repr_html_(self) -> str:
        """The first rows."""
        shown = self.rows(slice(_SHOWN)).to_frame().to_html(index=False)
        return f"<p><b>{self!r}</b></p>{shown}"

    def rows(self, index: slice | Sequence[int] | np.ndarray) -> Self:
        """The examples of the row numbers in `index`, `[row]`, in this order; a boolean mask selects its rows."""
        indices = row_indices(index, len(self))
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("first", "second", "label", "id", "source", "answer", "foil"):
            if values[name] is not None:
                values[name] = tuple(values[name][i] for i in indices)
        values["units"] = unit_rows(self.units, indices)
        values["spans"] = span_rows(self.spans, indices)  # pyright: ignore[reportArgumentType] - as they are stored
        return type(self)(**values)

    __getitem__ = rows

    def sample(self, n: int, seed: int = 0) -> Self:
        """At most `n` examples, drawn by `seed` without replacement, in their original order.

        Raises `DataError` for a negative number.
        """
        if n < 0:
            raise DataError(f"A sample of {n} examples was asked for; expected 0 or more.")
        if n >= len(self):
            return self
        chosen = np.random.default_rng(seed).choice(len(self), size=n, replace=False)
        return self.rows(np.sort(chosen))

    def to_frame(self) -> "pd.DataFrame":
        """A row for each example: the columns id, first, second, label, source, answer, foil (where there are any)."""
        import pandas as pd  # slow to import, and the grammar does not need it

        names = ("id", "first", "second", "label", "source", "answer", "foil")
        columns = {name: getattr(self, name) for name in names}
        return pd.DataFrame({name: value for name, value in columns.items() if value is not None})

    def fingerprint(self) -> str:
        """The first 16 hex digits of SHA-256 over texts, labels, groups, classes, answers, foils, spans.

        Results name their data by it.
        """
        digest = hashlib.sha256(repr((self.groups, self.classes)).encode())
        for i in range(len(self)):
            row = (self.first[i], self.second and self.second[i], self.label and self.label[i])
            digest.update(repr(row).encode())
        if self.answer is not None:
            digest.update(repr((self.answer, self.foil)).encode())
        if self.spans is not None:
            digest.update(repr(self.spans).encode())
        return digest.hexdigest()[:16]
