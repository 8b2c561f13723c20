"""`Donors`, the source of resampling ablation: a value is replaced by the same component's value on another example."""

import copy
import hashlib
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch

from hc_interp.data.batch import Batch, TokenRow
from hc_interp.data.encode import batches
from hc_interp.data.parts import Data
from hc_interp.errors import InterventionError
from hc_interp.models.hooked import HookedModel
from hc_interp.records.digest import NOT_HASHED


@dataclass(frozen=True, eq=False)
class Donors:
    """Each example's donor: another example of `data` with as many tokens and a different text.

    All components take their values from the same donor. The donor of an example depends on `seed` and on the
    example's own tokens alone, not on the other rows of its batch. `data` is a split of a task, a `Batch`, or an
    iterable of these; it is encoded for `model` when the object is built. An example whose length no donor has raises
    an `InterventionError` that names the length.
    """

    model: HookedModel
    data: Data = field(metadata=NOT_HASHED)  # `_pools` holds its tokens
    seed: int = 0
    _pools: dict[int, list[TokenRow]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for item in batches(self.model, self.data, with_labels=False):
            for row in item.batch.token_rows():
                self._pools.setdefault(len(row["input_ids"]), []).append(row)

    def batch_for(self, batch: Batch) -> Batch:
        """A batch of the same shape and padding in which each row is the donor of the row in `batch`."""
        ids = batch.input_ids.clone()
        types = None if batch.token_type_ids is None else batch.token_type_ids.clone()
        for index, row in enumerate(batch.token_rows()):
            donor = self._choose(row)
            length = len(row["input_ids"])
            ids[index, :length] = donor["input_ids"].to(ids.device)
            if types is not None and "token_type_ids" in donor:
                types[index, :length] = donor["token_type_ids"].to(ids.device)
        return Batch(ids, batch.attention_mask, types)

    def _choose(self, row: TokenRow) -> TokenRow:
        tokens = row["input_ids"]
        length = len(tokens)
        pool = [donor for donor in self._pools.get(length, []) if not torch.equal(donor["input_ids"], tokens)]
        if not pool:
            raise InterventionError(
                f"No donor of {length} tokens: {len(self._pools)} lengths are in the donor data "
                f"({min(self._pools, default=0)} to {max(self._pools, default=0)} tokens). Give hc.Donors more data of "
                "that length, or use means as the source."
            )
        digest = hashlib.sha256(f"{self.seed}|{tokens.tolist()}".encode()).digest()
        return pool[int(np.random.default_rng(int.from_bytes(digest[:8], "big")).integers(len(pool)))]

    @property
    def lengths(self) -> frozenset[int]:
        """The numbers of tokens of which there are at least two donors, so that an example has another one."""
        return frozenset(length for length, rows in self._pools.items() if len(rows) > 1)

    def with_seed(self, seed: int) -> Self:
        """The same data, from which another seed draws. It is not encoded again."""
        other = copy.copy(self)
        object.__setattr__(other, "seed", seed)
        return other

    def __repr__(self) -> str:
        return f"Donors({sum(map(len, self._pools.values()))} examples, seed {self.seed})"
