"""A frozen BERT classifier that reads rows without padding, under one gate for each head and MLP: a plain twin of
`SoftMask` for long trainings of masks, written with nothing but torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

import hc_interp as hc

GROUP = 8  # rows of similar length that share one padded attention


@dataclass(frozen=True)
class Group:
    """Some rows of the stream: their tokens (`start` to `stop`), and where these stand in a padded attention."""

    start: int
    stop: int
    seen: Bool[Tensor, "row pos"]

    def pad(self, x: Float[Tensor, "token kind head d_head"]) -> Float[Tensor, "kind row head pos d_head"]:
        first = self.seen.sum(1).cumsum(0) - self.seen.sum(1)
        place = torch.where(self.seen, first[:, None] + torch.arange(self.seen.shape[1]), self.stop - self.start)
        own = F.pad(x[self.start : self.stop], (0, 0, 0, 0, 0, 0, 0, 1))  # what padding reads is a row of zeros
        return own.index_select(0, place.flatten()).unflatten(0, self.seen.shape).permute(2, 0, 3, 1, 4)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "row head query d_head"]:
        # Products and softmax apart: torch's fused attention takes three times as long here, mostly in its backward.
        hidden = torch.zeros(self.seen.shape).masked_fill(~self.seen, -torch.inf)[:, None, None]
        return torch.softmax(q @ k.mT * q.shape[-1] ** -0.5 + hidden, -1) @ v


class PackedBert:
    """Logits of rows under gates `[component]`, in the order of `model.components`.

    The tokens of all rows stand in one `[token, d_model]` stream; only attention is padded, to the longest of `GROUP`
    rows of similar length. The last layer is computed at the first position alone, which is all that is read of it.
    A component whose gate is 0 is its mean and has no slope, so it is not computed. Products of layers are taken in
    `dtype`, everything else in float32.
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
        groups = grouped(lengths)
        for layer in range(self.n_layers):
            x = self.layer(layer, x, groups, by_layer[layer], last=layer == self.n_layers - 1)
        pooled = torch.tanh(self.linear(self.bert.pooler.dense, x))
        return self.linear(self.classifier, pooled)[torch.argsort(torch.tensor(order))]

    def layer(self, layer: int, x: Tensor, groups: list[Group], gates: Tensor, last: bool) -> Tensor:
        """One layer at every token, or the `last` at the first token of each row."""
        block = self.bert.encoder.layer[layer]
        out = self.attention(layer, x, groups, gates[:-1], last)
        x = block.attention.output.LayerNorm((firsts(x, groups) if last else x) + out)
        out = self.mlp_mean[layer]
        if gates[-1] > 0:
            hidden = F.gelu(self.linear(block.intermediate.dense, x))
            out = torch.lerp(out, self.linear(block.output.dense, hidden), gates[-1])
        return block.output.LayerNorm(x + out)

    def attention(self, layer: int, x: Tensor, groups: list[Group], gates: Tensor, last: bool) -> Tensor:
        """What the heads add; of closed heads, their means alone."""
        attention, mean = self.bert.encoder.layer[layer].attention, self.z_mean[layer]
        heads = (gates > 0).nonzero()[:, 0]
        always = self.linear(attention.output.dense, mean.flatten())
        if not len(heads):
            return always
        own = attention.self
        k, v = (self.of_heads(m, x, heads) for m in (own.key, own.value))
        q = self.of_heads(own.query, firsts(x, groups) if last else x, heads)
        parts = []
        for i, group in enumerate(groups):
            if last:
                asked = q[i * GROUP : (i + 1) * GROUP, :, None]
                parts.append(group.attend(asked, *group.pad(torch.stack([k, v], 1)))[:, :, 0])
            else:
                z = group.attend(*group.pad(torch.stack([q, k, v], 1)))
                parts.append(z.transpose(1, 2).flatten(0, 1).index_select(0, group.seen.flatten().nonzero()[:, 0]))
        change = (torch.cat(parts) - mean[heads]) * gates[heads, None]
        to_stream = self.weights[attention.output.dense].unflatten(1, (self.n_heads, -1))[:, heads].flatten(1)
        return always + F.linear(change.flatten(1).to(self.dtype), to_stream).to(x.dtype)

    def of_heads(self, module: nn.Linear, x: Tensor, heads: Tensor) -> Float[Tensor, "token head d_head"]:
        weight, bias = (w.unflatten(0, (self.n_heads, -1))[heads] for w in (self.weights[module], module.bias))
        return (F.linear(x.to(self.dtype), weight.flatten(0, 1)).to(x.dtype)).unflatten(-1, bias.shape) + bias

    def linear(self, module: nn.Linear, x: Tensor) -> Tensor:
        return F.linear(x.to(self.dtype), self.weights[module]).to(x.dtype) + module.bias


def grouped(lengths: list[int]) -> list[Group]:
    found, start = [], 0
    for low in range(0, len(lengths), GROUP):
        own = torch.tensor(lengths[low : low + GROUP])
        found.append(Group(start, start + int(own.sum()), torch.arange(int(own.max())) < own[:, None]))
        start = found[-1].stop
    return found


def firsts(x: Float[Tensor, "token d_model"], groups: list[Group]) -> Float[Tensor, "row d_model"]:
    lengths = torch.cat([group.seen.sum(1) for group in groups])
    return x[lengths.cumsum(0) - lengths]
