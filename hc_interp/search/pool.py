"""`Pool`: the encoded examples that a search draws from, each with what the full model says about it."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.encode import Data, batches
from hc_interp.data.examples import Examples
from hc_interp.data.labels import check_labels, resolve_groups
from hc_interp.errors import DataError, SearchError
from hc_interp.metrics import group_mask
from hc_interp.models.hooked import HookedModel, Intervention

Part = Examples | Batch
WINDOW = 8  # batches whose rows are sorted by length together


def as_parts(data: Data) -> list[Part]:
    """The splits that `data` is made of, so that it can be counted and read more than once."""
    parts = [data] if isinstance(data, Examples | Batch) or not isinstance(data, Iterable) else list(data)
    for part in parts:
        if not isinstance(part, Examples | Batch):
            raise DataError(
                f"Data holds a {type(part).__name__}; expected a split of a task (task.train), Examples, a Batch or an "
                "iterable of these."
            )
    return parts


def sources_of(parts: Sequence[Part]) -> list[str]:
    """The source of each row over all parts; a row of a `Batch` is its own."""
    found: list[str] = []
    for place, part in enumerate(parts):
        own = part.source if isinstance(part, Examples) else [f"{place}:{row}" for row in range(len(part))]
        found.extend(own or ())
    return found


def pick(parts: Sequence[Part], rows: Sequence[int] | np.ndarray) -> list[Part]:
    """The rows (counted over all parts, ascending) of each part; parts without any are left out."""
    starts = np.cumsum([0, *map(len, parts)])
    chosen = np.asarray(rows)
    cuts = [chosen[(chosen >= low) & (chosen < high)] - low for low, high in zip(starts[:-1], starts[1:], strict=True)]
    return [part.rows(cut.tolist()) for part, cut in zip(parts, cuts, strict=True) if len(cut)]


def fingerprint(parts: Sequence[Part]) -> str:
    """A short name of the data in results."""
    digest = hashlib.sha256()
    for part in parts:
        tokens = part.fingerprint() if isinstance(part, Examples) else repr(part.input_ids.tolist())
        digest.update(tokens.encode())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Pool:
    """Encoded rows on the model's device.

    `reference` `[row, class]` are the full model's logits (under the interventions that the search stands on), `gold`
    `[row, class]` marks the classes of each row's label group (None: labels were not looked at).
    """

    batch: Batch
    lengths: Int[Tensor, " row"]
    reference: Float[Tensor, "row class"]
    gold: Bool[Tensor, "row class"] | None

    def take(self, rows: Int[Tensor, " n"]) -> Batch:
        """The batch of these rows, padded to the longest of them."""
        batch = self.batch.rows(rows)
        longest = int(self.lengths[rows].max())
        cut = [
            None if t is None else t[:, :longest] for t in (batch.input_ids, batch.attention_mask, batch.token_type_ids)
        ]
        return Batch(*cut, ids=batch.ids)  # type: ignore[arg-type]


@torch.no_grad()
def build_pool(
    model: HookedModel, parts: Sequence[Part], *, with_gold: bool, interventions: Sequence[Intervention], size: int
) -> Pool:
    """Encode all rows once and run the full model on each once. Raises `SearchError` where its logits are not finite."""
    pieces = batches(model, parts, batch_size=size, with_labels=with_gold)
    order = torch.argsort(torch.cat([piece.index for piece in pieces]))
    longest = max(piece.batch.input_ids.shape[1] for piece in pieces)
    columns = [_widened(piece.batch, longest) for piece in pieces]
    joined = [None if column[0] is None else torch.cat(column)[order] for column in zip(*columns, strict=True)]
    ids = [name for piece in pieces for name in piece.batch.ids or ()]
    named = tuple(ids[i] for i in order.tolist()) if len(ids) == len(order) else None
    reference = torch.cat([model.logits(piece.batch, interventions) for piece in pieces])[order]
    if not bool(torch.isfinite(reference).all()):
        row = int((~torch.isfinite(reference)).any(-1).nonzero()[0])
        raise SearchError(
            f"The full model gives logits that are not finite on {int((~torch.isfinite(reference)).any(-1).sum())} of "
            f"{len(reference)} examples, first row {row}. Masks are trained against these logits: check the weights, the "
            "dtype and the interventions."
        )
    lengths = joined[1].sum(1).cpu()
    return Pool(Batch(*joined, ids=named), lengths, reference, _gold(model, parts) if with_gold else None)


def _widened(batch: Batch, longest: int) -> list[Tensor | None]:
    grow = longest - batch.input_ids.shape[1]
    fields = (batch.input_ids, batch.attention_mask, batch.token_type_ids)
    return [None if t is None else torch.nn.functional.pad(t, (0, grow)) for t in fields]


def _gold(model: HookedModel, parts: Sequence[Part]) -> Bool[Tensor, "row class"]:
    """The classes of each row's label group; every part is read by its own groups."""
    found = []
    for part in parts:
        groups = resolve_groups(model.labels, part if isinstance(part, Examples) else None)
        labels = torch.as_tensor(part.label if isinstance(part, Examples) else part.labels)
        check_labels(labels.tolist(), groups, repr(part))
        found.append(group_mask(groups, len(model.labels))[labels])
    return torch.cat(found).to(model.device)


def held_out_rows(sources: Sequence[str], n_wanted: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and about `n_wanted` rows to keep aside; no source is on both sides."""
    names, codes = np.unique(np.asarray(sources, dtype=str), return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    counts = np.bincount(codes)[shuffled]
    n_sources = max(1, int(np.searchsorted(np.cumsum(counts), n_wanted, side="left")) + 1)
    aside = np.isin(codes, shuffled[:n_sources])
    return np.flatnonzero(~aside), np.flatnonzero(aside)


def draw_rows(candidates: Int[np.ndarray, " n"], n_wanted: int, seed: int) -> Int[np.ndarray, " drawn"]:
    """`n_wanted` of the candidates, ascending, and never more than half of them: runs must not all see the same data."""
    n_drawn = min(n_wanted, max(1, len(candidates) // 2))
    return np.sort(np.random.default_rng(seed).choice(candidates, size=n_drawn, replace=False))


def epochs(
    rows: Int[Tensor, " n"], lengths: Int[Tensor, " row"], batch_size: int, rng: np.random.Generator
) -> Iterator[Int[Tensor, " batch"]]:
    """Batches of `rows` without end, each epoch in a new order; rows of similar length stand together.

    Only whole batches are given; the rows that an epoch leaves over are others in the next.
    """
    n_whole = len(rows) // batch_size * batch_size
    while True:
        shuffled = rows[torch.from_numpy(rng.permutation(len(rows)))][:n_whole]
        cuts = []
        for window in shuffled.split(batch_size * WINDOW):
            by_length = window[torch.argsort(lengths[window], stable=True)]
            cuts += by_length.split(batch_size)
        for place in rng.permutation(len(cuts)):
            yield cuts[int(place)]
