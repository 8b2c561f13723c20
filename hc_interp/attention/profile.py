"""`hc.attention_profile`: the keys that each head attends to from the second text, compared with uniform attention."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.attention.result import MEASURES, AttentionProfile
from hc_interp.attention.targets import TARGETS, AttentionTargets, attention_targets, shuffled_positions
from hc_interp.data.encode import buckets, pad
from hc_interp.data.examples import Examples
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
    data: Examples | Iterable[Examples],
    *,
    interventions: Sequence[Intervention] = (),
    seed: int = 0,
    level: float = 0.95,
    batch_size: int = 32,
) -> AttentionProfile:
    """Mean attention of every head from the query tokens to some kinds of keys, with the rate of uniform attention.

    The query tokens are the tokens of the second text's words, without punctuation and special tokens. The kinds of
    keys are `same_word` (all tokens of the same word in the first text; query tokens without such a word do not count),
    `separators`, `cls` (the first token), `previous` and `next` (the neighbours). The base rate of a kind is its share
    of the keys that the query can attend to, which is the value of uniform attention.

    `order` measures how much the attention changes when the first text's words are put in a random order (one seeded
    permutation for each example; the tokens of a word stay together). It is half the sum over keys of the absolute
    difference, where each token is compared with itself at its new position. 0: the head follows words, not positions;
    1: all attention goes to other tokens. Uniform attention gives 0.

    Values are means over query tokens, intervals at `level` are bootstraps over sources. High attention to the same
    word shows where a head attends. It does not show which information the head moves, or that another component reads
    it (Jain & Wallace 2019, arXiv 1902.10186). Attention to separators often means that a head does nothing. The
    measures, except `order`, are from Clark et al. 2019 (arXiv 1906.04341). Raises `DataError` for data without second
    texts, `ModelError` for a tokenizer that does not give the words of its tokens.
    """
    check_level(level)
    generator(seed)
    examples = as_examples(data)
    edits = model.check_interventions(interventions)
    targets = attention_targets(model, examples)
    n = len(examples)
    mass = np.zeros((n, model.n_layers, model.n_heads, len(MEASURES)))
    base, asked = np.zeros((n, len(MEASURES))), np.zeros((n, len(MEASURES)))
    order = buckets([len(item) for item in targets], batch_size)
    with stage("reading attention", len(order)) as progress:
        for rows in order:
            here = [targets[row] for row in rows]
            ids = tuple(examples.id[row] for row in rows)
            to = [shuffled_positions(item, [seed, row]) for row, item in zip(rows, here, strict=True)]
            plain = _patterns(model, here, ids, edits)
            shuffled = _patterns(model, [item.moved(t) for item, t in zip(here, to, strict=True)], ids, edits)
            target, is_query, visible = _stacked(model, here)
            counted, share, query = count_targets(target, is_query, visible)
            base[rows, :-1], asked[rows, :-1], asked[rows, -1] = share, query.sum(-1), is_query.sum(-1)
            for layer, (before, after) in enumerate(zip(plain, shuffled, strict=True)):
                mass[rows, layer, :, :-1] = torch.einsum("bhqk,bmqk->bhm", before, counted.to(before.dtype))
                distance = (before - _moved_back(after, to)).abs().sum(-1) / 2
                mass[rows, layer, :, -1] = torch.einsum("bhq,bq->bh", distance, is_query.to(distance.dtype))
            progress.advance()
    origin = provenance(model, examples.fingerprint(), seed=seed, level=level, interventions=edits)
    return AttentionProfile(mass, base, asked, tuple(examples.id), tuple(examples.source), level, seed, origin)


def count_targets(
    target: Bool[Tensor, "batch measure query key"],
    is_query: Bool[Tensor, "batch query"],
    visible: Bool[Tensor, "batch query key"],
) -> tuple[
    Bool[Tensor, "batch measure query key"], Float[Tensor, "batch measure"], Bool[Tensor, "batch measure query"]
]:
    """By measure: the target keys of each query, their share of uniform attention summed over queries, the queries.

    For the same word, a query counts only if it has a visible target. For the other measures all queries count.
    """
    target = target & visible[:, None]
    query = is_query[:, None].expand(target.shape[:3]).clone()
    query[:, 0] &= target[:, 0].any(-1)
    counted = target & query[..., None]
    share = counted.sum(-1) / visible.sum(-1).clamp_min(1)[:, None]
    return counted, share.sum(-1), query


def _patterns(
    model: HookedModel, here: Sequence[AttentionTargets], ids: tuple[str, ...], edits: Sequence[Intervention]
) -> list[Float[Tensor, "batch head query key"]]:
    sites = [Site(layer, "pattern") for layer in range(model.n_layers)]
    batch = replace(pad(model, [item.tokens for item in here]), ids=ids)
    captured = model.run(batch, edits, capture=sites).captured
    return [_wide(captured[site]).cpu() for site in sites]


def _wide(pattern: Tensor) -> Tensor:
    """The pattern in float32 at least, because numpy has no bfloat16 and sums over tokens round less."""
    return pattern.to(torch.promote_types(pattern.dtype, torch.float32))


def _stacked(
    model: HookedModel, here: Sequence[AttentionTargets]
) -> tuple[Bool[Tensor, "batch measure query key"], Bool[Tensor, "batch query"], Bool[Tensor, "batch query key"]]:
    """Targets, query tokens and visible keys of a batch, False at padding."""
    longest = max(map(len, here))
    target = torch.zeros(len(here), len(TARGETS), longest, longest, dtype=torch.bool)
    is_query = torch.zeros(len(here), longest, dtype=torch.bool)
    visible = torch.zeros(len(here), longest, longest, dtype=torch.bool)
    for row, item in enumerate(here):
        n = len(item)
        target[row, :, :n, :n], is_query[row, :n] = item.targets, item.is_query
        visible[row, :n, :n] = torch.ones(n, n).tril().bool() if model.geometry.family.causal else True
    return target, is_query, visible


def _moved_back(
    pattern: Float[Tensor, "batch head query key"], to: Sequence[Int[Tensor, " _"]]
) -> Float[Tensor, "batch head query key"]:
    """The pattern with each query and key at the position that its token had before it was moved to `to`."""
    index = torch.arange(pattern.shape[-1]).repeat(len(to), 1)
    for row, positions in enumerate(to):
        index[row, : len(positions)] = positions
    pattern = pattern.gather(2, index[:, None, :, None].expand_as(pattern))
    return pattern.gather(3, index[:, None, None, :].expand_as(pattern))
