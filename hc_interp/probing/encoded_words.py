"""What a probe can be fitted to: texts, or rows of tokens that come with their sources."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch

from hc_interp.data.batch import Batch, TokenRow
from hc_interp.data.encode import EncodedBatch, batches, buckets, pad, token_rows
from hc_interp.data.examples import Examples
from hc_interp.data.overlap import concatenate
from hc_interp.data.parts import listed
from hc_interp.errors import DataError
from hc_interp.models.hooked import HookedModel


@dataclass(frozen=True, eq=False)
class Encoded:
    """The rows of batches, without padding. They hold no words, so features come as numbers."""

    tokens: tuple[TokenRow, ...]
    id: tuple[str, ...]
    source: tuple[str, ...]

    @classmethod
    def of(cls, parts: Sequence[Batch], sources: Sequence[Any] | None) -> Self:
        """Raises `DataError` without one source for each row, or if only some batches have token types."""
        n = sum(map(len, parts))
        if sources is None or isinstance(sources, str) or len(sources) != n:
            given = "no sources" if sources is None else f"sources of length {len(sources)}"
            raise DataError(
                f"{n} encoded rows were given with {given}. Expected a source for each row, so that rows of one text "
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
        picked = [int(i) for i in index]
        return type(self)(
            tokens=tuple(self.tokens[i] for i in picked),
            id=tuple(self.id[i] for i in picked),
            source=tuple(self.source[i] for i in picked),
        )

    def batches(self, model: HookedModel, size: int) -> list[EncodedBatch]:
        found = []
        for index in buckets([len(row["input_ids"]) for row in self.tokens], size):
            batch = replace(pad(model, [self.tokens[i] for i in index]), ids=tuple(self.id[i] for i in index))
            found.append(EncodedBatch(batch.to(model.device), torch.tensor(index)))
        return found

    def fingerprint(self) -> str:
        """SHA-256 over the tokens, first 16 hex digits: names the data in results."""
        digest = hashlib.sha256()
        for row in self.tokens:
            digest.update(repr([(name, value.tolist()) for name, value in row.items()]).encode())
        return digest.hexdigest()[:16]


def as_rows(data: Any, sources: Sequence[Any] | None) -> Examples | Encoded:
    """Texts, or the rows of one `Batch` or several with their sources. Raises `DataError` for anything else."""
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


def as_examples(data: Any) -> Examples:
    """One `Examples` of a split or several. Raises `DataError` for anything else."""
    return _joined(listed(data), data)


def _joined(items: list[Any], data: Any) -> Examples:
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
    return rows.tokens if isinstance(rows, Encoded) else token_rows(model, rows)
