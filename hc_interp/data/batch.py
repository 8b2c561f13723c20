"""`Batch`: what a model eats."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from jaxtyping import Int
from torch import Tensor

from hc_interp.errors import DataError


@dataclass(frozen=True, eq=False)
class Batch:
    """Encoded examples, right-padded. Labels index the groups of the data they come from; ids name the examples.

    `attention_mask` defaults to all ones. `ids` are what `ContrastPairs` uses to find a row's other side.
    """

    input_ids: Int[Tensor, "batch pos"]
    attention_mask: Int[Tensor, "batch pos"] = None  # pyright: ignore[reportAssignmentType] - set in __post_init__
    token_type_ids: Int[Tensor, "batch pos"] | None = None
    labels: Int[Tensor, " batch"] | None = None
    ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.input_ids.ndim != 2:
            raise DataError(
                f"Batch.input_ids has shape {tuple(self.input_ids.shape)}; expected [batch, pos]. "
                "For one example add an axis: input_ids[None]."
            )
        if self.attention_mask is None:
            object.__setattr__(self, "attention_mask", torch.ones_like(self.input_ids))
        for name in ("attention_mask", "token_type_ids"):
            value = getattr(self, name)
            if value is not None and value.shape != self.input_ids.shape:
                raise DataError(
                    f"Batch.{name} has shape {tuple(value.shape)}, input_ids {tuple(self.input_ids.shape)}; "
                    "they must be the same [batch, pos]."
                )
        mask = self.attention_mask
        if mask.shape[1] and not bool((mask[:, :1] > 0).all() & (mask[:, 1:] <= mask[:, :-1]).all()):
            raise DataError(
                "Batch.attention_mask is not right padding (ones, then zeros, at least one one in each row). "
                "Tokenize with padding_side='right', or use model.tokenize."
            )
        if self.labels is not None:
            object.__setattr__(self, "labels", torch.as_tensor(self.labels))
        if self.ids is not None:
            object.__setattr__(self, "ids", tuple(map(str, self.ids)))
        for name in ("labels", "ids"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self):
                raise DataError(f"Batch.{name} has {len(value)} entries for {len(self)} rows; give one for each row.")

    def __len__(self) -> int:
        return self.input_ids.shape[0]

    def __repr__(self) -> str:
        return f"Batch({len(self)} x {self.input_ids.shape[1]} tokens)"

    def rows(self, index: slice | Sequence[int] | Int[Tensor, " n"]) -> Self:
        """The batch of these rows, in this order; repeats are allowed."""
        if isinstance(index, slice):
            index = range(*index.indices(len(self)))
        index = torch.as_tensor(list(index) if isinstance(index, range) else index, dtype=torch.long)
        picked = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in picked.items():
            if isinstance(value, Tensor):
                picked[name] = value[index.to(value.device)]
            elif value is not None:
                picked[name] = tuple(value[i] for i in index.tolist())
        return type(self)(**picked)

    def to(self, device: torch.device | str) -> Self:
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device) for k, v in moved.items() if isinstance(v, Tensor)})
