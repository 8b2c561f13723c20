"""A frozen BERT classifier that reads rows without padding, under one gate for each head and MLP: a plain twin of
`SoftMask` for long trainings of masks, written with nothing but torch."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

import hc_interp as hc

GROUP = 8  # rows of similar length that share one padded attention


class PackedBert:
    """Logits of rows under gates `[component]`, in the order of `model.components`.

    The tokens of all rows stand in one `[token, d_model]` stream; only attention is padded, to the longest of `GROUP`
    rows of similar length. The last layer is computed at the first position alone, which is all that is read of it.
    Products of layers are taken in `dtype`, everything else in float32.
    """

    def __init__(self, model: hc.HookedModel, means: hc.MeanActivations, dtype: torch.dtype = torch.float32):
        self.bert, self.classifier = model.module.bert, model.module.classifier
        self.n_layers, self.n_heads = model.n_layers, model.n_heads
        self.z_mean, self.mlp_mean = means.values["z"], means.values["mlp_out"]
        self.weights = {m: m.weight.detach().to(dtype) for m in model.module.modules() if isinstance(m, nn.Linear)}
        self.dtype = dtype

    def logits(
        self,
        rows: Sequence[Int[Tensor, " pos"]],
        types: Sequence[Int[Tensor, " pos"]],
        gates: Float[Tensor, " component"],
    ) -> Float[Tensor, "row class"]:
        lengths = [len(row) for row in rows]
        order = sorted(range(len(rows)), key=lengths.__getitem__)
        rows, types, lengths = ([x[i] for i in order] for x in (rows, types, lengths))
        positions = torch.cat([torch.arange(n) for n in lengths])
        embeddings = self.bert.embeddings
        x = embeddings.word_embeddings(torch.cat(list(rows))) + embeddings.token_type_embeddings(torch.cat(list(types)))
        x = embeddings.LayerNorm(x + embeddings.position_embeddings(positions))
        by_layer = gates.view(self.n_layers, self.n_heads + 1)
        first = torch.tensor([0, *lengths[:-1]]).cumsum(0)
        for layer, block in enumerate(self.bert.encoder.layer):
            asking = first if layer == self.n_layers - 1 else None
            x = self.layer(layer, block, x, lengths, by_layer[layer], asking)
        pooled = torch.tanh(self.linear(self.bert.pooler.dense, x))
        return self.linear(self.classifier, pooled)[torch.argsort(torch.tensor(order))]

    def layer(
        self, layer: int, block: nn.Module, x: Tensor, lengths: list[int], gates: Tensor, asking: Tensor | None
    ) -> Tensor:
        """One layer; with `asking` `[row]`, the places of the tokens whose output is wanted, only these."""
        attention = block.attention
        k, v = (self.linear(m, x) for m in (attention.self.key, attention.self.value))
        x = x if asking is None else x[asking]
        q = self.linear(attention.self.query, x)
        z = self.attend(q, k, v, lengths).unflatten(-1, (self.n_heads, -1))
        z = torch.lerp(self.z_mean[layer].expand_as(z), z, gates[:-1, None])
        x = attention.output.LayerNorm(x + self.linear(attention.output.dense, z.flatten(-2)))
        hidden = F.gelu(self.linear(block.intermediate.dense, x))
        out = self.linear(block.output.dense, hidden)
        return block.output.LayerNorm(x + torch.lerp(self.mlp_mean[layer].expand_as(out), out, gates[-1]))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, lengths: list[int]) -> Float[Tensor, "query d_model"]:
        """z of every token, or of one token of each row where `q` holds as many as there are rows."""
        parts, start, alone = [], 0, len(q) == len(lengths)
        for low in range(0, len(lengths), GROUP):
            own = torch.tensor(lengths[low : low + GROUP])
            seen = torch.arange(int(own.max())) < own[:, None]
            stop = start + int(own.sum())
            padded = [
                x.new_zeros(*seen.shape, x.shape[-1]).masked_scatter(seen[..., None], x[start:stop])
                for x in ((k, v) if alone else (q, k, v))
            ]
            asked = [q[low : low + GROUP, None], *padded] if alone else padded
            heads = [x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for x in asked]
            found = F.scaled_dot_product_attention(*heads, attn_mask=seen[:, None, None])
            found = found.transpose(1, 2).flatten(-2)
            parts.append(found[:, 0] if alone else found[seen])
            start = stop
        return torch.cat(parts)

    def linear(self, module: nn.Linear, x: Tensor) -> Tensor:
        return F.linear(x.to(self.dtype), self.weights[module]).to(x.dtype) + module.bias
