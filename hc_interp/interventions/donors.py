"""`Donors`: resampling as a source. A value is replaced by its value on another example of the same length."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from hc_interp.data.batch import Batch, TokenRow
from hc_interp.data.encode import batches
from hc_interp.errors import InterventionError
from hc_interp.models.hooked import HookedModel
from hc_interp.records.digest import NOT_HASHED


@dataclass(frozen=True, eq=False)
class Donors:
    """One seeded donor from `data` per example, of equal token length and other text, the same for all components.

    Which donor an example gets depends on `seed` and on its own tokens alone, not on the batch it stands in. An
    example whose length has no donor is an `InterventionError` that names the length.
    """

    model: HookedModel
    data: Any = field(metadata=NOT_HASHED)  # what it holds is in the pools
    seed: int = 0
    _pools: dict[int, list[TokenRow]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for item in batches(self.model, self.data, with_labels=False):
            for row in item.batch.token_rows():
                self._pools.setdefault(len(row["input_ids"]), []).append(row)

    def batch_for(self, batch: Batch) -> Batch:
        """The donors of a batch's rows, in order, with the batch's padding."""
        ids = batch.input_ids.clone()
        types = None if batch.token_type_ids is None else batch.token_type_ids.clone()
        for place, row in enumerate(batch.token_rows()):
            donor = self._choose(row)
            length = len(row["input_ids"])
            ids[place, :length] = donor["input_ids"].to(ids.device)
            if types is not None and "token_type_ids" in donor:
                types[place, :length] = donor["token_type_ids"].to(ids.device)
        return Batch(ids, batch.attention_mask, types)

    def _choose(self, row: TokenRow) -> TokenRow:
        length = len(row["input_ids"])
        own = row["input_ids"]
        pool = [donor for donor in self._pools.get(length, []) if not torch.equal(donor["input_ids"], own)]
        if not pool:
            raise InterventionError(
                f"No donor of {length} tokens: {len(self._pools)} lengths are in the donor data "
                f"({min(self._pools, default=0)} to {max(self._pools, default=0)} tokens). Give hc.Donors more data of "
                "that length, or use means as the source."
            )
        digest = hashlib.sha256(f"{self.seed}|{own.tolist()}".encode()).digest()
        return pool[int(np.random.default_rng(int.from_bytes(digest[:8], "big")).integers(len(pool)))]

    def __repr__(self) -> str:
        return f"Donors({sum(map(len, self._pools.values()))} examples, seed {self.seed})"
