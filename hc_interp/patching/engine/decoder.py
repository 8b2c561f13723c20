"""`Decoder`: a pre-norm decoder as a `Stack`; its output reads one position, the last where a text does not end in the
padding token.

What a layer adds is added to the stream as it is: a sender's change is the same all the way down, and only what a
receiver reads is normalised.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from hc_interp.models.hooked import HookedModel
from hc_interp.patching.engine.kernels import linear
from hc_interp.patching.engine.stack import Stack


class Decoder(Stack):
    def __init__(self, model: HookedModel, at: int = -1) -> None:
        """`at` counts from the end."""
        super().__init__(model)
        self.at = at
        geometry, layers = model.geometry, range(model.n_layers)
        self._qkv = [{name: (geometry.weight(i, name), geometry.bias(i, name)) for name in "qkv"} for i in layers]
        self._mlp = [geometry.part("mlp", i) for i in layers]
        self._norms = [geometry.norms(i) for i in layers]

    def attention_reads(self, layer: int, x: Tensor) -> Tensor:
        return self._norms[layer][0](x)

    def after_attention(self, layer: int, total: Tensor) -> Tensor:
        return total

    def after_mlp(self, layer: int, total: Tensor) -> Tensor:
        return total

    def project(self, layer: int, read: Tensor) -> Tensor:
        return torch.stack([self._heads(layer, name, read) for name in "qkv"], dim=-3)

    def _heads(self, layer: int, name: str, read: Tensor) -> Tensor:
        """`[*rows, pos, head, d_head]`; heads that share a key or value have a copy each."""
        heads = linear(read, *self._qkv[layer][name]).unflatten(-1, (-1, self.model.d_head))
        return self.geometry.copies(heads, -2)

    def by_head(self, layer: int, name: str) -> Tensor:
        return self.geometry.w_in(layer, name).mT

    def attention(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Where there are fewer queries than keys, they are the last ones."""
        rows = q.shape[:-3]
        q, k, v = (x.reshape(-1, *x.shape[-3:]) for x in (q, k, v))
        q, k = self.geometry.oriented(layer, q, k)
        seen = self.geometry.visible(layer, torch.ones(1, k.shape[1], dtype=torch.bool, device=k.device))
        z = F.scaled_dot_product_attention(
            *(x.transpose(1, 2) for x in (q, k, v)),
            attn_mask=seen[:, :, -q.shape[1] :],
            scale=self.geometry.scale(layer),
        )
        return z.transpose(1, 2).unflatten(0, rows) if len(rows) != 1 else z.transpose(1, 2)

    def z_read(self, layer: int, x: Tensor) -> Tensor:
        seen = x.shape[-2] + 1 + self.at  # what stands after the position that is read does not reach it
        read = self.attention_reads(layer, x[..., :seen, :])
        k, v = (self._heads(layer, name, read) for name in "kv")
        return self.attention(layer, self._heads(layer, "q", read[..., -1:, :]), k, v)

    def mlp(self, layer: int, mid: Tensor) -> Tensor:
        return self._mlp[layer](self._norms[layer][1](mid))

    def logits(self, row: Tensor) -> Tensor:
        head, tokens = self.geometry.part("head"), self.model.readout.tokens
        row = self.geometry.part("norm_final")(row)
        if tokens is None:
            return head(row)
        bias = None if head.bias is None else head.bias[list(tokens)]
        return F.linear(row, head.weight[list(tokens)], bias)

    def carry_attention(self, layer: int, total: Tensor, tangents: Sequence[Tensor]) -> list[Tensor]:
        return list(tangents)

    def carry_mlp(self, layer: int, total: Tensor, tangents: Sequence[Tensor]) -> list[Tensor]:
        return list(tangents)

    @torch.enable_grad()
    def to_stream(self, layer: int, x: Tensor, gradient: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(self.attention_reads(layer, x), x, gradient)[0]
