"""Random pairs for path patching, ends of paths of every kind, and what the twin gives for them."""

from dataclasses import replace

import torch
from tiny import tiny_batch
from twin import Twin

from hc_interp.components import EMBED, MLP, OUTPUT, Head
from hc_interp.data.contrast import ContrastPairs
from hc_interp.metrics import MetricRows, logit_diff

SENDERS = [Head(0, 1), Head(1, 2), MLP(0), MLP(1), EMBED]
RECEIVERS = [Head(1, 0), Head(2, 1), MLP(1), MLP(2), OUTPUT]
GROUPS = ((0,), (1, 2))


def make_pairs(rows: int, seed: int = 0) -> ContrastPairs:
    clean = tiny_batch(rows, seed=seed)
    other = tiny_batch(rows, seed=seed + 100)
    corrupt = type(clean)(
        torch.where(clean.attention_mask.bool(), other.input_ids.clamp(min=5), clean.input_ids),
        clean.attention_mask,
        clean.token_type_ids,
        ids=clean.ids,
    )
    gold = [i % 2 for i in range(rows)]
    return ContrastPairs(clean, corrupt, gold, groups=GROUPS)


def pairs_with_roles(rows: int = 4, seed: int = 0) -> ContrastPairs:
    """Pairs whose positions are "a" or "b"; "c" overlaps with both."""
    pairs = make_pairs(rows, seed)
    mask = pairs.clean.attention_mask.bool()
    position = torch.arange(mask.shape[1]).expand_as(mask)
    a = mask & ((position % 3 == 0) | (position == 1))
    roles = {"a": a, "b": mask & ~a, "c": mask & (position > 0) & (position < 4)}
    return replace(pairs, clean=replace(pairs.clean, roles=roles))


def twin_effect(module, pairs, senders, receivers, through, route):
    twin, gold_rows = Twin(module), MetricRows.labelled(torch.tensor(pairs.gold), GROUPS)
    clean = logit_diff(twin.run(pairs.clean)[0], gold_rows)
    logits, new = twin.path(pairs.clean, pairs.corrupt, senders, receivers, through, route)
    return logit_diff(logits, gold_rows) - clean, new
