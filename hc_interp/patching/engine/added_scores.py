"""`AddedScores`: what the distances between positions add to the scores of one layer of an encoder."""

from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.models.attention_rule import AttentionRule, DistanceVectors, Heads, of_heads


@dataclass(frozen=True, eq=False)
class AddedScores:
    """What a rule adds to the scaled scores of a text of one length.

    `bias` is added as it is (MPNet). `vectors` meet q and k (DeBERTa). `keys_of_first` and `bias_of_first` are the
    product of the key projection, weight and bias, and the distances' queries, for the first position as the query.
    """

    scale: float
    bias: Float[Tensor, "1 head pos pos"] | None
    vectors: DistanceVectors | None
    keys_of_first: Float[Tensor, "pos head d_model"] | None
    bias_of_first: Float[Tensor, "pos head"] | None

    @classmethod
    def of(
        cls,
        rule: AttentionRule,
        length: int,
        w_k: Float[Tensor, "head d_head d_model"],
        b_k: Float[Tensor, "head d_head"],
    ) -> Self:
        """What `rule` adds at `length` positions; `w_k` and `b_k` project to keys."""
        bias = None if rule.bias is None else rule.bias(length)
        vectors = None if rule.distances is None else rule.distances(length)
        if vectors is None or vectors.queries is None:
            return cls(rule.scale, bias, vectors, None, None)
        queries = _of_first(vectors.queries)
        keys = torch.einsum("phd,hdm->phm", queries, w_k)
        return cls(rule.scale, bias, vectors, keys, torch.einsum("phd,hd->ph", queries, b_k))

    def of_all(
        self, q: Float[Tensor, "*rows pos head d_head"], k: Float[Tensor, "*rows pos head d_head"], heads: Heads = None
    ) -> Float[Tensor, "*#rows head pos pos"] | None:
        """What is added to the scores of all queries, from q and k of all heads or of `heads`."""
        terms = [] if self.bias is None else [of_heads(self.bias, heads)[0]]
        if self.vectors is not None and (products := self.vectors.products(q, k, heads)) is not None:
            terms.append(products * self.scale)
        return sum(terms[1:], terms[0]) if terms else None

    def of_first(
        self, q: Float[Tensor, "rows head d_head"], x: Float[Tensor, "rows pos d_model"]
    ) -> Float[Tensor, "#rows pos head"] | None:
        """What is added to the scores of the first position's query `q` and the keys of the streams `x`."""
        terms = [] if self.bias is None else [self.bias[:, :, 0].mT]
        if self.vectors is not None and self.vectors.keys is not None:
            terms.append(torch.einsum("rhd,phd->rph", q * self.scale, _of_first(self.vectors.keys)))
        if self.keys_of_first is not None and self.bias_of_first is not None:
            products = torch.einsum("rpm,phm->rph", x, self.keys_of_first) + self.bias_of_first
            terms.append(products * self.scale)
        return sum(terms[1:], terms[0]) if terms else None


def _of_first(vectors: Float[Tensor, "distance head d_head"]) -> Float[Tensor, "pos head d_head"]:
    """The vectors of the distances from the first position to each position, itself first."""
    return vectors[: (len(vectors) + 1) // 2].flip(0)
