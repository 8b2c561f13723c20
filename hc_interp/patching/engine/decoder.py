"""`DecoderStack`: a pre-norm decoder as a `Stack`.

Its output reads one position: the last one, unless the text ends in the padding token.

Attention and MLP add their outputs to the residual stream, and norms are applied only to what they read from it. A
sender's direct change of the stream is therefore the same in all later layers.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from hc_interp.interventions.path_steps import SiteValues
from hc_interp.models.attention_rule import Heads
from hc_interp.models.hooked import HookedModel
from hc_interp.models.site import Site
from hc_interp.patching.engine.kernels import linear
from hc_interp.patching.engine.stack import Stack


class DecoderStack(Stack):
    def __init__(self, model: HookedModel, at: int = -1) -> None:
        """`at`: the position that the output reads, counted from the end (-1 is the last)."""
        super().__init__(model)
        self.at = at
        geometry, layers = model.geometry, range(model.n_layers)
        self._qkv = [{name: (geometry.weight(i, name), geometry.bias(i, name)) for name in "qkv"} for i in layers]
        self._norms = [None if geometry.family.norm_1 is None else geometry.part("norm_1", i) for i in layers]

    def attention_input(self, layer: int, x: Tensor) -> Tensor:
        norm = self._norms[layer]
        return x if norm is None else norm(x)

    def after_attention(self, layer: int, total: Tensor) -> Tensor:
        return total

    def after_mlp(self, layer: int, total: Tensor) -> Tensor:
        return total

    def project(self, layer: int, x: Tensor) -> Tensor:
        return torch.stack([self._heads(layer, name, x) for name in "qkv"], dim=-3)

    def _heads(self, layer: int, name: str, x: Tensor) -> Tensor:
        """q, k or v of all heads `[*rows, pos, head, d_head]`; each head has its own copy of a shared key or value."""
        heads = linear(x, *self._qkv[layer][name]).unflatten(-1, (-1, self.model.d_head))
        return self.geometry.copies(heads, -2)

    def by_head(self, layer: int, name: str) -> Tensor:
        return self.geometry.w_in(layer, name).mT

    def attention(self, layer: int, q: Tensor, k: Tensor, v: Tensor, heads: Heads = None) -> Tensor:
        """With fewer queries than keys, the queries are those of the last positions."""
        rows = q.shape[:-3]
        z = self.geometry.rules[layer].unmasked(*(x.reshape(-1, *x.shape[-3:]) for x in (q, k, v)), heads=heads)
        return z.unflatten(0, rows) if len(rows) != 1 else z

    def z_read(self, layer: int, x: Tensor) -> Tensor:
        length = x.shape[-2] + 1 + self.at  # the read position attends to no later one
        x = self.attention_input(layer, x[..., :length, :])
        k, v = (self._heads(layer, name, x) for name in "kv")
        return self.attention(layer, self._heads(layer, "q", x[..., -1:, :]), k, v)

    def mlp(self, layer: int, mid: Tensor) -> Tensor:
        return self.geometry.mlp(layer, mid)

    def mlp_cache(self, layer: int, sums: Tensor, clean: SiteValues) -> Tensor | None:
        """In a parallel layer what its MLP adds, which does not depend on its heads; else what attention's norm reads,
        if there is one."""
        if self.geometry.parallel:
            return self.mlp(layer, clean[Site(layer, "resid_pre")])
        return None if self.geometry.family.attn_norm is None else self.o_out(layer, clean[Site(layer, "z")])

    def mid_and_mlp(
        self, layer: int, sums: Tensor, cache: Tensor | None, heads: list[int], change: Tensor
    ) -> tuple[Tensor, Tensor]:
        if cache is None:
            return super().mid_and_mlp(layer, sums, cache, heads, change)
        change = change @ self.w_o[layer][heads].flatten(0, 1)
        if self.geometry.parallel:
            return change.add_(sums), cache.expand_as(change).clone()
        added = self.geometry.attention_added(layer, cache + change) - self.geometry.attention_added(layer, cache)
        mid = added.add_(sums)
        return mid, self.mlp(layer, mid)

    def logits(self, row: Tensor) -> Tensor:
        head, tokens = self.geometry.part("head"), self.model.readout.tokens
        row = self.geometry.part("norm_final")(row)
        if tokens is None:
            return self.geometry.capped(head(row))
        bias = None if head.bias is None else head.bias[list(tokens)]
        return self.geometry.capped(F.linear(row, head.weight[list(tokens)], bias))

    def attention_jvp(self, layer: int, total: Tensor, tangents: Sequence[Tensor]) -> list[Tensor]:
        return list(tangents)

    def mlp_jvp(self, layer: int, total: Tensor, tangents: Sequence[Tensor]) -> list[Tensor]:
        return list(tangents)

    @torch.enable_grad()
    def attention_input_vjp(self, layer: int, x: Tensor, gradient: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(self.attention_input(layer, x), x, gradient)[0]
