"""From heads and lookups in terms of features to the weights of a real BERT, exactly.

A feature `u` is a direction `(1, -1) / sqrt(2)` of its own two coordinates, so that the stream has no mean. Every part
writes, at every position and on every input, features whose squares add up to a known constant, its energy (one of a
group of alternatives, or a sign). The stream after a LayerNorm is then `scale * sum_u f_u * direction_u` with the scale
`sqrt(d_model / total energy)`, known in advance: whoever reads a feature divides by it and gets `f_u` itself.

Attention is a softmax over scores that are sums of products of features; a lookup is a GELU neuron far from its bend.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from hc_interp.components import Head

Terms = Mapping[str, float]  # feature -> coefficient; `ONE` is the constant
ONE = "1"
GELU_GAIN = 10.0  # gelu(10) = 10 and gelu(-10) = 0 to 1e-22
POOL_GAIN = 0.1  # the pooler's tanh is used near 0, where it is nearly straight


@dataclass(frozen=True)
class HeadPlan:
    """What a head attends to and moves.

    `scores` are (query, key) terms whose products add up to the attention score (before the softmax, `1 / sqrt(d_head)`
    included); `moves` are (read, write) terms, one for each of its value dimensions. `energy` is the sum of squares of
    what it writes.
    """

    scores: tuple[tuple[Terms, Terms], ...]
    moves: tuple[tuple[Terms, Terms], ...]
    energy: float = 1.0


@dataclass(frozen=True)
class LookupPlan:
    """What an MLP looks up: (read, write) per neuron. `read` is 1 where it fires and writes `write`, -1 elsewhere."""

    neurons: tuple[tuple[Terms, Terms], ...]
    energy: float = 1.0


@dataclass
class Wiring:
    """Heads and lookups by place, and what words and positions bring; `module` turns them into a BERT."""

    n_layers: int
    n_heads: int
    words: Sequence[Terms]
    positions: Sequence[Terms]
    heads: dict[Head, HeadPlan] = field(default_factory=dict)
    lookups: dict[int, LookupPlan] = field(default_factory=dict)

    def module(self, answer: Terms, noise: float, generator: torch.Generator) -> BertForSequenceClassification:
        """A float64 BERT that answers class 0 where `answer` at the first position is positive; call it when all parts
        are in place.

        Its logit difference is about 1.5 times `answer`. `noise` is the size of what each head reads and writes at
        random, relative to a feature.
        """
        with torch.random.fork_rng(devices=[]):  # building draws weights, which are all replaced
            module: Any = BertForSequenceClassification(self._config()).double()
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.fill_(1.0 if "LayerNorm.weight" in name else 0.0)
            energy = self._embed(module.bert.embeddings)
            for layer, block in enumerate(module.bert.encoder.layer):
                energy = self._attention(block.attention, layer, energy, noise, generator)
                energy = self._mlp(block, layer, energy, noise, generator)
            pooler = module.bert.pooler.dense
            pooler.weight[0], pooler.bias[0] = (POOL_GAIN * part for part in self._read(answer, energy))
            module.classifier.weight[0, 0], module.classifier.weight[1, 0] = 0.75 / POOL_GAIN, -0.75 / POOL_GAIN
        return module

    def features(self) -> list[str]:
        """Every feature that something brings or writes, in order of appearance."""
        written = [terms for plan in self.heads.values() for _, terms in plan.moves]
        written += [terms for plan in self.lookups.values() for _, terms in plan.neurons]
        return list(dict.fromkeys(name for terms in (*self.words, *self.positions, *written) for name in terms))

    @property
    def d_model(self) -> int:
        return next(iter(self.directions.values())).numel()

    @cached_property
    def directions(self) -> dict[str, Float[Tensor, " d_model"]]:
        features = self.features()
        needed = [max(len(plan.scores), len(plan.moves)) for plan in self.heads.values()]
        d_head = max(*needed, math.ceil(2 * len(features) / self.n_heads))
        found = {}
        for place, name in enumerate(features):
            found[name] = torch.zeros(self.n_heads * d_head, dtype=torch.float64)
            found[name][2 * place], found[name][2 * place + 1] = 0.5**0.5, -(0.5**0.5)
        return found

    def _config(self) -> BertConfig:
        neurons = max((len(plan.neurons) for plan in self.lookups.values()), default=0)
        return BertConfig(
            vocab_size=len(self.words),
            hidden_size=self.d_model,
            num_hidden_layers=self.n_layers,
            num_attention_heads=self.n_heads,
            intermediate_size=max(neurons, 8),
            max_position_embeddings=len(self.positions),
        )

    def _embed(self, embeddings: Any) -> float:
        """Words and positions; the energy that they bring together."""
        for table, rows in ((embeddings.word_embeddings, self.words), (embeddings.position_embeddings, self.positions)):
            for place, terms in enumerate(rows):
                table.weight[place] = self._write(terms, 1.0)
        return _energy(self.words) + _energy(self.positions)

    def _attention(self, block: Any, layer: int, energy: float, noise: float, generator: torch.Generator) -> float:
        attention, out, d_head = block.self, block.output.dense, self.d_model // self.n_heads
        scale = self._scale(energy)
        for head in range(self.n_heads):
            plan = self.heads.get(Head(layer, head))
            for place, (query, key) in enumerate(plan.scores if plan else ()):
                row = head * d_head + place
                weight, bias = self._read(query, energy)
                attention.query.weight[row], attention.query.bias[row] = d_head**0.5 * weight, d_head**0.5 * bias
                attention.key.weight[row], attention.key.bias[row] = self._read(key, energy)
            for place, (read, write) in enumerate(plan.moves if plan else ()):
                row = head * d_head + place
                attention.value.weight[row], attention.value.bias[row] = self._read(read, energy)
                out.weight[:, row] = self._write(write, scale)
        for linear in (attention.query, attention.key, attention.value):
            _shake(linear.weight, noise / self.d_model**0.5, generator)
        _shake(out.weight, noise * scale / self.d_model**0.5, generator)
        return energy + sum(plan.energy for head, plan in self.heads.items() if head.layer == layer)

    def _mlp(self, block: Any, layer: int, energy: float, noise: float, generator: torch.Generator) -> float:
        plan, scale = self.lookups.get(layer), self._scale(energy)
        inner, outer = block.intermediate.dense, block.output.dense
        for place, (read, write) in enumerate(plan.neurons if plan else ()):
            weight, bias = self._read(read, energy)
            inner.weight[place], inner.bias[place] = GELU_GAIN * weight, GELU_GAIN * bias
            outer.weight[:, place] = self._write(write, scale) / GELU_GAIN
        _shake(inner.weight, noise / self.d_model**0.5, generator)
        _shake(outer.weight, noise * scale / self.d_model**0.5, generator)
        return energy + (plan.energy if plan else 0.0)

    def _scale(self, energy: float) -> float:
        return (self.d_model / energy) ** 0.5

    def _read(self, terms: Terms, energy: float) -> tuple[Float[Tensor, " d_model"], float]:
        """Weights and bias that give the terms' value on a stream of this energy."""
        weight = sum((c * self.directions[u] for u, c in terms.items() if u != ONE), torch.zeros(self.d_model))
        return weight / self._scale(energy), terms.get(ONE, 0.0)

    def _write(self, terms: Terms, scale: float) -> Float[Tensor, " d_model"]:
        return scale * sum((c * self.directions[u] for u, c in terms.items()), torch.zeros(self.d_model))


def _energy(rows: Iterable[Terms]) -> float:
    found = [sum(c * c for c in terms.values()) for terms in rows]
    assert max(found) - min(found) < 1e-9, "words, and positions, must bring the same energy"
    return found[0]


def _shake(weight: Tensor, size: float, generator: torch.Generator) -> None:
    weight += size * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
