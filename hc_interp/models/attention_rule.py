"""`AttentionRule`: how a layer's heads attend, from their projected q, k and v. Hooked passes, path steps and the fast
engine share it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

# True or 1 where a position holds a token, False or 0 where it is padding.
Mask = Int[Tensor, "#batch key"] | Bool[Tensor, "#batch key"]  # or one mask for all rows
Angles = tuple[Float[Tensor, "1 pos rotated"], Float[Tensor, "1 pos rotated"]]  # cosines and sines
Heads = Sequence[int] | None  # the heads that q and k are those of; None stands for all


@dataclass(frozen=True, eq=False)
class DistanceVectors:
    """Keys and queries of distances, for attention that is disentangled from positions (He et al. 2021, arXiv
    2006.03654, equation 4).

    Row `distance + n - 1` of each is that of a distance, query's position minus key's, among n positions. The score of
    a query and a key gets the product of the query and their distance's key ("content to position"), and that of
    the key and their distance's query ("position to content"). None: the model has no such product.
    """

    keys: Float[Tensor, "distance head d_head"] | None
    queries: Float[Tensor, "distance head d_head"] | None

    def products(
        self,
        q: Float[Tensor, "*rows query head d_head"],
        k: Float[Tensor, "*rows key head d_head"],
        heads: Heads = None,
    ) -> Float[Tensor, "*rows head query key"] | None:
        """The sum of both products, before they are scaled, or None if there is neither.

        If there are fewer queries than keys, they are those of the last positions.
        """
        position = torch.arange(k.shape[-3], device=k.device)
        rows = position[-q.shape[-3] :, None] - position + len(position) - 1
        terms = []
        if self.keys is not None:
            terms.append(_product(q, of_heads(self.keys, heads), rows))
        if self.queries is not None:
            terms.append(_product(k, of_heads(self.queries, heads), rows.T).mT)
        return sum(terms[1:], terms[0]) if terms else None


def _product(
    content: Float[Tensor, "*rows pos head d_head"],
    vectors: Float[Tensor, "distance head d_head"],
    rows: Int[Tensor, "pos other"],
) -> Float[Tensor, "*rows head pos other"]:
    """The product of the content at each position and the vector of its distance to each other position."""
    products = torch.einsum("...phd,ehd->...hpe", content, vectors.to(content.dtype))
    return products.gather(-1, rows.expand(*products.shape[:-1], -1))


@dataclass(frozen=True, eq=False)
class AttentionRule:
    """Softmax attention of one layer. Its parts, in the order in which they apply:

    - `norms`: norms of q and k, each of one head's values, or of all heads' together (`joint_norms`). Then `pattern`
      needs all heads.
    - `angles`: cosines and sines by which q and k are rotated, from k. They may be fewer than the entries of a head:
      the first entries are rotated then. Entry i is paired with entry i + half, or with its neighbour (`neighbours`).
    - `distances`: products with keys and queries of distances, which are added to those of q and k; from the number of
      positions.
    - `scale`: the factor of the scores. `cap`: the scores s become `cap * tanh(s / cap)`.
    - `bias`: a number for each head, query and key that is added to the scores, from the number of positions.
    - `in_float32`: whether the softmax is computed in float32, whatever the type of the scores.
    - `causal`: no query attends to a later key. `window`: nor to one that is `window` or more positions away.
      `masked_queries`: nor does padding attend to anything, so that its pattern is the same for all keys.
    """

    scale: float
    causal: bool = False
    window: int | None = None
    norms: tuple[nn.Module, nn.Module] | None = None
    joint_norms: bool = False
    angles: Callable[[Tensor], Angles] | None = None
    neighbours: bool = False
    distances: Callable[[int], DistanceVectors] | None = None
    cap: float | None = None
    bias: Callable[[int], Float[Tensor, "1 head query key"]] | None = None
    in_float32: bool = False
    masked_queries: bool = False

    def pattern(
        self,
        q: Float[Tensor, "batch query head d_head"],
        k: Float[Tensor, "batch key head d_head"],
        attention_mask: Mask,
        heads: Heads = None,
    ) -> Float[Tensor, "batch head query key"]:
        """The attention pattern from projected q and k, of all heads or of `heads`.

        If there are fewer queries than keys, they are those of the last positions.
        """
        n = q.shape[1]
        q, k = self.oriented(q, k)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * self.scale
        if self.distances is not None:
            products = self.distances(k.shape[1]).products(q, k, heads)
            scores = scores if products is None else scores + products * self.scale
        if self.cap is not None:
            scores = self.cap * torch.tanh(scores / self.cap)
        if self.bias is not None:
            scores = scores + of_heads(self.bias(k.shape[1]), heads)[:, :, -n:]
        hidden = ~self.visible(attention_mask)[:, :, -n:]
        if not self.in_float32:
            return scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(dim=-1)
        return scores.float().masked_fill(hidden, torch.finfo(torch.float32).min).softmax(dim=-1).to(scores.dtype)

    def unmasked(
        self,
        q: Float[Tensor, "rows query head d_head"],
        k: Float[Tensor, "rows key head d_head"],
        v: Float[Tensor, "rows key head d_head"],
        heads: Heads = None,
    ) -> Float[Tensor, "rows query head d_head"]:
        """The heads' `z` on rows without padding. Fewer queries than keys are those of the last positions."""
        real = torch.ones(1, k.shape[1], dtype=torch.long, device=k.device)
        if self.distances is not None or self.cap is not None or self.bias is not None or self.in_float32:
            return attend(self.pattern(q, k, real, heads), v)
        q, k = self.oriented(q, k)
        visible = self.visible(real)[:, :, -q.shape[1] :]
        q, k, v = (value.transpose(1, 2) for value in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, scale=self.scale).transpose(1, 2)

    def oriented(
        self, q: Float[Tensor, "batch query head d_head"], k: Float[Tensor, "batch key head d_head"]
    ) -> tuple[Float[Tensor, "batch query head d_head"], Float[Tensor, "batch key head d_head"]]:
        """q and k as the scores are computed from them: normalised and rotated.

        If there are fewer queries than keys, they are those of the last positions.
        """
        if self.norms is not None:
            q, k = (self._normed(norm, value) for norm, value in zip(self.norms, (q, k), strict=True))
        if self.angles is not None:
            cos, sin = self.angles(k)
            n = q.shape[1]
            q = rotate(q, cos[:, -n:], sin[:, -n:], neighbours=self.neighbours)
            k = rotate(k, cos, sin, neighbours=self.neighbours)
        return q, k

    def _normed(self, norm: Any, value: Tensor) -> Tensor:
        if not self.joint_norms:
            return norm(value)
        # One key of each group at a time: heads that share keys have copies of them, which edits may have changed.
        groups = norm.weight.shape[0] // value.shape[-1]
        copies = value.unflatten(2, (groups, -1)).transpose(2, 3)
        return norm(copies.flatten(-2)).view(copies.shape).transpose(2, 3).flatten(2, 3)

    def visible(self, attention_mask: Mask) -> Bool[Tensor, "#batch 1 #query key"]:
        """Whether a query may attend to a key: to no padding, and in a decoder to no key that is later or outside the
        window.

        If `masked_queries`, queries at padding may not.

        A query at a padding position may see no key. Its `z` then depends on the attention kernel, and nothing reads it
        unless an edit moves it to another position or row.
        """
        visible = attention_mask[:, None, None, :].bool()
        if self.causal or self.window is not None:
            position = torch.arange(attention_mask.shape[1], device=attention_mask.device)
            distance = position[:, None] - position
            if self.causal:
                visible = visible & (distance >= 0)
            if self.window is not None:
                visible = visible & (distance.abs() < self.window)
        return visible & attention_mask[:, None, :, None].bool() if self.masked_queries else visible


def of_heads(value: Float[Tensor, "first head ..."], heads: Heads) -> Float[Tensor, "first some ..."]:
    """The part of a value that these heads have; None stands for all of them."""
    return value if heads is None else value[:, list(heads)]


def rotate(
    value: Float[Tensor, "batch pos head d_head"],
    cos: Float[Tensor, "1 pos rotated"],
    sin: Float[Tensor, "1 pos rotated"],
    *,
    neighbours: bool = False,
) -> Float[Tensor, "batch pos head d_head"]:
    """Rotary position embedding (Su et al. 2021, arXiv 2104.09864) of the first entries of a head.

    It pairs the two halves of these, as Llama does, or each entry with its neighbour, as GPT-J does.
    """
    n = cos.shape[-1]
    turned = value[..., :n]
    if neighbours:
        other = torch.stack((-turned[..., 1::2], turned[..., ::2]), dim=-1).flatten(-2)
    else:
        first, second = turned.chunk(2, dim=-1)
        other = torch.cat((-second, first), dim=-1)
    turned = turned * cos[:, :, None] + other * sin[:, :, None]
    return turned if n == value.shape[-1] else torch.cat((turned, value[..., n:]), dim=-1)


def attend(
    pattern: Float[Tensor, "batch head query key"], v: Float[Tensor, "batch key head d_head"]
) -> Float[Tensor, "batch query head d_head"]:
    """Each head's `z`: the mean of its values, weighted by its pattern."""
    return torch.einsum("bhqk,bkhd->bqhd", pattern, v)
