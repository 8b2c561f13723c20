"""`Donors`: resampling as a source. A value is replaced by its value on another example of the same length."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.encode import batches, pad
from hc_interp.errors import InterventionError
from hc_interp.models.hooked import HookedModel


@dataclass(frozen=True, eq=False)
class Donors:
    """One seeded donor from `data` per example, of equal token length and other text, the same for all components.

    Which donor an example gets depends on `seed` and on its own tokens alone, not on the batch it stands in. An
    example whose length has no donor is an `InterventionError` that names the length.
    """

    model: HookedModel
    data: Any
    seed: int = 0
    _pools: dict[int, list[dict[str, Tensor]]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for item in batches(self.model, self.data, with_labels=False):
            for row in _rows(item.batch):
                self._pools.setdefault(len(row["input_ids"]), []).append(row)

    def batch_for(self, batch: Batch) -> Batch:
        """The donors of a batch's rows, in order, with the batch's padding."""
        chosen = [self._choose(row) for row in _rows(batch)]
        width = batch.input_ids.shape[1]
        donors = pad(self.model, chosen)
        grow = width - donors.input_ids.shape[1]
        fill = {"input_ids": _pad_id(batch, donors), "attention_mask": 0, "token_type_ids": 0}
        wide = {
            name: torch.nn.functional.pad(getattr(donors, name), (0, grow), value=value)
            for name, value in fill.items()
            if getattr(donors, name) is not None
        }
        return Batch(**wide).to(batch.input_ids.device)

    def _choose(self, row: dict[str, Tensor]) -> dict[str, Tensor]:
        length = len(row["input_ids"])
        own = row["input_ids"]
        pool = [donor for donor in self._pools.get(length, []) if not torch.equal(donor["input_ids"], own)]
        if not pool:
            raise InterventionError(
                f"No donor of {length} tokens: {self._pools and len(self._pools) or 0} lengths are in the donor data "
                f"({min(self._pools, default=0)} to {max(self._pools, default=0)} tokens). Give hc.Donors more data of "
                "that length, or use means as the source."
            )
        digest = hashlib.sha256(f"{self.seed}|{own.tolist()}".encode()).digest()
        return pool[int(np.random.default_rng(int.from_bytes(digest[:8], "big")).integers(len(pool)))]

    def __repr__(self) -> str:
        return f"Donors({sum(map(len, self._pools.values()))} examples, seed {self.seed})"


def _rows(batch: Batch) -> list[dict[str, Tensor]]:
    names = [n for n in ("input_ids", "token_type_ids") if getattr(batch, n) is not None]
    lengths = batch.attention_mask.sum(1).tolist()  # type: ignore[union-attr]
    return [{n: getattr(batch, n)[i, :length].cpu() for n in names} for i, length in enumerate(lengths)]


def _pad_id(batch: Batch, donors: Batch) -> int:
    padding = batch.input_ids[batch.attention_mask == 0]
    return int(padding[0]) if len(padding) else int(donors.input_ids[0, 0])
