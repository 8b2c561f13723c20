"""The data that a probe can be fitted to: texts, or encoded rows with the source of each."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch

from hc_interp.data.batch import Batch, TokenRow
from hc_interp.data.encode import EncodedBatch, batches, buckets, pad, token_rows
from hc_interp.data.examples import Examples
from hc_interp.data.overlap import concatenate
from hc_interp.data.parts import Data, listed
from hc_interp.errors import DataError
from hc_interp.models.hooked import HookedModel


@dataclass(frozen=True, eq=False)
class Encoded:
    """The rows of batches, without padding. They hold no words, so a feature must be given as values."""

    tokens: tuple[TokenRow, ...]
    id: tuple[str, ...]
    source: tuple[str, ...]

    @classmethod
    def of(cls, parts: Sequence[Batch], sources: Collection[object] | None) -> Self:
        """The rows of all batches, with one source for each row.

        Raises `DataError` for another number of sources, and if only some batches have token types.
        """
        n = sum(map(len, parts))
        if sources is None or isinstance(sources, str) or len(sources) != n:
            number = "no sources" if sources is None else f"sources of length {len(sources)}"
            raise DataError(
                f"{n} encoded rows were given with {number}. Expected a source for each row, so that rows of one text "
                "never stand on both sides of a split: sources=[...], or sources=range(n) if no two rows share any."
            )
        if len({part.token_type_ids is None for part in parts}) > 1:
            raise DataError("Some batches have token_type_ids and some have none; expected them in all or in none.")
        ids = [name for part in parts for name in part.ids or [None] * len(part)]
        return cls(
            tokens=tuple(row for part in parts for row in part.token_rows()),
            id=tuple(str(row) if name is None else name for row, name in enumerate(ids)),
            source=tuple(map(str, sources)),
        )

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"{len(self)} encoded rows of {len(set(self.source))} sources"

    def rows(self, index: Iterable[int]) -> Self:
        """The rows with these numbers, in this order."""
        picked = [int(i) for i in index]
        return type(self)(
            tokens=tuple(self.tokens[i] for i in picked),
            id=tuple(self.id[i] for i in picked),
            source=tuple(self.source[i] for i in picked),
        )

    def batches(self, model: HookedModel, size: int) -> list[EncodedBatch]:
        """Batches of at most `size` rows of similar length, on the model's device."""
        encoded = []
        for index in buckets([len(row["input_ids"]) for row in self.tokens], size):
            batch = replace(pad(model, [self.tokens[i] for i in index]), ids=tuple(self.id[i] for i in index))
            encoded.append(EncodedBatch(batch.to(model.device), torch.tensor(index)))
        return encoded

    def fingerprint(self) -> str:
        """The name of these data in results: the first 16 hex digits of SHA-256 over the tokens."""
        digest = hashlib.sha256()
        for row in self.tokens:
            digest.update(repr([(name, value.tolist()) for name, value in row.items()]).encode())
        return digest.hexdigest()[:16]


def as_rows(data: Data, sources: Collection[object] | None) -> Examples | Encoded:
    """`Examples`, joined if several; or the rows of one `Batch` or several, with `sources`. Else `DataError`."""
    items = listed(data)
    if items and all(isinstance(item, Batch) for item in items):
        return Encoded.of(items, sources)
    examples = _joined(items, data)
    if sources is not None:
        raise DataError(
            f"{examples!r} were given together with sources. Expected sources for batches alone: examples carry their "
            "own, Examples(..., source=[...])."
        )
    return examples


def as_examples(data: Examples | Iterable[Examples]) -> Examples:
    """`Examples`, joined if several. Raises `DataError` for anything else."""
    return _joined(listed(data), data)


def _joined(items: list[Any], data: object) -> Examples:
    if items and all(isinstance(item, Examples) for item in items):
        return items[0] if len(items) == 1 else concatenate(items)
    raise DataError(
        f"Data was given as a {type(data).__name__}; expected Examples (a split of a task, such as task.overlap) or an "
        "iterable of them: words are looked for in texts."
    )


def encode(model: HookedModel, rows: Examples | Encoded, size: int) -> list[EncodedBatch]:
    """Batches of similar length on the model's device."""
    return rows.batches(model, size) if isinstance(rows, Encoded) else batches(model, rows, size, with_labels=False)


def tokens_of(model: HookedModel, rows: Examples | Encoded) -> Sequence[TokenRow]:
    """The tokens of each row, without padding."""
    return rows.tokens if isinstance(rows, Encoded) else token_rows(model, rows)
