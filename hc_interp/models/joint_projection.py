"""`JointProjection`: where q, k and v of each head are in the output of one projection that computes all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

QKV = "qkv"


@dataclass(frozen=True)
class JointProjection:
    """The layout of the outputs of a joint projection.

    `heads`: the numbers of different q, k and v. They stand one after the other, all q first, then all k, then all v;
    or, if `by_head`, the q, k and v of one head stand together (k and v are then not shared).
    """

    heads: tuple[int, int, int]
    d_head: int
    by_head: bool = False

    def split(self, value: Tensor, axis: int = -1) -> tuple[Tensor, ...]:
        """q, k and v of all heads `[..., head * d_head, ...]` from a value whose `axis` is that of the outputs."""
        if not self.by_head:
            return value.split([n * self.d_head for n in self.heads], dim=axis)
        parts = value.unflatten(axis, (self.heads[0], 3, self.d_head)).unbind(axis - 1 if axis < 0 else axis + 1)
        return tuple(part.flatten(axis - 1, axis) if axis < 0 else part.flatten(axis, axis + 1) for part in parts)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The value of which `split` gives these parts, along the last axis."""
        if not self.by_head:
            return torch.cat(list(parts), dim=-1)
        return torch.stack([part.unflatten(-1, (-1, self.d_head)) for part in parts], dim=-2).flatten(-3)

    def first(self, name: str, head: int) -> int:
        """The index of the first output that belongs to the q, k or v number `head`."""
        place = QKV.index(name)
        if self.by_head:
            return (3 * head + place) * self.d_head
        return (sum(self.heads[:place]) + head) * self.d_head
