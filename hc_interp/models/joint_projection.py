"""One projection that computes q, k and v: where each head's are in its output, and a part of it as a module."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

QKV = "qkv"


@dataclass(frozen=True)
class JointProjection:
    """The layout of the outputs of a joint projection.

    `heads`: the numbers of different q, k and v. They stand one after the other, all q first, then all k, then all v;
    or, if `by_head`, the q, k and v of one head stand together, or the q of all heads that share a k and a v.
    """

    heads: tuple[int, int, int]
    d_head: int
    by_head: bool = False

    @property
    def _per_group(self) -> int:
        """The number of heads that share a k and a v."""
        return self.heads[0] // self.heads[1]

    def split(self, value: Tensor, axis: int = -1) -> tuple[Tensor, ...]:
        """q, k and v of all heads `[..., head * d_head, ...]` from a value whose `axis` is that of the outputs."""
        if not self.by_head:
            return value.split([n * self.d_head for n in self.heads], dim=axis)
        axis %= value.ndim
        groups = value.unflatten(axis, (self.heads[1], self._per_group + 2, self.d_head))
        parts = groups.split([self._per_group, 1, 1], dim=axis + 1)
        return tuple(part.flatten(axis, axis + 2) for part in parts)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The value of which `split` gives these parts, along the last axis."""
        if not self.by_head:
            return torch.cat(list(parts), dim=-1)
        groups = [part.unflatten(-1, (self.heads[1], -1, self.d_head)) for part in parts]
        return torch.cat(groups, dim=-2).flatten(-3)

    def first(self, name: str, head: int) -> int:
        """The index of the first output that belongs to the q, k or v number `head`."""
        place = QKV.index(name)
        if self.by_head:
            group, inside = divmod(head, self._per_group) if name == "q" else (head, self._per_group + place - 1)
            return (group * (self._per_group + 2) + inside) * self.d_head
        return (sum(self.heads[:place]) + head) * self.d_head


class PartOfJoint(nn.Module):
    """The projection to q, k or v of all heads, by the weights that a joint projection has at each pass.

    TransformerLens would copy these weights once, since those of different heads lie apart.
    """

    def __init__(self, projection: nn.Linear, layout: JointProjection, part: int) -> None:
        super().__init__()
        self._joint = (projection, layout, part)  # in a tuple, so that the projection is not a part of this module too

    def forward(self, x: Tensor) -> Tensor:
        projection, layout, part = self._joint
        bias = None if projection.bias is None else layout.split(projection.bias)[part]
        return nn.functional.linear(x, layout.split(projection.weight, 0)[part], bias)
