"""`Batch`: what a model eats."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from hc_interp.data.places import places
from hc_interp.errors import DataError


@dataclass(frozen=True, eq=False)
class Batch:
    """Encoded examples, right-padded. Labels index the groups of the data they come from; ids name the examples.

    `attention_mask` defaults to all ones; ones and zeros of any type are taken and kept as integers. `ids` are what
    `ContrastPairs` uses to find a row's other side. Raises `DataError` for shapes or types that do not fit.
    """

    input_ids: Int[Tensor, "batch pos"]
    attention_mask: Int[Tensor, "batch pos"] = None  # pyright: ignore[reportAssignmentType] - set in __post_init__
    token_type_ids: Int[Tensor, "batch pos"] | None = None
    labels: Int[Tensor, " batch"] | None = None
    ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            self._check_tensor(name)
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
        mask = self.attention_mask.long()
        binary = torch.equal(self.attention_mask, mask.clamp(0, 1).to(self.attention_mask.dtype))
        object.__setattr__(self, "attention_mask", mask)
        if len(self) and not (
            mask.shape[1] and binary and bool((mask[:, :1] > 0).all() & (mask[:, 1:] <= mask[:, :-1]).all())
        ):
            raise DataError(
                "Batch.attention_mask is not right padding (ones, then zeros, at least one one in each row). "
                "Tokenize with padding_side='right', or use model.tokenize."
            )
        if self.labels is not None:
            object.__setattr__(self, "labels", self._whole_labels())
        if self.ids is not None:
            object.__setattr__(self, "ids", tuple(map(str, self.ids)))
        for name in ("labels", "ids"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self):
                raise DataError(f"Batch.{name} has {len(value)} entries for {len(self)} rows; give one for each row.")

    def _check_tensor(self, name: str) -> None:
        value = getattr(self, name)
        if value is None and name != "input_ids":
            return
        if not isinstance(value, Tensor):
            raise DataError(
                f"Batch.{name} is a {type(value).__name__}; expected a tensor [batch, pos]. Use torch.as_tensor(...), "
                "or model.tokenize for texts."
            )
        if name != "attention_mask" and (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool):
            raise DataError(f"Batch.{name} holds {value.dtype}; expected whole numbers. Use {name}.long().")

    def _whole_labels(self) -> Int[Tensor, " batch"]:
        labels = torch.as_tensor(self.labels)
        whole = labels.long()
        if labels.ndim != 1 or not torch.equal(labels, whole.to(labels.dtype)):
            raise DataError(
                f"Batch.labels has shape {tuple(labels.shape)} and type {labels.dtype}; expected one whole number, the "
                "index of a group, for each row."
            )
        return whole

    def __len__(self) -> int:
        return self.input_ids.shape[0]

    def __repr__(self) -> str:
        return f"Batch({len(self)} x {self.input_ids.shape[1]} tokens)"

    def rows(self, index: slice | Sequence[int] | Shaped[Tensor, " n"]) -> Self:
        """The batch of these rows, in this order; repeats are allowed, a boolean mask picks where it is true."""
        index = torch.tensor(places(index, len(self)), dtype=torch.long)
        picked = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in picked.items():
            if isinstance(value, Tensor):
                picked[name] = value[index.to(value.device)]
            elif value is not None:
                picked[name] = tuple(value[i] for i in index.tolist())
        return type(self)(**picked)

    def to(self, device: torch.device | str) -> Self:
        """The batch on a device; itself if it is there already."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {name: value.to(device) for name, value in own.items() if isinstance(value, Tensor)}
        if all(value is own[name] for name, value in moved.items()):
            return self
        there = copy.copy(self)  # checked already: reading values back from a device would wait for it
        for name, value in moved.items():
            object.__setattr__(there, name, value)
        return there
