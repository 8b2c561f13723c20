"""`hc.attention_profile`: what each head attends to from the words of the second text, against uniform attention."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.attention.result import MEASURES, AttentionProfile
from hc_interp.attention.targets import TARGETS, Layout, layouts, shuffled_places
from hc_interp.data.encode import buckets, pad
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.probing.encoded_words import as_examples
from hc_interp.progress import stage
from hc_interp.records.provenance import provenance
from hc_interp.statistics.samples import check_level, generator
from hc_interp.torch_modes import own_torch_modes


@own_torch_modes
@torch.no_grad()
def attention_profile(
    model: HookedModel,
    data: Any,
    *,
    interventions: Sequence[Intervention] = (),
    seed: int = 0,
    level: float = 0.95,
    batch_size: int = 32,
) -> AttentionProfile:
    """Mean attention from each token of the second text's words to some kinds of tokens, for every head.

    Kinds: `same_word`, all tokens of the same word in the first text (only from words that have one there);
    `separators`; `cls`, the first token; `previous` and `next`, the neighbours. Each has its base rate: its share of
    the tokens that the query may see, what uniform attention would give. Punctuation and special tokens ask nothing.
    `order`: how much of the attention moves when the first text's words change places (one seeded permutation for each
    example; pieces of a word stay together): half the summed absolute difference, token by token, wherever each stands
    now. 0: the head follows words, not places; 1: all of it goes elsewhere. Uniform attention gives 0.

    Values are means over tokens, intervals from a bootstrap over sources. High mass on the same word says where a head
    looks, not what it moves from there nor that anything reads it: Jain & Wallace 2019 (arXiv 1902.10186). Attention to
    separators often means no operation: Clark et al. 2019 (arXiv 1906.04341), from whom these measures are, but for
    `order`. Raises `DataError` for data without second texts, `ModelError` for a tokenizer that does not tell words.
    """
    check_level(level)
    generator(seed)
    examples = as_examples(data)
    edits = model.check_interventions(interventions)
    placed = layouts(model, examples)
    n = len(examples)
    mass = np.zeros((n, model.n_layers, model.n_heads, len(MEASURES)))
    base, asked = np.zeros((n, len(MEASURES))), np.zeros((n, len(MEASURES)))
    order = buckets([len(layout) for layout in placed], batch_size)
    with stage("reading attention", len(order)) as progress:
        for rows in order:
            here = [placed[row] for row in rows]
            ids = tuple(examples.id[row] for row in rows)
            to = [shuffled_places(layout, [seed, row]) for row, layout in zip(rows, here, strict=True)]
            own = _patterns(model, here, ids, edits)
            other = _patterns(model, [layout.moved(t) for layout, t in zip(here, to, strict=True)], ids, edits)
            target, asks, seen = _stacked(model, here)
            wanted, share, query = count_targets(target, asks, seen)
            base[rows, :-1], asked[rows, :-1], asked[rows, -1] = share, query.sum(-1), asks.sum(-1)
            for layer, (before, after) in enumerate(zip(own, other, strict=True)):
                mass[rows, layer, :, :-1] = torch.einsum("bhqk,bmqk->bhm", before, wanted.to(before.dtype))
                distance = (before - _followed(after, to)).abs().sum(-1) / 2
                mass[rows, layer, :, -1] = torch.einsum("bhq,bq->bh", distance, asks.to(distance.dtype))
            progress.advance()
    origin = provenance(model, examples.fingerprint(), seed=seed, level=level, interventions=edits)
    return AttentionProfile(mass, base, asked, tuple(examples.id), tuple(examples.source), level, seed, origin)


def count_targets(
    target: Bool[Tensor, "batch measure query key"],
    asks: Bool[Tensor, "batch query"],
    seen: Bool[Tensor, "batch query key"],
) -> tuple[
    Bool[Tensor, "batch measure query key"], Float[Tensor, "batch measure"], Bool[Tensor, "batch measure query"]
]:
    """The keys that count, the summed share of uniform attention on them, and the queries that ask, by measure.

    A query asks for the same word only where there is one; for anything else wherever it stands.
    """
    target = target & seen[:, None]
    query = asks[:, None].expand(target.shape[:3]).clone()
    query[:, 0] &= target[:, 0].any(-1)
    wanted = target & query[..., None]
    share = wanted.sum(-1) / seen.sum(-1).clamp_min(1)[:, None]
    return wanted, share.sum(-1), query


def _patterns(
    model: HookedModel, here: Sequence[Layout], ids: tuple[str, ...], edits: Sequence[Intervention]
) -> list[Float[Tensor, "batch head query key"]]:
    sites = [Site(layer, "pattern") for layer in range(model.n_layers)]
    batch = replace(pad(model, [layout.tokens for layout in here]), ids=ids)
    captured = model.run(batch, edits, capture=sites).captured
    return [_wide(captured[site]).cpu() for site in sites]


def _wide(pattern: Tensor) -> Tensor:
    """In float32 at least: numpy knows no bfloat16, and sums over tokens round less."""
    return pattern.to(torch.promote_types(pattern.dtype, torch.float32))


def _stacked(
    model: HookedModel, here: Sequence[Layout]
) -> tuple[Bool[Tensor, "batch measure query key"], Bool[Tensor, "batch query"], Bool[Tensor, "batch query key"]]:
    """Targets, asking tokens and visible keys of a batch, False at padding."""
    longest = max(map(len, here))
    target = torch.zeros(len(here), len(TARGETS), longest, longest, dtype=torch.bool)
    asks = torch.zeros(len(here), longest, dtype=torch.bool)
    seen = torch.zeros(len(here), longest, longest, dtype=torch.bool)
    for row, layout in enumerate(here):
        n = len(layout)
        target[row, :, :n, :n], asks[row, :n] = layout.targets, layout.asks
        seen[row, :n, :n] = torch.ones(n, n).tril().bool() if model.geometry.family.causal else True
    return target, asks, seen


def _followed(
    pattern: Float[Tensor, "batch head query key"], to: Sequence[Int[Tensor, " pos"]]
) -> Float[Tensor, "batch head query key"]:
    """The pattern with queries and keys at the places that their tokens had before they were moved."""
    index = torch.arange(pattern.shape[-1]).repeat(len(to), 1)
    for row, places in enumerate(to):
        index[row, : len(places)] = places
    pattern = pattern.gather(2, index[:, None, :, None].expand_as(pattern))
    return pattern.gather(3, index[:, None, None, :].expand_as(pattern))
