"""`TrainingData`: the encoded training examples, and the batch of each step."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hc_interp.data.batch import Batch, TokenRow
from hc_interp.data.encode import CHUNK, pad, token_rows
from hc_interp.data.examples import Examples
from hc_interp.data.labels import regrouped
from hc_interp.data.parts import label_groups
from hc_interp.interventions.sources import check_rows
from hc_interp.metrics import group_mask
from hc_interp.models.hooked import HookedModel, Intervention


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The drawn rows of all parts without padding. `gold` marks the classes of each row's label group.

    `draws` has the rows of each step's batch, as numbers over all parts.
    """

    model: HookedModel
    rows: dict[int, TokenRow]
    ids: list[str]
    gold: Bool[Tensor, "row class"]
    draws: Int[np.ndarray, "step batch"]

    @classmethod
    def of(cls, model: HookedModel, parts: Sequence[Examples], draws: Int[np.ndarray, "step batch"]) -> Self:
        """Encode what is drawn of the parts; every part is read by its own label groups.

        Raises `LabelError` for labels that are not groups of the model's classes, and `DataError` for texts that the
        model cannot read.
        """
        parts = [regrouped(model.labels, part) for part in parts]
        groups = [label_groups(model.labels, part) for part in parts]
        masks = [group_mask(classes, sum(map(len, classes)))[labels] for classes, labels in groups]
        rows: dict[int, TokenRow] = {}
        first = 0
        for part in parts:
            drawn = np.unique(draws[(draws >= first) & (draws < first + len(part))])
            if len(drawn):
                rows |= zip(drawn.tolist(), token_rows(model, part.rows(drawn - first)), strict=True)
            first += len(part)
        return cls(model, rows, [name for part in parts for name in part.id], torch.cat(masks), draws)

    def check_sources(self, interventions: Iterable[Intervention]) -> None:
        """Raise now the `HCError` that a later step would raise where a source has no value for one of its rows.

        Donors may lack a length, positional means a position, and pairs the row.
        """
        drawn = np.unique(self.draws)
        sources = [getattr(item, "source", getattr(item, "with_", None)) for item in interventions]
        for first in range(0, len(drawn), CHUNK):
            for source in sources:
                if source is not None:
                    check_rows(source, self.model, self._batch(drawn[first : first + CHUNK].tolist()))

    def _batch(self, index: Sequence[int]) -> Batch:
        """These rows, padded to the longest of them."""
        batch = replace(pad(self.model, [self.rows[i] for i in index]), ids=tuple(self.ids[i] for i in index))
        return batch.to(self.model.device)

    def batch(self, step: int) -> tuple[Batch, Bool[Tensor, "batch class"]]:
        """The batch of a step, on the model's device, and the right classes of its rows."""
        index = self.draws[step].tolist()
        return self._batch(index), self.gold[index].to(self.model.device)
