"""From heads and lookups in terms of features to the weights of a BERT, exactly.

A feature `u` is a direction `(1, -1) / sqrt(2)` in two coordinates that no other feature uses, so that the residual
stream has mean 0. At every position and on every input, the squares of the features that a component writes add up to
a known constant, its energy: it writes one feature of a group of alternatives, or a sign. The stream after a LayerNorm
is therefore `scale * sum_u f_u * direction_u` with the known scale `sqrt(d_model / total energy)`. A component that
reads a feature divides by this scale and gets `f_u` itself.

An attention score is a sum of products of features. A lookup is a GELU neuron whose input is far from 0, where a GELU
is linear or 0.
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
POOL_GAIN = 0.1  # the input of the pooler's tanh is near 0, where tanh is nearly linear


@dataclass(frozen=True)
class HeadPlan:
    """What a head attends to, and what it reads and writes there.

    `scores` are pairs of (query, key) terms; the sum of their products is the attention score that enters the softmax
    (after the division by `sqrt(d_head)`). `moves` are pairs of (read, write) terms, one for each value dimension.
    `energy` is the sum of squares of the features that the head writes.
    """

    scores: tuple[tuple[Terms, Terms], ...]
    moves: tuple[tuple[Terms, Terms], ...]
    energy: float = 1.0


@dataclass(frozen=True)
class LookupPlan:
    """The (read, write) terms of each neuron of an MLP: it writes `write` if `read` is 1, nothing if `read` is -1."""

    neurons: tuple[tuple[Terms, Terms], ...]
    energy: float = 1.0


@dataclass
class Wiring:
    """The plans of heads and MLPs (by layer) and the features of words and positions; `module` makes a BERT of them."""

    n_layers: int
    n_heads: int
    words: Sequence[Terms]
    positions: Sequence[Terms]
    heads: dict[Head, HeadPlan] = field(default_factory=dict)
    lookups: dict[int, LookupPlan] = field(default_factory=dict)

    def module(self, answer: Terms, noise: float, generator: torch.Generator) -> BertForSequenceClassification:
        """A float64 BERT with all plans, which answers class 0 where `answer` at the first position is positive.

        Its logit difference is about 1.5 times `answer`. `noise` is the size of random weights that are added to each
        head and MLP, relative to the weights that read and write one feature.
        """
        with torch.random.fork_rng(devices=[]):  # the constructor draws weights, which are all replaced
            module: Any = BertForSequenceClassification(self._config()).double()
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.fill_(1.0 if "LayerNorm.weight" in name else 0.0)
            energy = self._embed(module.bert.embeddings)
            for layer, block in enumerate(module.bert.encoder.layer):
                energy = self._attention(block.attention, layer, energy, noise, generator)
                energy = self._mlp(block, layer, energy, noise, generator)
            pooler = module.bert.pooler.dense
            pooler.weight[0], pooler.bias[0] = (POOL_GAIN * value for value in self._read(answer, energy))
            module.classifier.weight[0, 0], module.classifier.weight[1, 0] = 0.75 / POOL_GAIN, -0.75 / POOL_GAIN
        return module

    def features(self) -> list[str]:
        """Every feature that a word, a position, a head or an MLP writes, in order of appearance."""
        written = [terms for plan in self.heads.values() for _, terms in plan.moves]
        written += [terms for plan in self.lookups.values() for _, terms in plan.neurons]
        return list(dict.fromkeys(name for terms in (*self.words, *self.positions, *written) for name in terms))

    @property
    def d_model(self) -> int:
        """The size of the residual stream."""
        return next(iter(self.directions.values())).numel()

    @cached_property
    def directions(self) -> dict[str, Float[Tensor, " d_model"]]:
        """The unit vector of each feature."""
        features = self.features()
        needed = [max(len(plan.scores), len(plan.moves)) for plan in self.heads.values()]
        d_head = max(*needed, math.ceil(2 * len(features) / self.n_heads))
        directions = {}
        for i, name in enumerate(features):
            directions[name] = torch.zeros(self.n_heads * d_head, dtype=torch.float64)
            directions[name][2 * i], directions[name][2 * i + 1] = 0.5**0.5, -(0.5**0.5)
        return directions

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
        """Set the embeddings of words and positions; returns the energy of their sum."""
        for table, rows in ((embeddings.word_embeddings, self.words), (embeddings.position_embeddings, self.positions)):
            for row, terms in enumerate(rows):
                table.weight[row] = self._write(terms, 1.0)
        return _energy(self.words) + _energy(self.positions)

    def _attention(self, block: Any, layer: int, energy: float, noise: float, generator: torch.Generator) -> float:
        """Set the heads of a layer, on a stream of this energy; returns the energy with what they write."""
        attention, out, d_head = block.self, block.output.dense, self.d_model // self.n_heads
        scale = self._scale(energy)
        for head in range(self.n_heads):
            plan = self.heads.get(Head(layer, head))
            for i, (query, key) in enumerate(plan.scores if plan else ()):
                row = head * d_head + i
                weight, bias = self._read(query, energy)
                attention.query.weight[row], attention.query.bias[row] = d_head**0.5 * weight, d_head**0.5 * bias
                attention.key.weight[row], attention.key.bias[row] = self._read(key, energy)
            for i, (read, write) in enumerate(plan.moves if plan else ()):
                row = head * d_head + i
                attention.value.weight[row], attention.value.bias[row] = self._read(read, energy)
                out.weight[:, row] = self._write(write, scale)
        for linear in (attention.query, attention.key, attention.value):
            _add_noise(linear.weight, noise / self.d_model**0.5, generator)
        _add_noise(out.weight, noise * scale / self.d_model**0.5, generator)
        return energy + sum(plan.energy for head, plan in self.heads.items() if head.layer == layer)

    def _mlp(self, block: Any, layer: int, energy: float, noise: float, generator: torch.Generator) -> float:
        """Set the MLP of a layer, on a stream of this energy; returns the energy with what it writes."""
        plan, scale = self.lookups.get(layer), self._scale(energy)
        inner, outer = block.intermediate.dense, block.output.dense
        for i, (read, write) in enumerate(plan.neurons if plan else ()):
            weight, bias = self._read(read, energy)
            inner.weight[i], inner.bias[i] = GELU_GAIN * weight, GELU_GAIN * bias
            outer.weight[:, i] = self._write(write, scale) / GELU_GAIN
        _add_noise(inner.weight, noise / self.d_model**0.5, generator)
        _add_noise(outer.weight, noise * scale / self.d_model**0.5, generator)
        return energy + (plan.energy if plan else 0.0)

    def _scale(self, energy: float) -> float:
        return (self.d_model / energy) ** 0.5

    def _read(self, terms: Terms, energy: float) -> tuple[Float[Tensor, " d_model"], float]:
        """The weights and the bias that compute the terms from a stream of this energy."""
        weight = sum((c * self.directions[u] for u, c in terms.items() if u != ONE), torch.zeros(self.d_model))
        return weight / self._scale(energy), terms.get(ONE, 0.0)

    def _write(self, terms: Terms, scale: float) -> Float[Tensor, " d_model"]:
        return scale * sum((c * self.directions[u] for u, c in terms.items()), torch.zeros(self.d_model))


def _energy(rows: Iterable[Terms]) -> float:
    energies = [sum(c * c for c in terms.values()) for terms in rows]
    assert max(energies) - min(energies) < 1e-9, "all words, and all positions, must have the same energy"
    return energies[0]


def _add_noise(weight: Tensor, size: float, generator: torch.Generator) -> None:
    weight += size * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
