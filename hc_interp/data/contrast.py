"""`ContrastPairs`: two versions of each example, of the same layout, usually with different gold labels."""

import hashlib
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd
import torch

from hc_interp.data.batch import Batch
from hc_interp.data.encode import TokenizingModel
from hc_interp.data.examples import Examples, LabelGroups, as_groups
from hc_interp.data.labels import check_labels, label_numbers
from hc_interp.data.layout import aligned_rows, check_masks
from hc_interp.data.row_indices import row_indices
from hc_interp.data.units import Levels, UnitLevels, as_unit_levels, joined_sides, unit_rows, with_source
from hc_interp.errors import DataError, LabelError

SPLIT_KEY = "hc_interp select/test"  # hashed with each source, to choose its split


@dataclass(frozen=True, eq=False)
class ContrastPairs:
    """Pairs (clean, corrupt) of two `Examples` or of two `Batch`es: row i of both sides is one pair.

    `gold` is the label of the clean side, a number or the name of a class; runs on either side are scored by it. It is
    None where the sides have answers and foils instead of labels; both sides are then scored by those of the clean
    side. `groups` and `classes` mean what they mean for `Examples`, and default to those of the clean side. `kind` says
    how the sides differ ("order", "overlap", or a name of your own). `split` says which part of the pairs these are
    ("select", "test", None: all).
    `ids` name the pairs (default: the ids of the clean side). The two sides may be identical: such a pair has effect 0.
    `units` names what pairs share besides their source, as in `Examples` (default: the units of both sides). `splits`
    says for each pair whether it is for "select" or "test" (default: a hash of its source says it).

    A pair is aligned if a position means the same place in the sentence on both sides. This depends on the tokenizer
    and is checked when the pairs are encoded. `unaligned` says what then happens to an unaligned pair: "error" (the
    default), or "drop" (the pairs that a task makes). `pairs.aligned(model)` gives the aligned pairs; their `.dropped`
    is the number of unaligned ones (None: not yet checked).

    Raises `DataError` for sides of different types or sizes and for pairs with neither gold nor answers, `LabelError`
    for gold labels that contradict the clean side, `AlignmentError` for two batches of different shape or mask.
    """

    clean: Examples | Batch
    corrupt: Examples | Batch
    gold: Sequence[Any] | None = None  # stored as whole numbers
    groups: LabelGroups | None = None
    kind: str | None = None
    split: str | None = None
    ids: Sequence[str] | None = None
    classes: Sequence[str] | None = None
    unaligned: Literal["error", "drop"] = "error"
    dropped: int | None = None
    units: UnitLevels | None = None
    splits: Sequence[str] | None = None

    def __post_init__(self) -> None:
        kinds = {type(self.clean), type(self.corrupt)}
        if len(kinds) != 1 or not kinds <= {Examples, Batch}:
            raise DataError(
                f"ContrastPairs got a {type(self.clean).__name__} and a {type(self.corrupt).__name__}; expected two "
                "Examples or two Batch objects. Give both sides in the same form."
            )
        groups = self.groups
        if groups is None and isinstance(self.clean, Examples):
            groups = self.clean.groups
        object.__setattr__(self, "groups", as_groups(groups))
        if self.gold is not None:
            names = self.classes if self.classes is not None else getattr(self.clean, "classes", None)
            object.__setattr__(self, "gold", label_numbers(self.gold, names, self.groups, "ContrastPairs.gold"))
        ids = self.ids if self.ids is not None else getattr(self.clean, "id", getattr(self.clean, "ids", None))
        ids = tuple(map(str, ids)) if ids is not None else tuple(map(str, range(len(self.clean))))
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "classes", None if self.classes is None else tuple(self.classes))
        object.__setattr__(self, "splits", None if self.splits is None else tuple(map(str, self.splits)))
        self._check_sides()
        units = self.units if self.units is not None else joined_sides(*(getattr(s, "units", None) for s in self.sides))
        object.__setattr__(self, "units", as_unit_levels(units, len(self)))
        check_labels(self.gold or (), self.groups, "ContrastPairs.gold", ids)
        self._check_gold()
        if isinstance(self.clean, Batch) and isinstance(self.corrupt, Batch):
            check_masks(self.clean, self.corrupt, ids)
        elif isinstance(self.clean, Examples) and isinstance(self.corrupt, Examples):
            self._share_classes(self.clean, self.corrupt)

    def _check_sides(self) -> None:
        sizes = {"clean": len(self.clean), "corrupt": len(self.corrupt), "ids": len(self.ids or ())}
        sizes |= {name: len(part) for name in ("gold", "splits") if (part := getattr(self, name)) is not None}
        if others := set(self.splits or ()) - {"select", "test"}:
            raise DataError(f"ContrastPairs.splits holds {min(others)!r}; expected 'select' or 'test' for each pair.")
        if self.gold is None and self.clean.answer is None:
            raise DataError(
                "ContrastPairs has no gold and its clean side has no answers, so nothing says what is right. Pass "
                "gold=clean.label, or sides with Examples(..., answer=[...], foil=[...])."
            )
        if len(set(sizes.values())) != 1:
            raise DataError(
                f"ContrastPairs has sides of different sizes: {sizes}. Give one entry of each for each pair."
            )
        if len(set(self.ids or ())) != len(self):
            repeated = next(i for i in self.ids or () if (self.ids or ()).count(i) > 1)
            raise DataError(f"The pair id {repeated!r} occurs more than once; rows are found by id. Pass unique ids=.")
        if self.unaligned not in ("error", "drop"):
            raise DataError(f"unaligned={self.unaligned!r}; expected 'error' or 'drop'.")

    def _check_gold(self) -> None:
        labels = _labels_under(self.clean, self.groups)
        for row, (label, gold) in enumerate(zip(labels or (), self.gold or (), strict=False)):
            if label != gold:
                raise LabelError(
                    f"Pair {(self.ids or ())[row]} has gold {gold}, but its clean side is labelled {label}. "
                    "gold is the clean side's group: pass gold=clean.label, or swap the sides."
                )

    def _share_classes(self, clean: Examples, corrupt: Examples) -> None:
        """Give both sides the same classes, so that gold keeps its meaning when the sides are swapped."""
        known = {classes for classes in (self.classes, clean.classes, corrupt.classes) if classes is not None}
        if len(known) > 1:
            raise LabelError(
                f"The pairs' classes are {self.classes}, the clean side's {clean.classes}, the corrupt side's "
                f"{corrupt.classes}; expected one list of names. Map the labels of one side first."
            )
        classes = next(iter(known), None)
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "clean", replace(clean, classes=classes))
        object.__setattr__(self, "corrupt", replace(corrupt, classes=classes))

    def __len__(self) -> int:
        return len(self.clean)

    def __repr__(self) -> str:
        notes = [f"kind={self.kind!r}", f"split={self.split!r}", f"{len(set(self.sources))} sources"]
        if self.dropped is not None:
            notes.append(f"{self.dropped} dropped")
        if len(self) and isinstance(self.clean, Examples) and isinstance(self.corrupt, Examples):
            notes.append(f"the first: {_shown(self.clean)} -> {_shown(self.corrupt)}")
        return f"ContrastPairs({len(self)} pairs, {', '.join(notes)})"

    @property
    def sides(self) -> tuple[Examples | Batch, Examples | Batch]:
        """The clean and the corrupt side."""
        return self.clean, self.corrupt

    @property
    def n_labels(self) -> int | None:
        """`Examples.n_labels` of the clean side; None for batches."""
        return self.clean.n_labels if isinstance(self.clean, Examples) else None

    @property
    def sources(self) -> tuple[str, ...]:
        """The source of each pair, the unit of splits and of the bootstrap. A pair of two batches is its own source."""
        return self.clean.source if isinstance(self.clean, Examples) else self.ids  # type: ignore[return-value]

    @property
    def all_units(self) -> dict[str, Levels]:
        """The units with "source" among them: what intervals over these pairs take as dependent."""
        return with_source(self.sources, self.units)

    @property
    def reversible(self) -> bool:
        """Whether `reversed` is possible: the corrupt side has answers, or labels over the same groups."""
        if self.gold is None:
            return self.corrupt.answer is not None
        return _labels_under(self.corrupt, self.groups) is not None

    def reversed(self) -> Self:
        """The same pairs with the sides swapped; gold, or answer and foil, become those of the side that was corrupt.

        Raises `DataError` if the corrupt side has no labels, labels over other groups, or no answers where pairs are
        scored by answers.
        """
        if self.gold is None:
            if not self.reversible:
                raise DataError(
                    "The pairs cannot be reversed: the corrupt side has no answers. Give it answer= and foil=, or use "
                    "pairs whose corrupt side has an answer of its own."
                )
            return replace(self, clean=self.corrupt, corrupt=self.clean)
        labels = _labels_under(self.corrupt, self.groups)
        if labels is None:
            raise DataError(
                "The pairs cannot be reversed: the corrupt side has no labels (or labels over other groups), so its "
                "gold is not known. Give it labels, or build ContrastPairs(corrupt, clean, gold=...) yourself."
            )
        return replace(self, clean=self.corrupt, corrupt=self.clean, gold=labels)

    def rows(self, index: slice | Sequence[int] | np.ndarray | torch.Tensor) -> Self:
        """The pairs of the row numbers in `index`, `[row]`, in this order; a boolean mask selects where it is true."""
        indices = row_indices(index, len(self))
        return replace(
            self,
            clean=self.clean.rows(indices),
            corrupt=self.corrupt.rows(indices),
            gold=None if self.gold is None else tuple(self.gold[i] for i in indices),
            ids=tuple(self.ids[i] for i in indices),  # type: ignore[index]
            units=unit_rows(self.units, indices),
            splits=None if self.splits is None else tuple(self.splits[i] for i in indices),
        )

    def sample(self, n: int, seed: int = 0) -> Self:
        """At most `n` pairs, drawn by `seed` without replacement, in their original order.

        Raises `DataError` for a negative number.
        """
        if n < 0:
            raise DataError(f"A sample of {n} pairs was asked for; expected 0 or more.")
        if n >= len(self):
            return self
        return self.rows(np.sort(np.random.default_rng(seed).choice(len(self), size=n, replace=False)))

    def to_frame(self) -> pd.DataFrame:
        """A row for each pair: id, clean_first, clean_second, corrupt_first, corrupt_second, gold, answer, foil.

        Columns are missing where there is nothing: of second texts, of gold, of answers. Raises `DataError` for pairs
        of batches, which hold no texts.
        """
        if not isinstance(self.clean, Examples) or not isinstance(self.corrupt, Examples):
            raise DataError(
                f"{self!r} holds two Batch objects, which have tokens and no texts. Decode pairs.clean.input_ids and "
                "pairs.corrupt.input_ids with the tokenizer that made them, or build the pairs of Examples."
            )
        texts = {
            f"{name}_{field}": getattr(part, field)
            for name, part in (("clean", self.clean), ("corrupt", self.corrupt))
            for field in ("first", "second")
        }
        words = {"answer": self.clean.answer, "foil": self.clean.foil}
        columns = {"id": self.ids, **texts, "gold": self.gold, **words}
        return pd.DataFrame({name: value for name, value in columns.items() if value is not None})

    def by_split(self, split: str) -> Self:
        """The pairs of the split "select" or "test": those of `splits`, or else about half of the sources each.

        Without `splits` all pairs of one source are in the same split. Raises `DataError` for another name, and for
        pairs that are of the other split.
        """
        if split not in ("select", "test"):
            raise DataError(f"split={split!r}; expected 'select' or 'test' (or None for all pairs).")
        if self.split is not None:
            if self.split == split:
                return self
            raise DataError(f"These pairs are the {self.split!r} split; a {split!r} split cannot be made from them.")
        splits = self.splits or [split_of(source) for source in self.sources]
        return replace(self.rows([i for i, name in enumerate(splits) if name == split]), split=split)

    def aligned(self, model: TokenizingModel) -> Self:
        """The pairs that are aligned under the model's tokenizer; `.dropped` counts the others.

        Raises `AlignmentError` for the first unaligned pair unless `unaligned="drop"`, and if no pair is aligned.
        """
        aligned = self.aligned_rows(model)
        return replace(self.rows(aligned), dropped=(self.dropped or 0) + len(self) - len(aligned))

    def aligned_rows(self, model: TokenizingModel) -> list[int]:
        """The row numbers of the pairs that are aligned for `model`; `aligned` gives the pairs and lists the errors.

        Raises `DataError` without pairs, and `AlignmentError` for a pair that is not aligned, unless such pairs are
        dropped.
        """
        if len(self) == 0:
            raise DataError(f"There are no pairs of kind {self.kind!r} to encode; expected at least one.")
        return aligned_rows(model, self.clean, self.corrupt, self.ids or (), drop=self.unaligned == "drop")

    def fingerprint(self) -> str:
        """The first 16 hex digits of SHA-256 over both sides, gold, groups, kind and splits.

        Results name their data by it.
        """
        about = (self.gold, self.groups, self.kind)
        digest = hashlib.sha256(repr(about if self.splits is None else (*about, self.splits)).encode())
        for part in self.sides:
            digest.update(part.fingerprint().encode())
        return digest.hexdigest()[:16]

    def identity(self) -> tuple[str, Sequence[str] | None]:
        """The values by which `records.digest` tells pairs apart."""
        return self.fingerprint(), self.ids


@runtime_checkable
class PairMaker(Protocol):
    """An object that makes the contrast pairs of a case when they are asked for."""

    def kinds(self, case: str) -> tuple[str, ...]: ...
    def make(self, case: str, kind: str) -> ContrastPairs: ...


def split_of(source: str) -> Literal["select", "test"]:
    """The split of a source: one bit of a hash, so the same in every task and case, and on every machine."""
    return "select" if hashlib.sha256(f"{SPLIT_KEY}|{source}".encode()).digest()[0] % 2 else "test"


def _shown(part: Examples) -> str:
    """The first example's texts, shortened."""
    texts = [texts[0] for texts in (part.first, part.second) if texts is not None]
    return " / ".join(repr(textwrap.shorten(text, 60, placeholder=" ...")) for text in texts)


def _labels_under(part: Examples | Batch, groups: LabelGroups | None) -> Sequence[int] | None:
    """The labels of a side; None if it has none, or labels over other groups."""
    if isinstance(part, Batch):
        return None if part.labels is None else tuple(part.labels.tolist())
    return part.label if part.groups in (None, groups) else None
